"""The ways over HTTP on a real network: connections, cuts and what the library makes of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.unit.client.raw_http import Asked, RawHttp, raw_http
from tests.unit.client.recorder import Recorder
from tidewire.transports.http import HttpWay, http_transport
from tidewire.transports.transport import Endpoints, Transport
from tidewire.ways import Deployment, http_client

GREETING = json.dumps({"type": "hello", "id": 1, "protocol": 1, "token": "good"})
SESSION = {"session_id": "s1", "session_token": "secret"}
GREETED = {"type": "reply", "id": 1, "result": SESSION}


@asynccontextmanager
async def greeted(server: RawHttp, way: HttpWay) -> AsyncIterator[tuple[Transport, Recorder, Asked]]:
    """Its session stands, and what it reads by is to be answered."""
    async with http_client() as http:
        handlers = Recorder()
        transport = http_transport(way, http)(Endpoints("ws://unused", server.url, server.url), handlers)
        await handlers.until(1)
        transport.send(GREETING)
        await (await server.next()).answer(json.dumps(SESSION))
        if way == "long_poll":
            await (await server.next()).answer('{"cursor":"c0","frames":[]}')  # it can be asked
        yield transport, handlers, await server.next()
        transport.close()
        await transport.wait_closed()


async def test_a_stream_is_read_as_it_comes_while_other_things_are_posted() -> None:
    async with raw_http() as server, greeted(server, "stream") as (transport, handlers, stream):
        await stream.begin("application/x-ndjson")
        await stream.chunk(b"\n")
        assert await handlers.until(2) == ["open", GREETED]
        line = '{"cursor":"c1","frames":[{"type":"pong","id":"€"}]}\n'.encode()
        middle = line.index("€".encode()) + 1
        await stream.chunk(line[:middle])  # half a character
        transport.send('{"type":"ping","id":2}')
        transport.send('{"type":"ping","id":3}')
        posts = [await server.next(), await server.next()]
        assert {post.what for post in posts} == {"POST /v1/sessions/s1/frames"}
        for post in reversed(posts):
            await post.answer(f"[{post.body}]")
        assert sorted(frame["id"] for frame in (await handlers.until(4))[2:]) == [2, 3]
        await stream.chunk(line[middle:])
        assert (await handlers.until(5))[4:] == [{"type": "pong", "id": "€"}]


@pytest.mark.parametrize("way", ["sse", "stream"])
async def test_a_stream_that_ends_is_asked_for_again_from_its_cursor(way: HttpWay) -> None:
    async with raw_http() as server, greeted(server, way) as (_transport, handlers, stream):
        await stream.begin("text/event-stream" if way == "sse" else "application/x-ndjson")
        said = b'id: c1\ndata: [{"id":7}]\n\n' if way == "sse" else b'{"cursor":"c1","frames":[{"id":7}]}\n'
        await stream.chunk(said)
        await stream.chunk(said[:10])
        await stream.chunk(b"")
        await stream.cut()
        assert await handlers.until(3) == ["open", GREETED, {"id": 7}]
        assert (await server.next()).what == "GET /v1/stream/sessions/s1?cursor=c1"
        assert handlers.closes == 0


async def test_one_that_is_cut_or_ends_without_a_word_is_told_of() -> None:
    async with raw_http() as server:
        async with greeted(server, "stream") as (_transport, handlers, stream):
            await stream.begin("application/x-ndjson")
            await stream.chunk(b'\n{"cursor"')
            await stream.cut()
            assert await handlers.until(3) == ["open", GREETED, "close"]
        async with greeted(server, "sse") as (_transport, handlers, stream):
            await stream.begin("text/event-stream")
            await stream.chunk(b"")
            assert await handlers.until(2) == ["open", "close"]
        async with greeted(server, "sse") as (_transport, handlers, stream):
            await stream.cut()  # not even an answer
            assert await handlers.until(2) == ["open", "close"]


@pytest.mark.parametrize("end", ["retire", "close"])
async def test_who_reads_no_more_lets_go_of_the_connection(end: str) -> None:
    async with raw_http() as server, greeted(server, "sse") as (transport, handlers, stream):
        await stream.begin("text/event-stream")
        await stream.chunk(b": hello\n\n")
        await handlers.until(2)
        getattr(transport, end)()
        async with asyncio.timeout(10):
            await stream.left()
        assert handlers.closes == 0


async def test_polls_go_by_one_connection_and_the_session_ends_by_it() -> None:
    async with raw_http() as server:
        async with greeted(server, "long_poll") as (transport, handlers, poll):
            for number in range(3):
                await poll.answer(json.dumps({"cursor": f"c{number}", "frames": [{"id": number}]}))
                poll = await server.next()
                assert poll.what == f"GET /v1/sessions/s1/frames?wait_s=25&cursor=c{number}"
            assert [frame["id"] for frame in handlers.frames] == [1, 0, 1, 2]
            assert server.connections == 1
            transport.close(for_good=True)
            ended = await server.next()
            assert ended.what == "DELETE /v1/sessions/s1"
            await ended.write("HTTP/1.1 204 No Content\r\n\r\n")
        assert server.connections == 2  # the poll's own ended with it


async def test_a_way_elsewhere_is_not_followed() -> None:
    async with raw_http() as server, http_client() as http:
        finding = asyncio.ensure_future(Deployment(server.url, http).find())
        asked = await server.next()
        assert asked.what == "GET /v1/config"
        await asked.write("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
        with pytest.raises(Exception, match="answered 302, not as Tidewire does"):
            await finding
