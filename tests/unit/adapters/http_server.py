"""A server of real sockets that does what a test says, one thread for each connection."""

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

DEADLINE_S: Final = 10
OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Request:
    """What came."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode().split("\r\n")
        self.method, self.path, _ = first.split(" ")
        self.headers: Mapping[str, str] = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        self.body = body
        self.connection_id = self.path.rpartition("/")[2]


class Peer:
    """A connection; ``number`` counts them from 0."""

    def __init__(self, server: "HttpServer", sock: socket.socket, number: int) -> None:
        self.sock, self.number = sock, number
        self._server, self._received = server, b""

    def read(self) -> Request | None:
        """Return the next request, ``None`` if the client has closed."""
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            if not self._more():
                return None
        head, self._received = self._received[:end], self._received[end + 4 :]
        request = Request(head, b"")
        while len(self._received) < int(request.headers.get("content-length", "0")):
            if not self._more():
                return None
        request.body, self._received = self._received, b""
        self._server.came(request)
        return request

    def answer(self, answer: bytes = OK) -> None:
        self._server.answers()
        self.sock.sendall(answer)

    def _more(self) -> bool:
        some = self.sock.recv(65_536)
        self._received += some
        return bool(some)


class HttpServer:
    """Listens until it is left.

    Attributes:
        requests: All that came, in order.
        most_in_flight: How many waited for their answers at most.
        connections: How many there were.
    """

    def __init__(self, handle: Callable[[Peer], None], *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.most_in_flight = self.connections = 0
        self._handle, self._tls = handle, tls
        self._in_flight = 0
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/stage"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(DEADLINE_S)
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads[1:]:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()

    def came(self, request: Request) -> None:
        with self._changed:
            self.requests.append(request)
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            self._changed.notify_all()

    def answers(self) -> None:
        with self._changed:
            self._in_flight -= 1

    def wait_for(self, requests: int) -> None:
        """Return once so many have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) >= requests, DEADLINE_S)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(DEADLINE_S)
            thread = threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True)
            self.connections += 1
            self._sockets.append(sock)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        served: Any = sock
        try:
            if self._tls:
                served = self._tls.wrap_socket(sock, server_side=True)
                self._sockets.append(served)
            self._handle(Peer(self, served, number))
        except OSError:
            pass  # the client has gone: what that means, the test sees by what the client says
        finally:
            served.close()
            sock.close()


def always(answer: Callable[[Request], bytes]) -> Callable[[Peer], None]:
    """Answer every request by this."""

    def handle(peer: Peer) -> None:
        while request := peer.read():
            peer.answer(answer(request))

    return handle


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Return an answer's bytes; underscores in headers' names stand for dashes."""
    fields = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Reason\r\n{lines}\r\n".encode() + body
