"""The HTTP API (docs/protocol.md 4.4), for servers and tools: call after call; the server keeps no connection."""

from types import TracebackType
from typing import Any, Final, Self

import httpx

from tidewire.problems import refusal, unreachable

TIMEOUT_S: Final = 35.0  # API Gateway answers within 30


class Rest:
    """One deployment, as a server or a tool calls it. May be used by several threads.

    Args:
        url: Origin of the HTTP API, such as ``https://example.com``.
        token: A user's token.
        api_key: A server's key, in place of a token.
        http: Sends the requests; the caller closes it. By default an own one is made.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        api_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        http: httpx.Client | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if api_key is not None:
            self._headers["X-API-Key"] = api_key
        self._http = http or httpx.Client(timeout=timeout_s)
        self._owned = http is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the network."""
        if self._owned:
            self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Return what the server answers to a request that it grants.

        Args:
            path: With a slash at its beginning; names in it are percent-encoded.
            json: The body; ``None`` sends none.

        Raises:
            TidewireError: It refuses; or, as ``unsupported_protocol``, what answers is no Tidewire.
            UnreachableError: No answer came.
        """
        try:
            response = self._http.request(
                method, self.url + path, json=json, params=params, headers={**self._headers, **(headers or {})}
            )
        except (httpx.InvalidURL, httpx.RequestError) as error:
            raise unreachable(self.url, error) from error
        if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
            return response
        raise refusal(response)
