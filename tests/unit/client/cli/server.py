"""Servers for the command line: a little one that answers as it is told, and a whole Tidewire over memory."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from functions.http_api.app import create_app
from tests.unit.functions.conftest import services_of
from tests.unit.functions.served import served
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
            body = json.loads(text) if text else None
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
    """The HTTP side of a whole Tidewire over memory: what was asked has been seen to before it is answered.

    Attributes:
        stack: Its services.
    """

    def __init__(self, stack: MemoryStack, **environment: str) -> None:
        self.stack = stack
        self._app: FastAPI = create_app(services_of(stack, **environment))
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            return await self._app(scope, receive, send)
        async with self._turn:  # memory is no database: one write at a time
            said: list[Any] = []

            async def hold(message: Any) -> None:
                said.append(message)

            await self._app(scope, receive, hold)
            await run_in_threadpool(self.stack.drain)
        for message in said:
            await send(message)


@contextmanager
def tidewire(stage: str = "local", channels: str = "") -> Iterator[tuple[str, MemoryStack]]:
    """Serve a Tidewire; yield its origin and its services."""
    stack = MemoryStack(channels)
    stack.clock.now_ms = int(time.time() * 1000)
    with served(Tidewire(stack, TIDEWIRE_STAGE=stage)) as origin:  # type: ignore[arg-type]
        yield origin, stack
