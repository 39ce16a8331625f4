"""Servers for the command line: a little one that answers as it is told, and a whole Tidewire over memory."""

import asyncio
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from functions.http_api.app import create_app
from shared.protocol.encode import encode_frames
from tests.unit.functions.conftest import services_of
from tests.unit.functions.served import listening, serving
from tests.unit.stack import MemoryStack

CONFIG = {"websocket_url": "ws://localhost/v1/ws", "http_url": "http://localhost", "transports": ["websocket"]}


@dataclass(frozen=True)
class Asked:
    """A request, as it came."""

    method: str
    path: str
    params: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """What is answered: a value goes as JSON, a text as it is."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Answers = Callable[[Asked], Answer]


def problem(code: int, name: str, status: int, message: str = "no", **more: Any) -> Answer:
    """Return an error as the server has it."""
    body = {"code": code, "name": name, "message": message, "retryable": 2000 <= code < 3000, **more}
    return Answer(body, status, {"Content-Type": "application/problem+json"})


NOT_FOUND = Answer({"type": "about:blank", "title": "Not Found", "status": 404}, 404)


@contextmanager
def answering(answers: Answers) -> Iterator[str]:
    """Serve what ``answers`` returns to each request; yield the origin."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            parts = urlsplit(self.path)
            text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(text) if text[:1] in (b"{", b"[") else text.decode()
            answer = answers(Asked(self.command, parts.path, parse_qs(parts.query), dict(self.headers), body))
            sent = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(sent.encode())))
            self.end_headers()
            if answer.status != 204:
                self.wfile.write(sent.encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Tidewire:
    """A whole Tidewire over memory, by HTTP and WebSocket: what was asked has been seen to before it is answered.

    Attributes:
        drain: Lets go on what waits in lanes and on the bus.
    """

    def __init__(self, stack: MemoryStack, drain: Callable[[], None], **environment: str) -> None:
        self._stack, self._drain = stack, drain
        self._app = create_app(services_of(stack, **environment))
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._stack.clock.now_ms = int(time.time() * 1000)
        if scope["type"] == "websocket":
            await self._socket(receive, send)
        elif scope["method"] == "GET":
            await self._app(scope, receive, send)
        else:
            said: list[Any] = []

            async def hold(message: Any) -> None:
                said.append(message)

            async with self._turn:  # memory is no database: one write at a time
                await self._app(scope, receive, hold)
                await run_in_threadpool(self._drain)
            for message in said:
                await send(message)

    async def _socket(self, receive: Receive, send: Send) -> None:
        await receive()
        connection_id = secrets.token_hex(8)
        self._stack.connect(connection_id)
        await send({"type": "websocket.accept"})
        pushing = asyncio.create_task(self._push(connection_id, send))
        while (message := await receive())["type"] == "websocket.receive":
            async with self._turn:
                replies = await run_in_threadpool(self._dispatch, connection_id, message["text"])
            for reply in encode_frames(replies):
                await send({"type": "websocket.send", "text": reply.decode()})
        pushing.cancel()
        self._stack.sessions.disconnect(connection_id)
        self._stack.transport.inboxes.pop(connection_id, None)

    def _dispatch(self, connection_id: str, text: str) -> list[dict[str, Any]]:
        self._stack.transport.active_ms[connection_id] = self._stack.clock()
        replies = self._stack.dispatcher.handle(
            connection_id, text, max_bytes=32_000, received_at_ms=self._stack.clock()
        )
        self._drain()
        return replies

    async def _push(self, connection_id: str, send: Send) -> None:
        inbox = self._stack.transport.inboxes[connection_id]
        while True:
            while inbox:
                await send({"type": "websocket.send", "text": inbox.pop(0).decode()})
            if self._stack.transport.inboxes.get(connection_id) is not inbox:
                await send({"type": "websocket.close", "code": 1001})
                return
            await asyncio.sleep(0.01)  # memory has no event for it


@contextmanager
def tidewire(
    stage: str = "local",
    *,
    stack: MemoryStack | None = None,
    drain: Callable[[MemoryStack], None] = MemoryStack.drain,
    sock: socket.socket | None = None,
) -> Iterator[tuple[str, MemoryStack]]:
    """Serve a Tidewire; yield its origin and its services.

    Args:
        stack: What it is to serve; an empty one unless given.
        drain: Lets go on what waits in lanes and on the bus.
        sock: Where it listens; on a free port unless given.
    """
    stack = stack or MemoryStack()
    with ExitStack() as held:
        if sock is None:
            sock, origin = held.enter_context(listening())
        else:
            origin = f"http://127.0.0.1:{sock.getsockname()[1]}"
        urls = {"HTTP_URL": origin, "STREAM_URL": origin, "WEBSOCKET_URL": origin.replace("http", "ws") + "/v1/ws"}
        app = Tidewire(stack, lambda: drain(stack), TIDEWIRE_STAGE=stage, **urls)
        held.enter_context(serving(app, sock))
        yield origin, stack
