"""A real edge on a free port; its functions are Python callables, its clients real sockets."""

import inspect
import json
import socket
import struct
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, Self

import boto3
from botocore.config import Config
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp
from websockets.frames import CloseCode, Frame, Opcode
from websockets.sync.client import ClientConnection, connect

from localstack.edge.api import Route, WebSocketApi
from localstack.edge.faults import Faults
from localstack.edge.gateway import Gateway
from localstack.edge.limits import Limits
from localstack.edge.server import Edge

DEADLINE_S: Final = 10
Event = dict[str, Any]
Function = Callable[[Event], Any]  # may be a coroutine function: it runs in the edge's loop

API: Final = WebSocketApi(
    "a1b2c3",
    "v1",
    "request/${request.body.type}",
    {
        "$connect": Route("$connect", "connect", None, False),
        "$disconnect": Route("$disconnect", "disconnect", None, False),
        "$default": Route("$default", "message", None, True),
        "request/ping": Route("request/ping", None, '{"type": "pong"}', True),
        "request/quiet": Route("request/quiet", "message", None, False),
    },
)


def ok(_event: Event) -> Any:
    return {"statusCode": 200}


def echo(event: Event) -> Any:
    return {"statusCode": 200, "body": event["body"]}


class FakeInvoker:
    """Invokes Python callables, and keeps every event that it was asked to deliver."""

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {"connect": ok, "disconnect": ok, "message": echo}
        self.events: list[Event] = []
        self._came = threading.Condition()

    async def invoke(self, function: str, event: Event) -> Any:
        json.dumps(event)  # as on its way to a real function
        with self._came:
            self.events.append(event)
            self._came.notify_all()
        answer = self.functions[function](event)
        return await answer if inspect.isawaitable(answer) else answer

    def of(self, kind: str) -> list[Event]:
        """Return the events of a kind: CONNECT, MESSAGE, DISCONNECT."""
        return [event for event in list(self.events) if event["requestContext"]["eventType"] == kind]

    def wait(self, kind: str, count: int = 1) -> Event:
        """Wait until there are ``count`` events of a kind; return the last of them."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.of(kind)) >= count, DEADLINE_S), f"no {kind} came"
        return self.of(kind)[count - 1]


class RunningEdge:
    """Stop it at the end: nothing may be left of its connections."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        faults: Faults | None = None,
        api: WebSocketApi = API,
        http_app: ASGIApp | None = None,
    ) -> None:
        self.invoker = FakeInvoker()
        self.gateway = Gateway(api, self.invoker, limits, faults)
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        self.port: int = sock.getsockname()[1]
        self._edge = Edge(self.gateway, sock=sock, http_app=http_app or saying_where())
        self._edge.start()

    @cached_property
    def connections(self) -> Any:
        """boto3's client of ``@connections``."""
        return boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=DEADLINE_S),
        )

    def stop(self) -> None:
        if "connections" in vars(self):
            self.connections.close()
        self._edge.stop()
        assert self.gateway.connections == {}

    def connect(self, path: str = "/v1/ws", **options: Any) -> ClientConnection:
        """Open a client; it has no limits and no pings of its own."""
        url = f"ws://127.0.0.1:{self.port}{path}"
        plain: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None, "close_timeout": 1}
        client: ClientConnection = connect(url, open_timeout=DEADLINE_S, **plain | options)
        return client

    def visit(self) -> None:
        """Come in and leave."""
        with self.connect():
            pass

    def connection_id(self, count: int = 1) -> str:
        """Return the id of the ``count``-th connection that asked to come in."""
        connection_id: str = self.invoker.wait("CONNECT", count)["requestContext"]["connectionId"]
        return connection_id

    def post(self, connection_id: str, data: bytes = b"x") -> None:
        self.connections.post_to_connection(ConnectionId=connection_id, Data=data)

    def tcp(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_S)


class RawClient:
    """A client that does what none should: it writes bytes, and reads only when it is told to."""

    def __init__(self, edge: RunningEdge, *, receive_buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(("127.0.0.1", edge.port))
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()
        self.socket.close()

    def ask(self, path: str = "/v1/ws", **headers: str) -> None:
        """Send the handshake."""
        lines = {
            "Host": "localhost",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())

    def answer(self) -> int:
        """Read the handshake's answer; return its status."""
        status = int(self._file.readline().split()[1])
        while self._file.readline().strip():
            pass
        return status

    def send(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> None:
        self.socket.sendall(Frame(opcode, data, fin).serialize(mask=True))

    def read(self) -> tuple[Opcode, bytes]:
        """Read a frame."""
        first, length = self._file.read(2)
        if length == 126:
            (length,) = struct.unpack("!H", self._file.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._file.read(8))
        return Opcode(first & 0x0F), self._file.read(length)

    def read_close(self) -> int:
        """Read until the close frame; return its code."""
        opcode, data = self.read()
        while opcode is not Opcode.CLOSE:
            opcode, data = self.read()
        return int.from_bytes(data[:2], "big") if data else CloseCode.NO_STATUS_RCVD

    def is_cut_off(self) -> bool:
        """Read what is left; return once the other side has closed."""
        try:
            while self._file.read(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def reset(self) -> None:
        """Close with RST, as a process does that is killed with data unread."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._file.close()
        self.socket.close()


def saying_where() -> ASGIApp:
    """Return an app that answers every path with its method and the path."""

    async def where(request: Request) -> Response:
        return JSONResponse({"method": request.method, "path": request.url.path})

    return Starlette(routes=[HttpRoute("/{path:path}", where, methods=["GET", "POST", "DELETE"])])
