"""Stands where API Gateway stands: takes every push and answers it at once. A program: with a certificate, or without.

It does not sleep while it is asked something: waking it would be the client's work, and the dearer the slower that is.
Prints its port.
"""

import os
import re
import select
import socket
import ssl
import sys
import time
from collections.abc import Sequence

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)\r\n", re.IGNORECASE)
_READ_BYTES = 65_536
_AWAKE_S = 0.5


class Peer:
    """One connection: what has come and is no whole request yet, and what could not be sent yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.received, self.unsent, self.requests = sock, b"", b"", 0

    def serve(self) -> bool:
        """Go on; return whether it is still there."""
        try:
            while True:
                some = self.sock.recv(_READ_BYTES)
                if not some:
                    return False
                self.received = self.received + some if self.received else some
                if self._answer() and not isinstance(self.sock, ssl.SSLSocket):
                    return True  # TLS may have read more than it has handed out
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False

    def _answer(self) -> bool:
        """Answer the requests that are there; return whether nothing is left of others."""
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self.received, 0, end + 2)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self.received) < size:
                return False
            self.received = self.received[size:]
            self.requests += 1
            self.unsent += _answer(self.requests)
        while self.unsent:  # a few hundred bytes: there is always room for them
            self.unsent = self.unsent[self.sock.send(self.unsent) :]
        return not self.received


def _answer(number: int) -> bytes:
    """Return what PostToConnection is answered with."""
    return (
        b"HTTP/1.1 200 OK\r\nDate: Thu, 26 Nov 2026 18:00:00 GMT\r\nContent-Type: application/json\r\n"
        b"Content-Length: 0\r\nConnection: keep-alive\r\nx-amzn-RequestId: 7b2b7f0a-1111-2222-3333-%012d\r\n"
        b"x-amz-apigw-id: LiKq7HSkIAMESgQ=\r\n\r\n" % number
    )


def main(arguments: Sequence[str]) -> None:
    """Serve until it is terminated."""
    tls = None
    if arguments:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*arguments)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    listener.setblocking(False)
    poller = getattr(select, "epoll", select.poll)()  # both have what is used here
    poller.register(listener.fileno(), select.POLLIN)
    print(listener.getsockname()[1], flush=True)
    peers: dict[int, Peer] = {}
    awake_until_s = 0.0
    while True:
        events = poller.poll(0 if time.monotonic() < awake_until_s else -1)
        if events:
            awake_until_s = time.monotonic() + _AWAKE_S
        for fd, _ in events:
            if fd == listener.fileno():
                peer = Peer(_accepted(listener, tls))
                peers[peer.sock.fileno()] = peer
                poller.register(peer.sock.fileno(), select.POLLIN)
            elif not peers[fd].serve():
                poller.unregister(fd)
                peers.pop(fd).sock.close()


def _accepted(listener: socket.socket, tls: ssl.SSLContext | None) -> socket.socket:
    sock, _ = listener.accept()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls is None:
        return sock
    return tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)  # recv shakes hands


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    main(sys.argv[1:])
