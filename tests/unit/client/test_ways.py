"""Where a deployment is, and by which ways it is reached."""

import asyncio
from typing import Any

import pytest

from tests.unit.client.fake_http import FakeHttp
from tests.unit.client.virtual import settle, virtual_time
from tidewire.errors import TidewireError, UnreachableError
from tidewire.transports.transport import Endpoints
from tidewire.transports.websocket import websocket_transport
from tidewire.ways import WAYS, Deployment, http_client, real_ways

CONFIG = {"websocket_url": "wss://ws.example/v1/ws", "http_url": "https://example/", "stream_url": "https://streams/"}


async def failure(http: FakeHttp, asking: "asyncio.Task[Endpoints]", content: Any, status: int) -> TidewireError:
    await settle()
    await http.last.answer(content, status)
    with pytest.raises(TidewireError) as failed:
        await asking
    return failed.value


@virtual_time
async def test_it_is_asked_once_however_many_want_to_know() -> None:
    http = FakeHttp()
    deployment = Deployment("https://example/", http.client)
    asking = [asyncio.ensure_future(deployment.find()) for _ in range(3)]
    await settle()
    assert [str(call.request.url) for call in http.calls] == ["https://example/v1/config"]
    await http.last.answer(CONFIG)
    found = Endpoints("wss://ws.example/v1/ws", "https://example", "https://streams")
    assert [await asked for asked in asking] == [found] * 3
    assert await deployment.find() == found
    assert len(http.calls) == 1


@virtual_time
async def test_a_deployment_of_one_origin_need_not_say_so() -> None:
    http = FakeHttp()
    asking = asyncio.ensure_future(Deployment("https://example", http.client).find())
    await settle()
    await http.last.answer({"websocket_url": "wss://example/v1/ws/"})
    assert await asking == Endpoints("wss://example/v1/ws/", "https://example", "https://example")


@virtual_time
async def test_one_whose_websocket_is_known_is_not_asked() -> None:
    http = FakeHttp()
    deployment = Deployment("https://example/", http.client, websocket_url="wss://ws.example/v1/ws")
    assert await deployment.find() == Endpoints("wss://ws.example/v1/ws", "https://example", "https://example")
    assert http.calls == []


@virtual_time
async def test_what_has_failed_is_asked_again() -> None:
    http = FakeHttp()
    deployment = Deployment("https://example", http.client)
    asking = asyncio.ensure_future(deployment.find())
    await settle()
    await http.last.fail()
    with pytest.raises(UnreachableError, match="can't be reached: the network has gone"):
        await asking
    asking = asyncio.ensure_future(deployment.find())
    await settle()
    await http.last.answer(CONFIG)
    await asking


@virtual_time
async def test_whoever_gives_up_asking_keeps_nobody_from_it() -> None:
    http = FakeHttp()
    deployment = Deployment("https://example", http.client)
    first, second = asyncio.ensure_future(deployment.find()), asyncio.ensure_future(deployment.find())
    await settle()
    first.cancel()
    await settle()
    await http.last.answer(CONFIG)
    assert (await second).stream_url == "https://streams"


@virtual_time
async def test_one_that_does_not_answer_can_not_be_reached() -> None:
    deployment = Deployment("https://example", FakeHttp().client)
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(UnreachableError, match="has not answered within 10 s"):
        await deployment.find()
    assert asyncio.get_running_loop().time() - began_s == pytest.approx(10)


@pytest.mark.parametrize(
    "answer",
    [
        "<html>Sign in to the hotel's network</html>",
        "",
        None,
        [],
        {},
        {"websocket_url": None},
        {"websocket_url": "wss://example", "http_url": 7},
        {"websocket_url": "wss://example", "stream_url": None},
        "[" * 100_000,
        b"\xff\xfe",
    ],
)
@virtual_time
async def test_what_answers_with_something_else_is_no_tidewire(answer: Any) -> None:
    http = FakeHttp()
    asking = asyncio.ensure_future(Deployment("https://example", http.client).find())
    error = await failure(http, asking, answer, 200)
    assert error.kind == "unsupported_protocol"
    assert str(error) == "https://example/v1/config answered 200, not as Tidewire does"


@pytest.mark.parametrize(
    ("answer", "status", "kind"),
    [
        ({"code": 2001, "name": "unavailable", "message": "later"}, 503, "unavailable"),
        ("<html>", 502, "timeout"),
        ("<html>", 404, "unsupported_protocol"),
        ("", 301, "unsupported_protocol"),
        ('{"code": 1e999}', 400, "unsupported_protocol"),
        ("[" * 100_000, 400, "unsupported_protocol"),
    ],
)
@virtual_time
async def test_a_refusal_says_whose_it_is(answer: Any, status: int, kind: str) -> None:
    http = FakeHttp()
    asking = asyncio.ensure_future(Deployment("https://example", http.client).find())
    assert (await failure(http, asking, answer, status)).kind == kind


@pytest.mark.parametrize("url", ["", "example", "ftp://example", "http://[", "http://\ud800", "http://a\n"])
async def test_an_address_that_is_none_can_not_be_reached(url: str) -> None:
    async with http_client() as http:
        with pytest.raises(UnreachableError):
            await Deployment(url, http).find()


async def test_nor_can_one_where_nobody_is() -> None:
    async with http_client() as http:
        with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:1 can't be reached"):
            await Deployment("http://127.0.0.1:1", http).find()


async def test_the_ways_come_the_best_first_whatever_their_order() -> None:
    async with http_client() as http:
        assert tuple(real_ways(WAYS, http)) == WAYS
        some = real_ways(["short_poll", "sse", "websocket"], http)
        assert list(some) == ["websocket", "sse", "short_poll"]
        assert some["websocket"] is websocket_transport
        with pytest.raises(ValueError, match="not carrier_pigeon"):
            real_ways(["sse", "carrier_pigeon"], http)
        with pytest.raises(ValueError, match="not none"):
            real_ways([], http)


async def test_a_clients_requests_follow_nobody_elsewhere() -> None:
    async with http_client() as http:
        assert http.follow_redirects is False
