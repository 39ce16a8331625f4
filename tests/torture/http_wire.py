"""A session by HTTP, as torture's clients use it: requests are posted, pushes come by one of the four ways to read."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Literal, Self

import httpx

from tests.torture.wire import Frame, NotConnectedError, Reply

HttpTransport = Literal["sse", "stream", "long_poll", "short_poll"]

_TIMEOUT_S: Final = 40  # a poll waits for 25
_SHORT_POLL_EVERY_S: Final = 0.2
_AGAIN_S: Final = 0.2


class _LeftError(Exception):
    """The client has gone away meanwhile."""


class HttpWire:
    """One session, or a part of its life. As :class:`~tests.torture.wire.Wire`."""

    def __init__(self, url: str, on_push: Callable[[Frame], None], transport: HttpTransport) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S)
        self._on_push, self._transport = on_push, transport
        self._ids = itertools.count(1)
        self._reader: asyncio.Task[None] | None = None
        self._posting: set[asyncio.Task[httpx.Response]] = set()
        self._session: Frame = {}
        self._cursor: str | None = None
        self._leaving: asyncio.Task[None] | None = None
        self.closed = asyncio.Event()

    @classmethod
    async def open(cls, url: str, on_push: Callable[[Frame], None], transport: HttpTransport) -> Self:
        """Return one that has said nothing yet."""
        return cls(url, on_push, transport)

    async def ask(self, *frames: Mapping[str, Any]) -> list[Reply]:
        """Send requests; return their replies: ``None`` for those that were not answered. ``hello`` comes alone."""
        hello = frames[0]["type"] == "hello"
        if self.closed.is_set() or (not hello and not self._session):
            return [None for _ in frames]
        try:
            if hello:
                return [await self._hello(frames[0])]
            numbered = [{"id": next(self._ids), **frame} for frame in frames]
            answer = await self._post(f"{self._path}/frames", json=numbered, headers=self._headers)
        except (httpx.TransportError, _LeftError):
            return [None for _ in frames]
        if answer.status_code != 200:
            self._ended(answer)
            return [None for _ in frames]
        replies: list[Reply] = answer.json()
        return replies

    async def request(self, **frame: Any) -> Reply:
        """Send one request; return its reply."""
        [reply] = await self.ask(frame)
        return reply

    def cut(self) -> None:
        """Go away without a word; the session lives on for a while."""
        if not self._leaving:
            self._leaving = asyncio.create_task(self.close())

    abandon = cut

    async def close(self) -> None:
        """Go away, and return when nothing is open any more."""
        self.closed.set()
        tasks = [*self._posting, *([self._reader] if self._reader else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._http.aclose()  # it would not close what is being opened

    async def _post(self, path: str, **request: Any) -> httpx.Response:
        posting = asyncio.create_task(self._http.post(path, **request))
        self._posting.add(posting)
        posting.add_done_callback(self._posting.discard)
        await asyncio.wait([posting])
        if posting.cancelled():
            raise _LeftError
        return posting.result()

    @property
    def _path(self) -> str:
        return f"/v1/sessions/{self._session['session_id']}"

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._session['session_token']}"}

    async def _hello(self, frame: Mapping[str, Any]) -> Reply:
        body = {name: value for name, value in frame.items() if name != "type"}
        answer = await self._post("/v1/sessions", json=body)
        if answer.status_code != 200:
            problem = answer.json()
            if "code" not in problem:
                raise NotConnectedError(answer.status_code)
            return {"type": "reply", "error": problem}
        self._session = answer.json()
        self._reader = asyncio.create_task(self._read())
        return {"type": "reply", "result": self._session}

    async def _read(self) -> None:
        """Read on and on: a stream that ends is opened again behind its cursor."""
        ways = {"sse": self._events, "stream": self._lines, "long_poll": self._polled, "short_poll": self._polled}
        try:
            while not self.closed.is_set():
                with suppress(httpx.TransportError):
                    async for frames in ways[self._transport]():
                        for frame in frames if isinstance(frames, list) else [frames]:
                            self._on_push(frame)
                await asyncio.sleep(_SHORT_POLL_EVERY_S if self._transport == "short_poll" else _AGAIN_S)
        finally:
            self.closed.set()

    async def _events(self) -> AsyncIterator[Any]:
        headers = self._headers | {"Accept": "text/event-stream"}
        if self._cursor is not None:
            headers["Last-Event-ID"] = self._cursor
        cursor = self._cursor
        async for line in self._streamed(headers, {}):
            name, _, value = line.partition(": ")
            if name == "id":
                cursor = value
            elif name == "data":
                yield json.loads(value)
                self._cursor = cursor

    async def _lines(self) -> AsyncIterator[Any]:
        parameters = {} if self._cursor is None else {"cursor": self._cursor}
        async for line in self._streamed(self._headers | {"Accept": "application/x-ndjson"}, parameters):
            if line:
                batch = json.loads(line)
                yield batch["frames"]
                self._cursor = batch["cursor"]

    async def _streamed(self, headers: dict[str, str], parameters: dict[str, str]) -> AsyncIterator[str]:
        path = f"/v1/stream{self._path.removeprefix('/v1')}"
        async with self._http.stream("GET", path, headers=headers, params=parameters) as answer:
            if answer.status_code != 200:
                self._ended(answer)
                return
            async for line in answer.aiter_lines():
                yield line

    async def _polled(self) -> AsyncIterator[Any]:
        parameters: dict[str, Any] = {} if self._cursor is None else {"cursor": self._cursor}
        if self._transport == "long_poll":
            parameters["wait_s"] = 25
        answer = await self._http.get(f"{self._path}/frames", headers=self._headers, params=parameters)
        if answer.status_code != 200:
            self._ended(answer)
            return
        batch = answer.json()
        yield batch["frames"]
        self._cursor = batch["cursor"]

    def _ended(self, answer: httpx.Response) -> None:
        if answer.status_code in (401, 403, 410):
            self.closed.set()
