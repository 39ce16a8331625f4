"""Centrifugo's HTTP emulation, through the app: both kinds of streams, and commands beside them."""

import json
from dataclasses import replace
from typing import Any, Final

import httpx
import pytest

from functions.http_api import streams
from shared.bootstrap import Services
from shared.domain.held_stream import HeldStream
from shared.domain.mailbox import MAILBOX_MAX_MESSAGES
from shared.domain.principal import Principal
from tests.unit.centrifugo.client import token
from tests.unit.centrifugo.http import ROOM, Way, connected, names_of, opened, says
from tests.unit.stack import MemoryStack

ADMIN: Final = Principal("root", {"*": ["admin"]})


async def test_commands_are_answered_in_the_stream_and_what_is_published_comes_there(
    http: httpx.AsyncClient, stack: MemoryStack, way: Way
) -> None:
    async with connected(http, way) as stream:
        assert stream.connected["client"].startswith("centrifugo.mailbox.")
        assert stream.connected["ping"] == streams.PING_S
        assert stream.connected["subs"].keys() == {"#ann"}
        subscribed = await stream.ask(2, subscribe={"channel": ROOM})
        assert subscribed["subscribe"]["recoverable"]
        text = "ü\x85\u2028\u2029\n"
        says(stack, ROOM, text, {"n": 2})
        first, second = await stream.next(), await stream.next()
        assert [one["push"]["pub"]["data"] for one in (first, second)] == [text, {"n": 2}]
        await stream.send({"id": 3, "subscribe": {"channel": "news", "token": token("ann", channel="news")}})
        assert [(await stream.next()).keys(), (await stream.next())["push"].keys()] == [
            {"id", "subscribe"},
            {"channel", "join"},
        ]
        published = await stream.ask(4, publish={"channel": "news", "data": 1})
        assert published["push"]["pub"]["info"] == {"user": "ann", "client": stream.connected["client"]}
        assert await stream.next() == {"id": 4, "publish": {}}


async def test_who_comes_by_http_is_told_as_it_comes_where_others_are_told_in_order(
    http: httpx.AsyncClient, stack: MemoryStack, way: Way
) -> None:
    channel = "exact:a"
    async with connected(http, way) as stream:
        wanted = {"channel": channel, "token": token("ann", channel=channel), "delta": "fossil"}
        subscribed = await stream.ask(2, subscribe=wanted)
        assert "delta" not in subscribed["subscribe"]
        shard = stack.connections.subscribers(channel)
        assert (list(shard.connection_ids), shard.positioned) == ([stream.connected["client"]], frozenset())


async def test_what_comes_between_subscribing_and_the_reply_is_told_behind_it(
    http: httpx.AsyncClient, stack: MemoryStack, way: Way
) -> None:
    async with connected(http, way) as stream:
        number, left = stack.mailbox_store.number, ["one"]

        def publishing(mailbox_id: str, *, now_s: int) -> Any:
            if left:
                says(stack, ROOM, left.pop())
            return number(mailbox_id, now_s=now_s)

        stack.mailbox_store.number = publishing  # type: ignore[method-assign]
        early = await stream.ask(2, subscribe={"channel": ROOM})
        reply, behind = await stream.next(), await stream.next()
        assert reply["id"] == 2
        assert [one["push"]["pub"]["data"] for one in (early, behind)] == ["one", "one"], "they drop the first"


async def test_a_stream_that_ends_ends_its_connection(http: httpx.AsyncClient, stack: MemoryStack, way: Way) -> None:
    async with connected(http, way) as stream:
        mailbox = stream.connected["client"].removeprefix("centrifugo.")
        assert names_of(stack) == {mailbox, f"centrifugo.{mailbox}"}
        stack.mailbox_store.remove(mailbox)  # as whoever ends it does
        with pytest.raises(EOFError):
            await stream.next()
        assert names_of(stack) == set()
        assert (await stream.send({"id": 2, "ping": {}})).status_code == 404
    assert sum(stack.metrics.values["Disconnects"]) == 1
    assert not stack.metrics.values["WebSocketConnectionMinutes"]


async def test_who_comes_back_recovers_server_side_subscriptions_too(
    http: httpx.AsyncClient, stack: MemoryStack, services: Services, way: Way
) -> None:
    async with connected(http, way) as stream:
        position = {key: stream.connected["subs"]["#ann"][key] for key in ("epoch", "offset")}
    stack.connect("bob", "bob")
    stack.ask("bob", {"type": "send", "to": {"user_id": "ann"}, "name": "message", "data": "missed"})
    stack.drain()
    connect = {"token": token("ann"), "subs": {"#ann": {"recover": True, **position}}}
    async with connected(http, way, body=json.dumps({"id": 1, "connect": connect})) as stream:
        mine = stream.connected["subs"]["#ann"]
        assert (mine["recovered"], [one["data"] for one in mine["publications"]]) == (True, ["missed"])


async def test_silence_is_broken_by_pings_and_the_stream_ends_by_age(
    http: httpx.AsyncClient, stack: MemoryStack, services: Services, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    monkeypatch.setattr(streams, "PING_S", 0.2)
    services.settings = replace(services.settings, stream_max_age_s=1)
    async with connected(http, way) as stream:
        pings = 0
        with pytest.raises(EOFError):
            while True:
                assert await stream.next() == {}
                pings += 1
    assert pings >= 2
    assert stack.mailbox_store.get(stream.connected["client"].removeprefix("centrifugo.")) is None
    assert names_of(stack) == set()
    assert not services.held_streams.held  # type: ignore[attr-defined]


async def test_who_was_revoked_is_not_let_in_and_leaves_nothing(
    http: httpx.AsyncClient, stack: MemoryStack, services: Services, way: Way
) -> None:
    stack.revocation.revoke_user(ADMIN, "ann")
    async with opened(http, way) as stream:
        assert (await stream.next())["push"]["disconnect"]["code"] == 3500
    assert names_of(stack) == set()
    assert not services.held_streams.held  # type: ignore[attr-defined]


async def test_who_is_thrown_out_is_told(http: httpx.AsyncClient, stack: MemoryStack, way: Way) -> None:
    async with connected(http, way) as stream:
        stack.revocation.end_user(ADMIN, "ann")
        assert (await stream.next())["push"]["disconnect"]["code"] == 3503
        with pytest.raises(EOFError):
            await stream.next()
    assert names_of(stack) == set()


async def test_why_it_ends_finds_room_where_nothing_else_does(stack: MemoryStack) -> None:
    admission = stack.centrifugo_streams.admit(json.dumps({"id": 1, "connect": {"token": token("ann")}}))
    reading = stack.centrifugo_streams.open(admission, "sse", ping_s=15).reading
    for _ in range(MAILBOX_MAX_MESSAGES + 1):
        stack.mailboxes.push(reading.mailbox_id, b'{"push":{}}\n{"push":{}}')
    stack.revocation.end_user(ADMIN, "ann")
    assert not stack.centrifugo_streams.reader.stay(reading)
    assert "3503" in stack.centrifugo_streams.reader.last_words(reading)[-1].text


async def test_who_is_told_that_the_token_has_ended(http: httpx.AsyncClient, stack: MemoryStack, way: Way) -> None:
    expiring = token("ann", exp=stack.clock() // 1000 + 60)
    async with connected(http, way, body=json.dumps({"id": 1, "connect": {"token": expiring}})) as stream:
        assert (stream.connected["expires"], stream.connected["ttl"]) == (True, 35)
        stack.clock.pass_s(61)
        stack.deadlines.check(stream.connected["client"])
        assert (await stream.next())["push"]["disconnect"]["code"] == 3005


async def test_a_refreshed_token_keeps_the_stream(http: httpx.AsyncClient, stack: MemoryStack, way: Way) -> None:
    now_s = stack.clock() // 1000
    body = json.dumps({"id": 1, "connect": {"token": token("ann", iat=1, exp=now_s + 60)}})
    async with connected(http, way, body=body) as stream:
        answer = await stream.ask(2, refresh={"token": token("ann", iat=2, exp=now_s + 600)})
        assert answer["refresh"]["ttl"] == 575
        stack.clock.pass_s(100)
        reading = stack.centrifugo_streams.reader.claim(
            stack.connections.connections[stream.connected["client"]], "", "ann", "sse"
        )
        reading.connection = replace(reading.connection, principal=Principal("ann", {}, expires_at_s=now_s + 60))
        assert stack.centrifugo_streams.reader.stay(reading)


async def test_who_does_not_take_what_comes_is_sent_back_to_recover(
    http: httpx.AsyncClient, stack: MemoryStack, way: Way
) -> None:
    async with connected(http, way) as stream:
        mailbox = stream.connected["client"].removeprefix("centrifugo.")
        read = stack.mailbox_store.read
        stack.mailbox_store.read = lambda *_, **__: []  # type: ignore[method-assign]
        for number in range(MAILBOX_MAX_MESSAGES + 2):
            stack.mailboxes.push(mailbox, b'{"push":{"channel":"#ann","pub":{"data":%d}}}' % number)
        stack.mailbox_store.read = read  # type: ignore[method-assign]
        while "disconnect" not in (told := (await stream.next())["push"]):
            assert told["pub"]["data"] < MAILBOX_MAX_MESSAGES
        assert told["disconnect"] == {"code": 3010, "reason": "insufficient state"}
        with pytest.raises(EOFError):
            await stream.next()
    assert names_of(stack) == set()


async def test_a_user_has_so_many_streams(
    http: httpx.AsyncClient, stack: MemoryStack, services: Services, way: Way
) -> None:
    now_s = stack.clock() // 1000 + 10_000_000
    for number in range(services.settings.limits.user_held_streams):
        held = HeldStream(str(number), "ann", "", now_s)
        services.held_streams.hold(held, user_at_most=99, address_at_most=99, at_most=99, now_s=0)
    async with opened(http, way) as stream:
        assert stream.response.status_code == 503
    assert names_of(stack) == set()


async def test_admins_see_how_it_is_connected(
    http: httpx.AsyncClient, stack: MemoryStack, services: Services, way: Way
) -> None:
    async with connected(http, way) as stream:
        listed, _ = services.connection_list.page(ADMIN, None)
        assert [(one.connection.connection_id, one.transport) for one in listed] == [
            (stream.connected["client"], {"http_stream": "stream", "sse": "sse"}[way])
        ]
