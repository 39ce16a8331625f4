"""Sockets: RFC 6455 between a client and the gateway. A protocol class for uvicorn, on websockets' sans-I/O core."""

import asyncio
import http.client
import logging
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qs

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from localstack.edge.gateway import CLOSE_GOING_AWAY, Connection, Gateway, Handshake

WEBSOCKET_PATH: Final = "/v1/ws"
_CLOSE_TIMEOUT_S: Final = 2  # less than uvicorn waits for its connections when it stops
_HOP_BY_HOP: Final = frozenset({"Connection", "Upgrade"})  # AWS keeps them from the event
# At DEBUG the core logs handshakes and frames: tickets, tokens, data. It is kept from that whatever the root's level.
_core_logger: Final = logging.getLogger(f"{__name__}.core")
_core_logger.setLevel(logging.INFO)


class EdgeWebSocket(asyncio.Protocol):
    """One client's socket. uvicorn hands it the connection after an Upgrade request."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], *, gateway: Gateway
    ) -> None:
        self._gateway = gateway
        self._server_state = server_state
        limits = gateway.limits
        max_size = (limits.message_max_bytes, limits.frame_max_bytes)
        self._core = ServerProtocol(max_size=max_size, logger=_core_logger)
        self._transport: asyncio.Transport | None = None
        self._connection: Connection | None = None
        self._text = bytearray()  # of a message whose last fragment has not come
        self._closed_here = False
        self._cut_off: asyncio.TimerHandle | None = None
        self._lost = False

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """uvicorn hands over its transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn asks only for shutdown()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self._core.receive_data(data)
        self._advance()

    def eof_received(self) -> None:
        """The client will send no more."""
        self._core.receive_eof()
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, properly or not."""
        self._server_state.connections.discard(self)
        if self._cut_off is not None:
            self._cut_off.cancel()
        self._core.receive_eof()
        self._lost = True
        if self._connection is not None:
            # What this side sent, or answered to the client's: the same code then.
            close = self._core.close_sent or Close(CloseCode.ABNORMAL_CLOSURE, "")
            self._gateway.closed(self._connection, close.code, close.reason)

    def pause_writing(self) -> None:
        """A client that does not read is not read from: what it asks for would fill this process instead."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._transport is not None:
            self._transport.resume_reading()

    def shutdown(self) -> None:
        """uvicorn stops."""
        if self._core.state is State.CONNECTING and self._transport is not None:
            self._transport.abort()
        self.close(CLOSE_GOING_AWAY, "Going away")

    # the gateway's side

    @property
    def is_open(self) -> bool:
        """See :class:`localstack.edge.gateway.Socket`."""
        return self._core.state is State.OPEN

    @property
    def buffered_bytes(self) -> int:
        """See :class:`localstack.edge.gateway.Socket`."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    def send(self, text: str) -> None:
        """See :class:`localstack.edge.gateway.Socket`."""
        if self.is_open:
            self._core.send_text(text.encode())
            self._write()

    def close(self, code: int, reason: str = "") -> None:
        """See :class:`localstack.edge.gateway.Socket`. A client that does not answer is cut off."""
        if self.is_open:
            self._closed_here = True
            self._core.send_close(code, reason)
            self._write()
            self._cut_off_later()

    # between the two

    def _advance(self) -> None:
        for event in self._core.events_received():
            if isinstance(event, Request):
                self._hold()
                opening = asyncio.get_running_loop().create_task(self._open(event))
                self._server_state.tasks.add(opening)  # uvicorn waits for it when it stops, and then cancels it
                opening.add_done_callback(self._server_state.tasks.discard)
            elif isinstance(event, Frame) and self._connection is not None:
                self._frame(self._connection, event)
        self._write()

    def _hold(self) -> None:
        """Read nothing until the handshake is answered: a client must not send before, and might send a lot."""
        if self._transport is not None:
            self._transport.pause_reading()

    async def _open(self, request: Request) -> None:
        path, _, query = request.path.partition("?")
        response = self._core.accept(request)  # refuses what is no handshake, so that $connect never sees it
        connection = None
        if path != WEBSOCKET_PATH:
            response = self._refusal(http.HTTPStatus.NOT_FOUND)
        elif response.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS:
            status, headers, connection = await self._gateway.connect(self._handshake(request, query), self)
            if connection is None:
                response = self._refusal(status)
            response.headers.update(headers)
        if not self._lost:
            self._core.send_response(response)
            self._write()
        if connection is None:
            return
        self._connection = connection
        if self._lost:  # cut off while $connect ran
            self._gateway.closed(connection, CloseCode.ABNORMAL_CLOSURE, "")
        elif self._transport is not None:
            self._gateway.opened(connection)
            self._transport.resume_reading()  # and see whether the client is still there

    def _handshake(self, request: Request, query: str) -> Handshake:
        peer = self._transport.get_extra_info("peername") if self._transport else None
        headers = _aws_headers(request.headers.raw_items())
        return Handshake(headers, parse_qs(query, keep_blank_values=True), peer[0] if peer else "")

    def _refusal(self, status: int) -> Response:
        phrase = http.client.responses.get(status, "Refused")  # a function may make up its own status
        response = self._core.reject(http.HTTPStatus.FORBIDDEN, f"{phrase}\n")
        response.status_code, response.reason_phrase = status, phrase
        return response

    def _frame(self, connection: Connection, frame: Frame) -> None:
        if self._closed_here:
            return  # it was under way; after a close frame of the client's own, the core reads nothing more
        if frame.opcode is Opcode.BINARY:
            # docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-binary-media-types.html
            self.close(CloseCode.UNSUPPORTED_DATA, "Binary is not supported")
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._text += frame.data
            if frame.fin:
                text = self._text.decode(errors="replace")
                self._text.clear()
                self._gateway.received(connection, text)

    def _write(self) -> None:
        if self._transport is None:
            return
        for data in self._core.data_to_send():
            if data:
                self._transport.write(data)
            else:  # half-close: the core has said its last word
                self._transport.close()
                self._cut_off_later()

    def _cut_off_later(self) -> None:
        """Give the client a moment to read what it was sent."""
        if self._cut_off is None and self._transport is not None:
            self._cut_off = asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT_S, self._transport.abort)


def _aws_headers(items: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return headers by the names that clients write and AWS hands on. uvicorn has made them lower case."""
    headers: dict[str, list[str]] = {}
    for lower, value in items:
        name = lower.title().replace("Websocket", "WebSocket")
        if name not in _HOP_BY_HOP:
            headers.setdefault(name, []).append(value)
    return headers
