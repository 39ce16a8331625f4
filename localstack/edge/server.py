"""The edge's server: WebSocket front, ``@connections``, and the FastAPI app behind one port."""

import asyncio
import contextlib
import functools
import socket
import threading
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from localstack.edge.gateway import Gateway
from localstack.edge.http import EdgeHttp
from localstack.edge.management import routes
from localstack.edge.websocket import EdgeWebSocket

_START_TIMEOUT_S: Final = 20
_DRAIN_TIMEOUT_S: Final = 3


class Edge:
    """Serves in a thread of its own, so that who started it may block."""

    def __init__(self, gateway: Gateway, *, sock: socket.socket, http_app: ASGIApp) -> None:
        self.gateway = gateway
        self._socket = sock
        app = Starlette(routes=routes(gateway))
        app.router.default = http_app  # not a mount: that takes no path with a line's end, which API Gateway does
        config = uvicorn.Config(
            app,
            http=functools.partial(EdgeHttp, limits=gateway.limits),  # type: ignore[arg-type]  # as good as the class
            ws=functools.partial(EdgeWebSocket, gateway=gateway),  # type: ignore[arg-type]  # as good as the class
            lifespan="off",
            access_log=False,  # it would log tickets
            proxy_headers=False,  # the peer is the client: what it says of itself is not asked
            log_level="warning",
            timeout_graceful_shutdown=3,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="edge", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()

    def start(self) -> None:
        """Return when it serves.

        Raises:
            RuntimeError: It does not.
        """
        self._thread.start()
        if not self._started.wait(_START_TIMEOUT_S) or not self._thread.is_alive():
            raise RuntimeError("the edge did not start")

    def stop(self) -> None:
        """Close every connection, give the functions a moment, and return when the thread has ended."""
        self._server.should_exit = True
        if self._thread.ident is not None:  # it may not have come to starting
            self._thread.join()

    def call(self, function: Any, *arguments: Any) -> Any:
        """Run a function of the gateway in the edge's loop; return its result (tests)."""
        assert self._loop is not None

        async def run() -> Any:
            return function(*arguments)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        serving = self._loop.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.01)  # uvicorn has no event for it
        self._started.set()
        await serving
        # What is not done by then is cancelled when this loop ends.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.gateway.drain(), _DRAIN_TIMEOUT_S)
