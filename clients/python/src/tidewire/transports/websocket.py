"""WebSocket."""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tidewire.transports.teller import Teller
from tidewire.transports.transport import Endpoints, Handlers, Transport

# API Gateway takes frames of 32,000 bytes.
FRAME_MAX_BYTES: Final = 30_000
# The server's are no larger either (docs/protocol.md section 2); nobody has to hold more than this for one.
_MESSAGE_MAX_BYTES: Final = 1_000_000
_CLOSE_S: Final = 1.0

# At DEBUG the library writes what is sent and received: tokens and data, which belong into no log.
_LOGGER: Final = logging.getLogger(__name__)
_LOGGER.setLevel(logging.INFO)


def websocket_transport(endpoints: Endpoints, handlers: Handlers) -> Transport:
    """Start one. The proxy is the environment's, as for HTTP."""
    return _WebSocket(endpoints.websocket_url, handlers)


class _Connection(ClientConnection):
    """Ends in time where the peer has said goodbye, or nonsense, and keeps its side open: the library waits for it."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.protocol.close_expected():
            self.loop.call_later(_CLOSE_S, self.transport.abort)


class _WebSocket:
    def __init__(self, url: str, handlers: Handlers) -> None:
        self._teller = Teller(handlers)
        self._outgoing: asyncio.Queue[bytes | None] = asyncio.Queue()  # None: the end
        self._socket: ClientConnection | None = None
        self._closing = False
        self._limit: asyncio.TimerHandle | None = None
        self._task = asyncio.create_task(self._run(url))

    @property
    def max_bytes(self) -> int:
        return FRAME_MAX_BYTES

    def send(self, text: str) -> None:
        if self._socket is not None and not self._closing:
            # What is half a character can't be sent, and was none before either.
            self._outgoing.put_nowait(text.encode(errors="replace"))

    def retire(self) -> None:
        pass  # nothing is read here but what the server pushes

    def close(self, *, for_good: bool = False) -> None:
        self._teller.mute()
        if self._closing or self._task.done():
            return
        self._closing = True
        if self._socket is None:
            self._task.cancel()
        else:
            # What was sent goes first. A peer that has gone answers no close.
            self._outgoing.put_nowait(None)
            self._limit = asyncio.get_running_loop().call_later(_CLOSE_S, self._task.cancel)

    async def wait_closed(self) -> None:
        await asyncio.wait({self._task})

    async def _run(self, url: str) -> None:
        try:
            # How long it may take to connect is for whoever opened it to say.
            self._socket = await connect(
                url,
                compression=None,
                open_timeout=None,
                ping_interval=None,
                close_timeout=_CLOSE_S,
                max_size=_MESSAGE_MAX_BYTES,
                logger=_LOGGER,
                create_connection=_Connection,
            )
        except Exception:  # a URL that is none, nobody there, an answer that is none: there are many, and all mean this
            self._teller.close()
        else:
            await self._talk(self._socket)

    async def _talk(self, socket: ClientConnection) -> None:
        self._teller.open()
        writing = asyncio.create_task(self._write(socket))
        try:
            with suppress(ConnectionClosed):
                async for message in socket:
                    if isinstance(message, str):
                        self._teller.message(message)
        finally:
            self._teller.close()
            if self._limit is not None:
                self._limit.cancel()
            writing.cancel()
            socket.transport.abort()
            await asyncio.wait({writing})
            await socket.wait_closed()

    async def _write(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while (message := await self._outgoing.get()) is not None:
                await socket.send(message, text=True)
            await socket.close()
