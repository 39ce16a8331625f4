"""The app on a port: streams are told apart from whole answers only by who reads them as they come."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve the app; yield its origin."""
    with listening() as (sock, origin), serving(app, sock):
        yield origin


@contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    """Yield a socket on a free port, and the origin that is served there."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock, f"http://127.0.0.1:{sock.getsockname()[1]}"


@contextmanager
def serving(app: ASGIApp, sock: socket.socket) -> Iterator[None]:
    """Serve the app on the socket; its WebSockets too, if it has any."""
    config = uvicorn.Config(
        app, lifespan="off", log_level="warning", timeout_graceful_shutdown=1, ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    ready = threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(_serve(server, sock, ready),))
    thread.start()
    ready.wait(20)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


async def _serve(server: uvicorn.Server, sock: socket.socket, ready: threading.Event) -> None:
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)  # uvicorn has no event for it
    ready.set()
    await serving
