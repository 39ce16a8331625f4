"""The WebSocket transport, against a real server and against what is none."""

import asyncio
import base64
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.unit.client.recorder import Recorder
from tidewire.transports.transport import Endpoints, Transport
from tidewire.transports.websocket import websocket_transport

Peer = Callable[[ServerConnection], Awaitable[None]]
RawPeer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def connect(url: str) -> tuple[Transport, Recorder]:
    handlers = Recorder()
    return websocket_transport(Endpoints(url, "http://unused", "http://unused"), handlers), handlers


@asynccontextmanager
async def serving(peer: Peer) -> AsyncIterator[str]:
    server: Server
    async with serve(peer, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1/ws"


@asynccontextmanager
async def serving_bytes(peer: RawPeer) -> AsyncIterator[str]:
    """What is no good WebSocket server: the test writes each byte. It holds the connection until the test is over."""
    over = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer(reader, writer)
        await over.wait()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        over.set()


async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
    lines = ["HTTP/1.1 101 OK", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}", "", ""]
    writer.write("\r\n".join(lines).encode())


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def test_frames_go_and_come_in_their_order() -> None:
    async with serving(echo) as url:
        transport, handlers = connect(url)
        await handlers.until(1)
        for number in range(200):
            transport.send(f'{{"id":{number}}}')
        assert (await handlers.until(201))[:2] == ["open", {"id": 0}]
        assert [frame["id"] for frame in handlers.frames] == list(range(200))
        transport.close()
        await transport.wait_closed()


async def test_it_is_asked_for_without_compression_and_takes_no_more_than_the_gateway() -> None:
    seen: list[str] = []

    async def peer(socket: ServerConnection) -> None:
        assert socket.request is not None
        seen.append(socket.request.headers.get("Sec-WebSocket-Extensions", "none"))
        await socket.wait_closed()

    async with serving(peer) as url:
        transport, handlers = connect(url)
        await handlers.until(1)
        assert transport.max_bytes == 30_000
        transport.close()
        await transport.wait_closed()
    assert seen == ["none"]


async def test_what_was_sent_before_the_end_still_arrives_and_the_peer_hears_of_it() -> None:
    got: asyncio.Queue[object] = asyncio.Queue()

    async def peer(socket: ServerConnection) -> None:
        try:
            while True:
                got.put_nowait(await socket.recv())
        except ConnectionClosed as closed:
            got.put_nowait(closed.rcvd and closed.rcvd.code)

    async with serving(peer) as url:
        transport, handlers = connect(url)
        await handlers.until(1)
        transport.send("first")
        transport.send("é\ud800")  # half of a character
        transport.close()
        transport.send("too late")
        await transport.wait_closed()
        assert [await got.get() for _ in range(3)] == ["first", "é?", 1000]
    assert handlers.told == ["open"]


async def test_a_server_that_ends_is_told_of_once_after_what_it_said() -> None:
    async def peer(socket: ServerConnection) -> None:
        await socket.send('{"id":1}')
        await socket.send(b"no text")
        await socket.send("not json")

    async with serving(peer) as url:
        transport, handlers = connect(url)
        await handlers.until(4)
        transport.send("into the void")
        transport.close()
        await transport.wait_closed()
    assert handlers.told == ["open", {"id": 1}, "not json", "close"]


async def test_a_connection_that_breaks_is_told_of() -> None:
    async def peer(socket: ServerConnection) -> None:
        socket.transport.abort()

    async with serving(peer) as url:
        transport, handlers = connect(url)
        assert await handlers.until(2) == ["open", "close"]
        await transport.wait_closed()


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/", "http://127.0.0.1/", "ws://", "", "ws://\ud800/", "ws://a b/"])
async def test_what_can_not_be_had_is_told_of_and_nothing_is_raised(url: str) -> None:
    transport, handlers = connect(url)
    assert handlers.told == []
    transport.send("nobody is there")
    assert await handlers.until(1) == ["close"]
    transport.close()
    await transport.wait_closed()
    assert handlers.told == ["close"]


async def test_a_server_that_answers_with_a_page_is_none() -> None:
    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")

    async with serving_bytes(page) as url:
        transport, handlers = connect(url)
        assert await handlers.until(1) == ["close"]
        await transport.wait_closed()


async def test_one_that_says_nothing_can_be_closed_at_once() -> None:
    arrived = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()

    async with serving_bytes(mute) as url:
        transport, handlers = connect(url)
        await arrived.wait()
        transport.close()
        transport.close()
        await transport.wait_closed()
    assert handlers.told == []


async def test_a_peer_that_does_not_answer_the_end_is_left_after_a_second() -> None:
    async with serving_bytes(shake_hands) as url:
        transport, handlers = connect(url)
        await handlers.until(1)
        began_s = time.monotonic()
        transport.close()
        await transport.wait_closed()
        assert 0.9 < time.monotonic() - began_s < 5


async def test_neither_is_one_waited_for_that_takes_nothing_any_more() -> None:
    async with serving_bytes(shake_hands) as url:
        transport, handlers = connect(url)
        await handlers.until(1)
        for _ in range(1_000):
            transport.send("x" * 30_000)  # more than the system keeps for the peer
        transport.close()
        async with asyncio.timeout(10):
            await transport.wait_closed()


@pytest.mark.parametrize(
    "last_words",
    [
        b"\x88\x02\x03\xe8",  # the end, and then it stays
        b"\x81\x02\xc3\x28",  # text that is no UTF-8
        b"\xff\xff\xff",  # no frame
        b"\x81\x7f\x00\x00\x00\x00\x10\x00\x00\x00",  # far too much
    ],
)
async def test_a_peer_that_says_goodbye_or_nonsense_and_stays_is_left(last_words: bytes) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        writer.write(last_words)

    async with serving_bytes(peer) as url:
        transport, handlers = connect(url)
        assert await handlers.until(2) == ["open", "close"]
        await transport.wait_closed()


async def test_who_raises_on_a_message_does_not_end_it() -> None:
    class Raising(Recorder):
        def message(self, text: str) -> None:
            super().message(text)
            raise RuntimeError(text)

    loop, raised = asyncio.get_running_loop(), list[str]()
    loop.set_exception_handler(lambda _loop, context: raised.append(str(context["exception"])))
    async with serving(echo) as url:
        handlers = Raising()
        transport = websocket_transport(Endpoints(url, "", ""), handlers)
        await handlers.until(1)
        transport.send("1")
        transport.send("2")
        await handlers.until(3)
        transport.close()
        await transport.wait_closed()
    loop.set_exception_handler(None)
    assert raised == ["1", "2"]


async def test_no_log_holds_what_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "tidewire"):
        async with serving(echo) as url:
            transport, handlers = connect(url)
            await handlers.until(1)
            transport.send('{"token":"secret"}')
            await handlers.until(2)
            transport.close()
            await transport.wait_closed()
    ours = [record for record in caplog.records if record.name != "websockets.server"]
    assert "secret" not in "".join(record.getMessage() for record in ours)
