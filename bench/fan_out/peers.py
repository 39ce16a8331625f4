"""Who else could push: libraries that others use. Run by bench/peers/.venv; what signs for them is ours, and cached."""

import asyncio
import os
import ssl
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.credentials import ReadOnlyCredentials

from bench.fan_out.workload import MESSAGE, REGION, PushAll, main
from shared.adapters.sigv4 import Endpoint, SignedRequest

IN_FLIGHT: Final = 64

Post = Callable[[str], Awaitable[None]]


def in_loop(make: Callable[[str], Coroutine[Any, Any, Post]], loop: Any = None) -> Callable[[str], PushAll]:
    """Have 64 tasks share the connections of a call between them."""

    def client(url: str) -> PushAll:
        running = loop() if loop else asyncio.new_event_loop()
        post = running.run_until_complete(make(url))

        async def some(left: Any) -> None:
            for connection_id in left:
                await post(connection_id)

        async def push(connection_ids: Sequence[str]) -> None:
            left = iter(connection_ids)
            await asyncio.gather(*(some(left) for _ in range(min(IN_FLIGHT, len(connection_ids)))))

        return lambda connection_ids: running.run_until_complete(push(connection_ids))

    return client


async def aiobotocore(url: str) -> Post:
    """boto3's calls in asyncio."""
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    config = AioConfig(max_pool_connections=IN_FLIGHT)
    made = get_session().create_client("apigatewaymanagementapi", region_name=REGION, endpoint_url=url, config=config)
    client = await AsyncExitStack().enter_async_context(made)

    async def post(connection_id: str) -> None:
        await client.post_to_connection(ConnectionId=connection_id, Data=MESSAGE)

    return post


async def aiohttp(url: str) -> Post:
    """Its client, with our signatures."""
    import aiohttp
    import yarl

    connector = aiohttp.TCPConnector(limit=IN_FLIGHT, ssl=_tls() if url.startswith("https") else False)
    session = aiohttp.ClientSession(connector=connector)
    headers_of = _signer(url)

    async def post(connection_id: str) -> None:
        path, headers = headers_of(connection_id)
        async with session.post(yarl.URL(url + path, encoded=True), data=MESSAGE, headers=headers) as answer:
            _check(answer.status)

    return post


def httpx(*, http2: bool) -> Callable[[str], Coroutine[Any, Any, Post]]:
    """Its client, with our signatures."""

    async def make(url: str) -> Post:
        import httpx

        limits = httpx.Limits(max_connections=1 if http2 else IN_FLIGHT)
        client = httpx.AsyncClient(http1=not http2, http2=http2, verify=_tls(), limits=limits, timeout=60)
        headers_of = _signer(url)

        async def post(connection_id: str) -> None:
            path, headers = headers_of(connection_id)
            _check((await client.post(url + path, content=MESSAGE, headers=headers)).status_code)

        return post

    return make


async def awscrt(url: str) -> Post:
    """AWS's own client in C, with our signatures; an event loop of its own beside asyncio's."""
    from awscrt import http, io

    parts = urlsplit(url)
    group = io.EventLoopGroup(1)
    bootstrap = io.ClientBootstrap(group, io.DefaultHostResolver(group))
    tls = None
    if parts.scheme == "https":
        options = io.TlsContextOptions()
        options.override_default_trust_store_from_path(None, os.environ["AWS_CA_BUNDLE"])
        tls = io.ClientTlsContext(options).new_connection_options()
        tls.set_server_name(parts.hostname)
    opening = [
        asyncio.wrap_future(
            http.HttpClientConnection.new(parts.hostname, parts.port, bootstrap, tls_connection_options=tls)
        )
        for _ in range(IN_FLIGHT)
    ]
    free, headers_of = list(await asyncio.gather(*opening)), _signer(url)

    async def post(connection_id: str) -> None:
        path, headers = headers_of(connection_id)
        request = http.HttpRequest(
            "POST", parts.path + path, http.HttpHeaders(list(headers.items())), io.InputStream(BytesIO(MESSAGE))
        )
        connection = free.pop()
        stream = connection.request(request)
        stream.activate()
        _check(await asyncio.wrap_future(stream.completion_future))
        free.append(connection)

    return post


async def protocol(url: str) -> Post:
    """A bare asyncio protocol, answers by httptools."""
    import httptools

    class Http(asyncio.Protocol):
        transport: asyncio.Transport
        answered: asyncio.Future[int]

        def connection_made(self, transport: Any) -> None:
            self.transport, self.parser = transport, httptools.HttpResponseParser(self)

        def data_received(self, data: bytes) -> None:
            self.parser.feed_data(data)

        def on_message_complete(self) -> None:
            self.answered.set_result(self.parser.get_status_code())

    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    assert parts.hostname and parts.port
    tls = _tls() if parts.scheme == "https" else None
    free = [(await loop.create_connection(Http, parts.hostname, parts.port, ssl=tls))[1] for _ in range(IN_FLIGHT)]
    signed = _signed(url)

    async def post(connection_id: str) -> None:
        http = free.pop()
        http.answered = loop.create_future()
        http.transport.write(signed.to(connection_id))
        _check(await http.answered)
        free.append(http)

    return post


def _signed(url: str) -> SignedRequest:
    credentials = ReadOnlyCredentials(
        os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_SESSION_TOKEN"]
    )
    return SignedRequest("POST", Endpoint.of(url), MESSAGE, credentials, REGION, datetime.now(UTC))


def _signer(url: str) -> Callable[[str], tuple[str, dict[str, str]]]:
    """Return what makes a request's path behind the URL, and its headers."""
    signed, before = _signed(url), len(urlsplit(url).path)

    def headers_of(connection_id: str) -> tuple[str, dict[str, str]]:
        head, _, _ = signed.to(connection_id).partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return first.split(" ")[1][before:], dict(line.split(": ", 1) for line in lines)

    return headers_of


def _tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])


def _check(status: int) -> None:
    if status != 200:
        raise RuntimeError(f"a push has failed: {status}")


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


CLIENTS: Final = {
    "aiobotocore": in_loop(aiobotocore),
    "aiohttp": in_loop(aiohttp),
    "httpx": in_loop(httpx(http2=False)),
    "httpx_http2": in_loop(httpx(http2=True)),
    "awscrt": in_loop(awscrt),
    "protocol": in_loop(protocol),
    "protocol_uvloop": in_loop(protocol, _uvloop),
}

if __name__ == "__main__":
    main(CLIENTS, sys.argv[1:])
