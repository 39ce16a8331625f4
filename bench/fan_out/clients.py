"""Who pushes, as far as the project's own Python has it: ``python -m bench.fan_out.clients NAME URL COUNTS …``."""

import os
import select
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlsplit

import boto3

from bench.fan_out.workload import FRAME, MESSAGE, PushAll, main
from shared.adapters.aws import CLIENT_CONFIG
from shared.adapters.pusher import IN_FLIGHT_MAX
from shared.bootstrap import Services
from shared.contract import ENV_CONNECTIONS_ENDPOINT, ENV_PUSH_RATE_PER_S
from shared.ports import Delivery
from shared.settings import Settings


def pusher(url: str) -> PushAll:
    """The deployed code, as bootstrap makes it, with nothing before it."""
    transport = _services(url).transport

    def push_all(connection_ids: Sequence[str]) -> None:
        if any(transport.push_all(connection_ids, [MESSAGE])):
            raise RuntimeError("a push has failed")

    return push_all


def fan_out(url: str) -> PushAll:
    """The service that pushes by it: behind its breaker and its pacer, which has no limit here."""
    service = _services(url).fan_out

    def push_all(connection_ids: Sequence[str]) -> None:
        if service.resume(Delivery("room:lobby", [FRAME], connection_ids, 0)) < len(connection_ids):
            raise RuntimeError("a push has failed")

    return push_all


def raw(url: str) -> PushAll:
    """The least that Python can do: nothing is signed, and any answer is taken for a good one."""
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    request = f"POST %s HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(MESSAGE)}\r\n\r\n".encode() + MESSAGE
    sockets = {}
    poller = select.poll()
    for _ in range(IN_FLIGHT_MAX):
        sock: socket.socket = socket.create_connection((parts.hostname, parts.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
            sock = context.wrap_socket(sock, server_hostname=parts.hostname)
        sock.setblocking(False)
        sockets[sock.fileno()] = sock
        poller.register(sock, select.POLLIN)

    def push_all(connection_ids: Sequence[str]) -> None:
        left = [f"{parts.path}/@connections/{one}".encode() for one in connection_ids]
        answers = len(left)
        for sock in sockets.values():
            if left:
                sock.send(request % left.pop())
        while answers:
            for fd, _ in poller.poll():
                sock = sockets[fd]
                try:
                    sock.recv(4096)
                except ssl.SSLWantReadError:  # a session ticket
                    continue
                answers -= 1
                if left:
                    sock.send(request % left.pop())

    return push_all


def boto3_sequential(url: str) -> PushAll:
    """A loop over boto3's call."""
    post = _post(url)

    def push_all(connection_ids: Sequence[str]) -> None:
        for connection_id in connection_ids:
            post(connection_id)

    return push_all


def boto3_threads(url: str) -> PushAll:
    """What was deployed before: 32 threads."""
    post, executor = _post(url), ThreadPoolExecutor(_THREADS)

    def push_all(connection_ids: Sequence[str]) -> None:
        for _ in executor.map(post, connection_ids):
            pass

    return push_all


_THREADS: Final = 32
CLIENTS: Final = {
    "pusher": pusher,
    "fan_out": fan_out,
    "raw": raw,
    "boto3": boto3_sequential,
    "boto3_threads": boto3_threads,
}


def _services(url: str) -> Services:
    return Services(Settings.from_env({ENV_CONNECTIONS_ENDPOINT: url, ENV_PUSH_RATE_PER_S: "inf"}))


def _post(url: str) -> Callable[[str], Any]:
    client = boto3.client("apigatewaymanagementapi", endpoint_url=url, config=CLIENT_CONFIG)
    return lambda connection_id: client.post_to_connection(ConnectionId=connection_id, Data=MESSAGE)


if __name__ == "__main__":
    main(CLIENTS, sys.argv[1:])
