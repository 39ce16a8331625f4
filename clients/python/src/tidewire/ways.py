"""The ways to a deployment, and where it is."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, get_args

import httpx

from tidewire.errors import UnreachableError
from tidewire.problems import refusal, stranger, unreachable
from tidewire.transports.http import http_transport
from tidewire.transports.transport import Endpoints, OpenTransport
from tidewire.transports.websocket import websocket_transport

Way = Literal["websocket", "sse", "stream", "long_poll", "short_poll"]
"""A way to the server."""
WAYS: Final[tuple[Way, ...]] = get_args(Way)
"""The best first: what they are called in ``GET /v1/config``."""

_CONFIG_S: Final = 10.0


def http_client() -> httpx.AsyncClient:
    """Return what one client's requests go by; its user closes it.

    A read keeps a connection to itself for minutes, and two of them do where one transport follows another: beside
    them there has to be room for what is posted meanwhile. Redirects are not followed, since tokens go with requests.
    """
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=10, keepalive_expiry=30.0)
    return httpx.AsyncClient(limits=limits)


class Deployment:
    """Where a deployment is, as far as its user says; the rest is asked of it, once.

    Args:
        url: Origin of the HTTP API.
        websocket_url: Where the WebSocket is. With it nothing is asked, and streams are taken to be at ``url``.
    """

    def __init__(self, url: str, http: httpx.AsyncClient, *, websocket_url: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._http = http
        self._found = None if websocket_url is None else Endpoints(websocket_url, self._url, self._url)
        self._asking = asyncio.Lock()

    async def find(self) -> Endpoints:
        """Return where it is. What has failed is asked again by the next call.

        Raises:
            TidewireError: It refuses; or, as ``unsupported_protocol``, what answers is no Tidewire.
            UnreachableError: No answer came.
        """
        async with self._asking:
            if self._found is None:
                self._found = await self._ask()
            return self._found

    async def _ask(self) -> Endpoints:
        try:
            async with asyncio.timeout(_CONFIG_S):
                response = await self._http.get(f"{self._url}/v1/config", timeout=None)
        except TimeoutError as error:
            raise UnreachableError(f"{self._url} has not answered within {_CONFIG_S:.0f} s") from error
        except (httpx.InvalidURL, httpx.RequestError) as error:
            raise unreachable(self._url, error) from error
        if not response.is_success:
            raise refusal(response)
        try:
            return _endpoints(response.json(), self._url)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise stranger(response) from error


def real_ways(transports: Collection[str], http: httpx.AsyncClient) -> dict[str, OpenTransport]:
    """Return the ways that may be taken, the best first.

    Args:
        transports: Names of :data:`WAYS` in any order.

    Raises:
        ValueError: One has no such name, or there is none.
    """
    unknown = sorted(set(transports) - set(WAYS))
    if unknown or not transports:
        raise ValueError(f"transports are {', '.join(WAYS)}; not {', '.join(unknown) or 'none'}")
    return {
        way: websocket_transport if way == "websocket" else http_transport(way, http)
        for way in WAYS
        if way in transports
    }


def _endpoints(config: Mapping[str, Any], url: str) -> Endpoints:
    websocket_url, http_url = config["websocket_url"], config.get("http_url", url)
    stream_url = config.get("stream_url", http_url)
    if not all(isinstance(value, str) for value in (websocket_url, http_url, stream_url)):
        raise TypeError("URLs are strings")
    return Endpoints(websocket_url, http_url.rstrip("/"), stream_url.rstrip("/"))
