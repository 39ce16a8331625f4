"""Sockets: RFC 6455 between a client and the gateway. A protocol class for uvicorn, on websockets' sans-I/O core."""

import asyncio
import http
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from uvicorn.config import Config
from uvicorn.server import ServerState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from localstack.edge.gateway import CLOSE_GOING_AWAY, Connection, Gateway, Handshake

WEBSOCKET_PATH: Final = "/v1/ws"
_CLOSE_UNSUPPORTED: Final = 1003
_CLOSE_TIMEOUT_S: Final = 5


class EdgeWebSocket(asyncio.Protocol):
    """One client's socket. uvicorn hands it the connection after an Upgrade request."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], *, gateway: Gateway
    ) -> None:
        self._gateway = gateway
        self._server_state = server_state
        limits = gateway.limits
        self._core = ServerProtocol(max_size=(limits.message_max_bytes, limits.frame_max_bytes))
        self._transport: asyncio.Transport | None = None
        self._connection: Connection | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._early: list[Frame] = []
        self._fragments: list[bytes] = []
        self._ended = False

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
        if self._core.state is not State.CLOSED:
            self._core.receive_eof()
        self._end()

    def shutdown(self) -> None:
        """uvicorn stops."""
        self.close(CLOSE_GOING_AWAY, "Going away")

    # the gateway's side

    def send(self, text: str) -> None:
        """Send one message."""
        if self._core.state is State.OPEN:
            self._core.send_text(text.encode())
            self._write()

    def close(self, code: int, reason: str = "") -> None:
        """Close; a client that does not answer is cut off."""
        if self._core.state is State.OPEN:
            self._core.send_close(code, reason)
            self._write()
        if self._transport is not None:
            asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT_S, self._transport.abort)

    @property
    def buffered_bytes(self) -> int:
        """What the client has not read yet."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    # between the two

    def _advance(self) -> None:
        for event in self._core.events_received():
            if isinstance(event, Request):
                self._handshake = asyncio.get_running_loop().create_task(self._open(event))
            elif isinstance(event, Frame):
                if self._connection is None:
                    self._early.append(event)  # a client may send before it was answered
                else:
                    self._frame(self._connection, event)
        self._write()
        if self._core.state is State.CLOSED:
            self._end()

    async def _open(self, request: Request) -> None:
        url = urlsplit(request.path)
        if url.path != WEBSOCKET_PATH:
            self._refuse(http.HTTPStatus.NOT_FOUND)
            return
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        query = parse_qs(url.query, keep_blank_values=True)
        peer = self._transport.get_extra_info("peername") if self._transport else None
        handshake = Handshake(headers, query, peer[0] if peer else "")
        status, answer_headers, connection = await self._gateway.connect(handshake, self)
        if connection is None:
            self._refuse(http.HTTPStatus(status))
            return
        response = self._core.accept(request)
        for name, value in answer_headers.items():
            response.headers[name] = value
        self._core.send_response(response)
        self._write()
        self._connection = connection
        if self._ended or self._core.state is not State.OPEN:  # it left while $connect ran
            self._gateway.closed(connection, 1006, "")
            return
        self._gateway.opened(connection)
        for frame in self._early:
            self._frame(connection, frame)

    def _refuse(self, status: http.HTTPStatus) -> None:
        self._core.send_response(self._core.reject(status, f"{status.phrase}\n"))
        self._write()

    def _frame(self, connection: Connection, frame: Frame) -> None:
        if frame.opcode is Opcode.BINARY:
            # docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-binary-media-types.html
            self.close(_CLOSE_UNSUPPORTED, "Binary is not supported")
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._fragments.append(bytes(frame.data))
            if frame.fin:
                text = b"".join(self._fragments).decode(errors="replace")
                self._fragments.clear()
                self._gateway.received(connection, text)

    def _write(self) -> None:
        if self._transport is None:
            return
        for data in self._core.data_to_send():
            if data:
                self._transport.write(data)
            else:  # half-close: the core has said its last word
                self._transport.close()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        if self._connection is not None:
            code = self._core.close_code
            self._gateway.closed(self._connection, code if code is not None else 1006, self._core.close_reason or "")
        if self._transport is not None:
            self._transport.close()
