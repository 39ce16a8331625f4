"""A server of which the test writes each byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Asked:
    """A request, and the connection to answer it on."""

    def __init__(self, head: str, body: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.what = head.split(" HTTP/")[0]
        self.body = body
        self._reader, self._writer = reader, writer

    async def write(self, content: str | bytes) -> None:
        """Write it as it is, and at once."""
        self._writer.write(content.encode() if isinstance(content, str) else content)
        await self._writer.drain()

    async def answer(self, text: str) -> None:
        """Answer with JSON, whole."""
        body = text.encode()
        await self.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
        await self.write(body)

    async def begin(self, type_: str) -> None:
        """Begin a stream of chunks."""
        await self.write(f"HTTP/1.1 200 OK\r\nContent-Type: {type_}\r\nTransfer-Encoding: chunked\r\n\r\n")

    async def chunk(self, content: bytes) -> None:
        """Write one; an empty one is the stream's end."""
        await self.write(b"%x\r\n%b\r\n" % (len(content), content))

    async def cut(self) -> None:
        """End the connection."""
        self._writer.close()
        await self._writer.wait_closed()

    async def left(self) -> None:
        """Return when the client has ended the connection."""
        assert await self._reader.read() == b""


class RawHttp:
    """Notes what is asked, for the test to answer it: each request once, in its order."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._asked: asyncio.Queue[Asked] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def connections(self) -> int:
        """How many there have been."""
        return len(self._writers)

    async def close(self) -> None:
        """End them all."""
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def next(self) -> Asked:
        """Return the next request."""
        async with asyncio.timeout(10):
            return await self._asked.get()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lengths = [line[15:] for line in head.split("\r\n") if line.lower().startswith("content-length:")]
                body = (await reader.readexactly(int(lengths[0]))).decode() if lengths else ""
                self._asked.put_nowait(Asked(head, body, reader, writer))
                if head.startswith("GET /v1/stream"):
                    return  # what the client does next is the test's to see
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it has left


@asynccontextmanager
async def raw_http() -> AsyncIterator[RawHttp]:
    """Serve until the block ends."""
    server = RawHttp("")
    async with await asyncio.start_server(server._connected, "127.0.0.1", 0) as listening:
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        try:
            yield server
        finally:
            await server.close()
