"""Whoever sends a request slowly, or a head without end, is let go; whoever takes part is not."""

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from localstack.edge.limits import Limits
from tests.edge.conftest import Serve
from tests.edge.running import DEADLINE_S, RawClient, RunningEdge

HANDSHAKE = b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.fixture
def hasty(serve: Serve) -> RunningEdge:
    return serve(limits=Limits(request_timeout_s=0.5))


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b"HTTP/1.1 408 "),
        (b"GET / HT", b"HTTP/1.1 408 "),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-", b"HTTP/1.1 408 "),
        (b"\r\n\r\n", b"HTTP/1.1 408 "),
        (HANDSHAKE, b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", b""),  # the app waits for it
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT", b"HTTP/1.1 200 "),
    ],
)
def test_who_does_not_come_to_the_end_is_let_go(hasty: RunningEdge, sent: bytes, answer: bytes) -> None:
    with hasty.tcp() as client, client.makefile("rb") as answers:
        client.sendall(sent)
        assert answers.read().startswith(answer)


@pytest.mark.parametrize(
    "text", [b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"x" * 500, HANDSHAKE + b"X: " + b"x" * 500]
)
def test_a_byte_now_and_then_buys_no_time(hasty: RunningEdge, text: bytes) -> None:
    begun_s = time.monotonic()
    with hasty.tcp() as client, pytest.raises((BrokenPipeError, ConnectionResetError)):
        for byte in text:
            client.sendall(bytes([byte]))
            time.sleep(0.02)  # so slow is the client
    assert time.monotonic() - begun_s < 5


def test_empty_lines_keep_nobody_in(hasty: RunningEdge) -> None:
    with hasty.tcp() as client, pytest.raises((BrokenPipeError, ConnectionResetError)):
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(200):
            client.sendall(b"\r\n")
            time.sleep(0.05)


def test_a_socket_that_is_open_is_no_request(hasty: RunningEdge) -> None:
    with RawClient(hasty) as client:
        client.ask()
        assert client.answer() == 101
        client.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)


def test_a_slow_answer_is_no_slow_request(serve: Serve) -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(3)
        await PlainTextResponse("slow")(scope, receive, send)

    edge = serve(limits=Limits(request_timeout_s=1), http_app=slow)
    assert httpx.post(f"http://127.0.0.1:{edge.port}/", content=b"x", timeout=DEADLINE_S).text == "slow"


class TestHeads:
    @pytest.fixture
    def client(self, edge: RunningEdge) -> Iterator[httpx.Client]:
        with httpx.Client(base_url=f"http://127.0.0.1:{edge.port}", timeout=DEADLINE_S) as client:
            yield client

    def test_10_kb_are_taken_and_no_more(self, client: httpx.Client) -> None:
        assert client.get("/", headers={"X-Large": "x" * 9_900}).status_code == 200
        assert client.get("/", headers={"X-Large": "x" * 10_241}).status_code == 431

    def test_many_count_as_a_large_one(self, client: httpx.Client) -> None:
        assert client.get("/", headers={f"X-{number}": "x" * 100 for number in range(110)}).status_code == 431

    def test_and_so_does_the_line(self, client: httpx.Client) -> None:
        assert client.get("/", params={"q": "x" * 10_300}).status_code == 431

    def test_one_without_end_is_not_read_to_it(self, edge: RunningEdge) -> None:
        with edge.tcp() as client, client.makefile("rb") as answers:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + b"x" * 20_000)
            assert answers.readline().startswith(b"HTTP/1.1 431 ")

    def test_nor_is_a_handshakes(self, edge: RunningEdge) -> None:
        with RawClient(edge) as client:
            client.ask(X_Large="x" * 10_300)
            assert client.answer() == 431
        assert edge.invoker.of("CONNECT") == []

    def test_a_large_body_is_no_head(self, client: httpx.Client) -> None:
        assert client.post("/", content=b"x" * 1_000_000).status_code == 200
