"""One GET with bounds that hold for all of it: time, bytes, no redirect. For servers that may be slow, huge or broken.

urllib's and http.client's timeouts are of each read: a byte a second would keep a request for hours.
"""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

_CHUNK_BYTES: Final = 16_384
_HEAD_MAX_BYTES: Final = 16_384


class FetchError(Exception):
    """There was no good answer within the bounds."""


def fetch(url: str, *, until_s: float, max_bytes: int, look_up: Callable[..., Any] = socket.getaddrinfo) -> bytes:
    """Return the body of a 200.

    Args:
        url: https, or http.
        until_s: When it must be there, by ``time.monotonic``.
        max_bytes: Of the body.
        look_up: Finds the addresses of a host.

    Raises:
        FetchError: It is not there by then, is larger, or is another answer: a redirect, too.
    """
    try:
        received = _exchange(url, until_s, max_bytes + _HEAD_MAX_BYTES, look_up)
        response = http.client.HTTPResponse(_Received(received))  # type: ignore[arg-type]  # of a socket it takes no more
        response.begin()
        body = response.read(max_bytes + 1)
    # ValueError: what can't be a URL, or a length. TimeoutError is an OSError.
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FetchError(type(error).__name__) from error
    if response.status != 200:
        raise FetchError(f"status {response.status}")
    if len(body) > max_bytes:
        raise FetchError(f"more than {max_bytes} bytes")
    return body


def _exchange(url: str, until_s: float, max_bytes: int, look_up: Callable[..., Any]) -> bytes:
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    request = (
        f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        "Accept: application/json\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
    )
    received = bytearray()
    with _connect(host, parts.port or (443 if secure else 80), until_s, look_up) as plain:
        sock = plain
        if secure:
            sock = _tls().wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
        with sock:
            if isinstance(sock, ssl.SSLSocket):
                sock.settimeout(_left(until_s))
                sock.do_handshake()  # its timeout is of the whole of it
            sock.settimeout(_left(until_s))
            sock.sendall(request.encode("ascii"))
            while len(received) <= max_bytes:
                sock.settimeout(_left(until_s))
                chunk = sock.recv(_CHUNK_BYTES)
                if not chunk:
                    return bytes(received)
                received += chunk
    raise FetchError(f"more than {max_bytes} bytes")


def _connect(host: str, port: int, until_s: float, look_up: Callable[..., Any]) -> socket.socket:
    # A look-up takes no timeout, so a thread waits for it; each has one of its own, since it may hang.
    resolver = ThreadPoolExecutor(1, thread_name_prefix="resolver")
    looked_up = resolver.submit(look_up, host, port, type=socket.SOCK_STREAM)
    resolver.shutdown(wait=False)
    last: OSError = OSError("no address")
    for family, kind, protocol, _, address in looked_up.result(timeout=_left(until_s)):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(until_s))
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise last


def _left(until_s: float) -> float:
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Received:
    """What a socket had, for who reads it from one."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._received)
