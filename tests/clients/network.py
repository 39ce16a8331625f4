"""A client's way to the server: a port that passes on what comes, until it is cut, closed, or made to stay silent."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import urlsplit

_CHUNK_BYTES: Final = 65_536
_FORBIDDEN: Final = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Mode = Literal["open", "away", "forbidden", "silent"]


class Network:
    """Use it with ``async with``.

    Attributes:
        mode: What becomes of new connections: they lead to the server, end at once, are answered with 403, or never
            answered.
        refused: How many it has kept from the server.
        scripts: By path, those that are answered here.
    """

    def __init__(self, server: str, mode: Mode = "open") -> None:
        self.mode = mode
        self.refused = 0
        self.scripts: dict[str, str] = {}
        self._upstream = urlsplit(server)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def host(self) -> str:
        """What the server sees as the name by which it was called."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://{self.host}"

    @property
    def websocket_url(self) -> str:
        """Where the WebSocket is."""
        return f"ws://{self.host}/v1/ws"

    def cut(self) -> None:
        """End all connections, as a network does: without a word."""
        for writer in self._writers:
            writer.transport.abort()

    def away(self) -> None:
        """Cut, and let nobody through."""
        self.mode = "away"
        self.cut()

    def back(self) -> None:
        """Let everybody through."""
        self.mode = "open"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(ConnectionError, OSError):
                await self._answer(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.transport.abort() if self.mode == "away" else writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "open":
            assert self._upstream.hostname is not None
            up_reader, up_writer = await asyncio.open_connection(self._upstream.hostname, self._upstream.port)
            self._writers.add(up_writer)
            passing = [
                asyncio.ensure_future(self._ask(reader, writer, up_writer)),
                asyncio.ensure_future(_pass(up_reader, writer)),
            ]
            try:
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in passing:
                    way.cancel()
                await asyncio.gather(*passing, return_exceptions=True)
                self._writers.discard(up_writer)
                up_writer.close()
            return
        self.refused += 1
        if self.mode == "forbidden":
            await reader.readuntil(b"\r\n\r\n")
            writer.write(_FORBIDDEN)
        elif self.mode == "silent":
            await reader.read()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up_writer: asyncio.StreamWriter
    ) -> None:
        # A request begins with a chunk: browsers wait for the answer to the one before.
        while data := await reader.read(_CHUNK_BYTES):
            path = data.split(b" ", 2)[1].decode() if data.startswith(b"GET /") else ""
            if (script := self.scripts.get(path)) is not None:
                body = script.encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
            else:
                up_writer.write(data)
                await up_writer.drain()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
