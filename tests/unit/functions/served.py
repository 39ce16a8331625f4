"""The app on a port: streams are told apart from whole answers only by who reads them as they come."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve the app; yield its origin."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, lifespan="off", log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        ready = threading.Event()
        thread = threading.Thread(target=asyncio.run, args=(_serve(server, sock, ready),))
        thread.start()
        ready.wait(20)
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


async def _serve(server: uvicorn.Server, sock: socket.socket, ready: threading.Event) -> None:
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)  # uvicorn has no event for it
    ready.set()
    await serving


class Lines:
    """What comes on a stream, line by line."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def sse(self) -> dict[str, str]:
        """Return the next event with data: its fields."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if not line and "data" in fields:
                return fields
            if line:
                fields[name] = value
        raise EOFError(fields)

    async def ndjson(self) -> dict[str, Any]:
        """Return the next line that is not blank."""
        async for line in self._lines:
            if line:
                value: dict[str, Any] = json.loads(line)
                return value
        raise EOFError


@asynccontextmanager
async def streaming(url: str, **options: Any) -> AsyncIterator[Lines]:
    """Open a stream."""
    async with httpx.AsyncClient(timeout=20) as client, client.stream("GET", url, **options) as response:
        yield Lines(response)
