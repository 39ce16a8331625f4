"""Fetching from servers that are slow, huge, broken or send one elsewhere: the bounds hold for all of it."""

import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.bounded_http import FetchError, fetch
from tests.unit.adapters.certificates import certificate
from tests.unit.adapters.http_server import HttpServer, Peer, answer

MAX_BYTES = 1_000
WITHIN_S = 0.5


def got(server: HttpServer, *, within_s: float = 5) -> bytes:
    return fetch(f"{server.url}/keys?p=1", until_s=time.monotonic() + within_s, max_bytes=MAX_BYTES)


def once(said: bytes) -> Callable[[Peer], None]:
    def handle(peer: Peer) -> None:
        if peer.read():
            peer.answer(said)

    return handle


def drip(head: bytes) -> Callable[[Peer], None]:
    """Say some, and then a byte from time to time, for as long as somebody listens."""

    def handle(peer: Peer) -> None:
        if peer.read():
            peer.answer(head)
            while True:
                peer.sock.sendall(b"x")
                time.sleep(0.05)  # this is what is tested

    return handle


def test_a_body_is_returned_and_the_whole_target_asked_for() -> None:
    with HttpServer(once(answer(200, b"x" * MAX_BYTES))) as server:
        assert got(server) == b"x" * MAX_BYTES
        assert [request.path for request in server.requests] == ["/stage/keys?p=1"]
        assert server.requests[0].headers["host"] == f"127.0.0.1:{server.port}"


def test_a_chunked_body_is_put_together() -> None:
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    with HttpServer(once(said)) as server:
        assert got(server) == b"abc"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer(200, b"x" * (MAX_BYTES + 1)), "more than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000, "more than"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n" + b"x" * 100_000, "more than"),
        (answer(301, Location="https://example.com/"), "status 301"),
        (answer(302, b"{}", Location="/elsewhere"), "status 302"),
        (answer(204), "status 204"),
        (answer(404), "status 404"),
        (answer(500), "status 500"),
        (b"", "RemoteDisconnected"),
        (b"nonsense\r\n\r\n", "BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "IncompleteRead|ValueError"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", "HTTPException"),
    ],
)
def test_nothing_but_a_200_within_bounds_is_an_answer(said: bytes, why: str) -> None:
    with HttpServer(once(said)) as server:
        with pytest.raises(FetchError, match=why):
            got(server)
        assert len(server.requests) == 1  # no redirect is followed


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/1.1 200 OK\r\nA: ", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"],
    ids=["no", "head", "body"],
)
def test_a_byte_from_time_to_time_does_not_make_it_wait_longer(head: bytes) -> None:
    with HttpServer(drip(head)) as server:
        begun_s = time.monotonic()
        with pytest.raises(FetchError, match="TimeoutError"):
            got(server, within_s=WITHIN_S)
        assert WITHIN_S <= time.monotonic() - begun_s < WITHIN_S + 2


def test_nor_does_one_that_never_agrees_on_tls() -> None:
    with HttpServer(listen) as server, pytest.raises(FetchError, match="TimeoutError"):
        fetch(f"https://127.0.0.1:{server.port}/", until_s=time.monotonic() + WITHIN_S, max_bytes=MAX_BYTES)


def listen(peer: Peer) -> None:
    while peer.sock.recv(65_536):
        pass


def test_nobody_there_is_told_at_once() -> None:
    with HttpServer(once(b"")) as server:
        url = server.url
    with pytest.raises(FetchError, match="ConnectionRefusedError"):
        fetch(url, until_s=time.monotonic() + 5, max_bytes=MAX_BYTES)


def test_a_name_that_does_not_exist_is_told() -> None:
    with pytest.raises(FetchError, match=r"gaierror|TimeoutError"):
        fetch("https://tidewire.invalid/", until_s=time.monotonic() + 5, max_bytes=MAX_BYTES)


def test_a_name_that_is_looked_up_for_ever_keeps_nobody_else() -> None:
    looking, ended = threading.Event(), threading.Event()

    def look_up(host: str, *args: Any, **fields: Any) -> Any:
        if host == "hangs.test":
            looking.set()
            ended.wait()
        return socket.getaddrinfo(host, *args, **fields)

    try:
        with HttpServer(once(answer(200, b"{}"))) as server:
            for _ in range(2):  # as often as it is asked
                with pytest.raises(FetchError, match="TimeoutError"):
                    fetch("http://hangs.test/", until_s=time.monotonic() + 0.1, max_bytes=MAX_BYTES, look_up=look_up)
            assert looking.is_set()
            until_s = time.monotonic() + 5
            assert fetch(f"{server.url}/", until_s=until_s, max_bytes=MAX_BYTES, look_up=look_up) == b"{}"
    finally:
        ended.set()


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    pem, key = certificate(tmp_path, "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem, key)
    with HttpServer(once(answer(200, b"{}")), tls=tls) as server:
        with pytest.raises(FetchError, match="SSLCertVerificationError"):
            got(server)
        assert server.requests == []
