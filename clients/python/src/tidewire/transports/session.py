"""A session's HTTP side (docs/protocol.md 4.3): begun or taken up by ``hello``, posted to, read from."""

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from tidewire.errors import uncertain
from tidewire.frames import Frame
from tidewire.problems import problem_of

_ANSWER_S: Final = 35.0  # API Gateway answers within 30
_JSON: Final = {"Content-Type": "application/json"}


class StrangerError(Exception):
    """Somebody else answered: a gateway, a proxy, a hotel's network."""


class HttpSession:
    """One session, by its token.

    Attributes:
        hello: What ``hello`` was answered.
    """

    def __init__(self, http_url: str, answer: Frame, http: httpx.AsyncClient) -> None:
        self.hello = answer
        self._id = quote(answer["session_id"], safe="")
        self._url = f"{http_url}/v1/sessions/{self._id}"
        self._authorization = {"Authorization": f"Bearer {answer['session_token']}"}
        self._http = http

    @classmethod
    async def open(cls, http_url: str, hello: Mapping[str, Any], http: httpx.AsyncClient) -> Self:
        """Say hello.

        Raises:
            TidewireError: What the server answered.
            Exception: Nothing of ours did answer.
        """
        response = await http.post(f"{http_url}/v1/sessions", json=hello, timeout=_ANSWER_S)
        if not response.is_success:
            raise problem_of(response) or StrangerError
        answer = response.json()
        needed = (answer["session_id"], answer["session_token"])
        if not all(isinstance(value, str) for value in needed):
            raise StrangerError
        return cls(http_url, answer, http)

    def poll_url(self, origin: str) -> str:
        """Return where it is polled."""
        return f"{origin}/v1/sessions/{self._id}/frames"

    def stream_url(self, origin: str) -> str:
        """Return where it is streamed."""
        return f"{origin}/v1/stream/sessions/{self._id}"

    def read(self, url: str, accept: str, params: dict[str, str]) -> AbstractAsyncContextManager[httpx.Response]:
        """Ask for something of it, with its token. The time that it takes is the caller's to limit."""
        headers = {"Accept": accept, **self._authorization}
        return self._http.stream("GET", url, headers=headers, params=params, timeout=None)

    async def post(self, text: str) -> str:
        """Send a frame or a batch.

        Returns:
            The replies, still as text. Where none came each request is answered with an error, and it may have been
            carried out.
        """
        try:
            return await self._post(text)
        except Exception:  # whatever the network or a stranger made of it
            return _refused(text, uncertain("nothing came back").to_wire())

    async def end(self) -> None:
        """End it.

        Raises:
            Exception: It could not be; a session that nobody reads ends by itself.
        """
        await self._http.delete(self._url, headers=self._authorization, timeout=_ANSWER_S)

    async def _post(self, text: str) -> str:
        response = await self._http.post(
            f"{self._url}/frames",
            content=text.encode(errors="replace"),
            headers={**_JSON, **self._authorization},
            timeout=_ANSWER_S,
        )
        if response.is_success:
            if not isinstance(response.json(), list):
                raise StrangerError
            return response.text
        problem = problem_of(response)
        if problem is None:
            raise StrangerError
        return _refused(text, problem.to_wire())


def _refused(text: str, error: Frame) -> str:
    sent = json.loads(text)
    requests = sent if isinstance(sent, list) else [sent]
    return json.dumps([{"type": "reply", "id": asked["id"], "error": error} for asked in requests if "id" in asked])
