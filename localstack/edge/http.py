"""HTTP requests at the edge: whoever sends one slowly, or with a head without end, holds nothing for long."""

import asyncio
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from localstack.edge.limits import Limits

_LATE: Final = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class _HeadTooLargeError(Exception):
    """Tells the parser to stop."""


class EdgeHttp(HttpToolsProtocol):
    """uvicorn's, with a limit of a request's head and of the time that all of it takes; it has neither.

    It also reads the handshakes of WebSockets, which are handed on once they are whole.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Limits,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._late: asyncio.TimerHandle | None = None
        self._in_head = True
        self._head_bytes = 0  # of the line and the values that are whole
        self._unread_bytes = 0  # of a head that is not whole

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there; what it wants is to be said in time."""
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._watch_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self.cycle is None or self.cycle.response_complete:
            self._watch()  # empty lines before a request begin none
        self._unread_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._unread_bytes > self._limits.head_max_bytes and not self.transport.is_closing():
            self._refuse(_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins; others may be under way before it."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self._watch()

    def on_url(self, url: bytes) -> None:
        """A part of its line came."""
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came."""
        self._head_bytes += len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        if self._head_bytes > self._limits.head_max_bytes:
            raise _HeadTooLargeError
        self._in_head, self._unread_bytes = False, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of the request is there."""
        self._unread_bytes = 0
        self._watch_no_more()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """It is a WebSocket's handshake, and whole."""
        self._watch_no_more()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """The parser has stopped."""
        if self._head_bytes > self._limits.head_max_bytes:
            self._refuse(_TOO_LARGE)
        else:
            super().send_400_response(msg)

    def _watch(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self._limits.request_timeout_s, self._end)

    def _watch_no_more(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end(self) -> None:
        self._late = None
        answering = self.cycle is not None and not self.cycle.response_complete
        self._refuse(b"" if answering else _LATE)

    def _refuse(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()
