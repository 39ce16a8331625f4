"""The whole client, against a tiny Tidewire in memory and a network that does what it likes."""

import asyncio
import random
from collections.abc import Awaitable, Iterator
from typing import Any

import pytest

from tests.unit.client.fakes import HELLO, error, error_of, event
from tests.unit.client.server import AS_EVER, Network, Server
from tests.unit.client.set_up import SetUp, kind_of, pass_, set_up
from tests.unit.client.virtual import settle, virtual_time
from tidewire.client import Tidewire
from tidewire.errors import TidewireError
from tidewire.frames import Event, Frame

BACK_S = 1.0  # after a loss, at most

# Connecting.


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x", "not a url", "", "http://", "http://[::1"])
def test_a_url_that_is_none_is_refused_when_the_client_is_made(url: str) -> None:
    with pytest.raises(ValueError, match="no URL"):
        Tidewire(url, lambda _fresh: "good")


def test_used_before_there_is_an_event_loop_it_says_so_and_works_in_one() -> None:
    it = SetUp()
    with pytest.raises(RuntimeError, match="no running event loop"):
        it.client.channel("room:a")

    @virtual_time
    async def works() -> None:
        async with it.client:
            await it.listen()

    works()
    assert it.states == ["connecting", "connected", "closed"]


@virtual_time
async def test_what_is_no_token_is_told_and_asked_for_again() -> None:
    tokens: Iterator[Any] = iter([None, b"good", "good"])
    async with set_up(get_token=lambda _fresh: next(tokens)) as it:
        await it.listen()
        assert [str(each) for each in it.errors] == [
            "get_token returns a str, not NoneType",
            "get_token returns a str, not bytes",
        ]


@virtual_time
async def test_it_connects_with_the_first_channel_and_tells_each_state_once() -> None:
    async with set_up() as it:
        assert it.client.state == "idle"
        it.client.channel("room:a")
        await settle()
        assert (it.client.user_id, it.client.transport) == ("ann", "websocket")
        it.server.cut_all()
        await pass_(BACK_S)
    assert it.states == ["connecting", "connected", "reconnecting", "connected", "closed"]


@pytest.mark.parametrize("failure", [ValueError("not signed in"), asyncio.CancelledError("not signed in")])
@virtual_time
async def test_a_token_that_cannot_be_had_is_told_and_asked_for_again(failure: BaseException) -> None:
    tokens: Iterator[str | BaseException] = iter([failure, "good"])

    async def get_token(_fresh: bool) -> str:
        token = next(tokens)
        if isinstance(token, BaseException):
            raise token
        return token

    async with set_up(get_token=get_token) as it:
        it.client.connect()
        await pass_(BACK_S)
        assert it.client.state == "connected"
        assert [str(each) for each in it.ends if each] == [f"{type(failure).__name__}: not signed in"]
        assert it.errors == [failure]


@virtual_time
async def test_a_channel_of_one_name_is_always_the_same_object() -> None:
    async with set_up() as it:
        assert it.client.channel("room:a") is it.client.channel("room:a")
        assert it.client.channel("room:a") is not it.client.channel("room:b")


@virtual_time
async def test_what_is_asked_without_a_connection_waits_10_s_for_one() -> None:
    async with set_up() as it:
        it.server.down = True
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        refused = await error_of(asyncio.ensure_future(it.client.channel("room:a").history()))
        assert (refused.kind, refused.retryable) == ("timeout", True)
        assert loop.time() - began_s == pytest.approx(10)
        asking = asyncio.ensure_future(it.client.channel("room:a").history())
        await pass_(5)
        it.server.down = False
        it.client.wake()
        assert (await asking).publications == ()


# Events.


@virtual_time
async def test_events_reach_the_listeners_of_their_channel() -> None:
    async with set_up() as it:
        a, b = await it.listen("room:a"), await it.listen("room:b")
        for name in ("room:a", "room:b", "room:b"):
            it.server.publish(name)
        await settle()
        assert (a, b) == ([1], [1, 2])


@virtual_time
async def test_what_was_published_meanwhile_is_there_after_a_reconnect_once() -> None:
    async with set_up() as it:
        heard = await it.listen()
        it.server.publish("room:a")
        await settle()
        it.server.cut_all()
        for _ in range(4):  # more than a page
            it.server.publish("room:a")
        await pass_(BACK_S)
        assert heard == [1, 2, 3, 4, 5]


@virtual_time
async def test_what_was_published_while_it_was_away_is_sent_when_it_is_back() -> None:
    async with set_up() as it:
        heard = await it.listen()
        it.server.cut_all()
        assert (await it.client.channel("room:a").publish("said", "hello")).status == "accepted"
        await settle()
        assert heard == [1]


@virtual_time
async def test_who_subscribes_and_then_publishes_while_it_is_away_hears_it() -> None:
    async with set_up() as it:
        it.server.down = True
        subscribing = asyncio.ensure_future(it.listen())
        await settle()
        publishing = it.client.channel("room:a").publish("said", "hello")
        it.server.down = False
        await publishing
        await settle()
        assert await subscribing == [1]


@virtual_time
async def test_a_publication_whose_answer_was_lost_is_stored_once() -> None:
    async with set_up() as it:
        heard = await it.listen()

        def lost(request: Frame) -> None:
            del it.server.instead["publish"]
            it.server.publish("room:a", message_id=request["message_id"])
            it.server.cut_all()

        it.server.instead["publish"] = lost
        await it.client.channel("room:a").publish("said", "hello")
        await settle()
        assert [request.get("retry") for request in it.server.asked("publish")] == [None, True]
        assert (len(it.server.stream("room:a").log), heard) == (1, [1])


@virtual_time
async def test_a_lost_last_push_shows_5_s_after_traffic_has_stopped_once_nothing_was_missed_10_s_after_it() -> None:
    network = Network()
    async with set_up(network) as it:
        heard = await it.listen()
        network.copies = lambda: 0
        it.server.publish("room:a")
        await pass_(4.99)
        assert heard == []
        await pass_(2.52)
        assert heard == [1]
        network.copies = lambda: 1
        await pass_(8)
        it.server.publish("room:a")
        await settle()
        network.copies = lambda: 0
        it.server.publish("room:a")
        await pass_(9.99)
        assert heard == [1, 2]
        await pass_(5.02)
        assert heard == [1, 2, 3]


@virtual_time
async def test_traffic_that_comes_while_a_sync_is_under_way_is_followed_by_another() -> None:
    network = Network()
    async with set_up(network) as it:
        heard = await it.listen()

        def synced(_request: Frame) -> Frame:
            del it.server.instead["sync"]
            it.server.publish("room:a")
            network.copies = lambda: 0
            it.server.publish("room:a")
            return {"behind": {}}

        it.server.instead["sync"] = synced
        await pass_(7.51)
        assert heard == [1]
        await pass_(15.01)
        assert heard == [1, 2]


@pytest.mark.parametrize("names", [[], ["room:a", "room:b"]])
@virtual_time
async def test_without_traffic_it_asks_sync_at_the_heartbeat(names: list[str]) -> None:
    async with set_up() as it:
        it.client.connect()
        for name in names:
            await it.client.channel(name).subscribe()
        await pass_(30)
        before = len(it.server.asked("sync"))  # of the quiet after subscribing
        await pass_(HELLO["heartbeat_s"] - 31)
        assert len(it.server.asked("sync")) == before
        await pass_(2)
        expected = {name: {"epoch": "e1", "offset": 0} for name in names}
        assert [request["positions"] for request in it.server.asked("sync")[before:]] == [expected]
        await pass_(HELLO["heartbeat_s"])
        assert len(it.server.asked("sync")) == before + 2


@virtual_time
async def test_a_sync_that_is_refused_for_good_is_reported_and_asked_again_by_the_next_heartbeat() -> None:
    async with set_up() as it:
        await it.listen()
        it.server.instead["sync"] = lambda _: {"error": error(1002)}
        await pass_(HELLO["heartbeat_s"] - 10)
        assert [each.code for each in it.errors if isinstance(each, TidewireError)] == [1002]
        it.server.instead.clear()
        await pass_(20)
        assert len(it.server.asked("sync")) == 2


@virtual_time
async def test_many_channels_are_synced_in_requests_that_the_server_takes() -> None:
    async with set_up() as it:
        names = [f"room:{'x' * 190}{index}" for index in range(130)]
        await asyncio.gather(*(it.client.channel(name).subscribe() for name in names))
        await pass_(7.51)
        asked = [list(request["positions"]) for request in it.server.asked("sync")]
        assert sorted(name for some in asked for name in some) == sorted(names)
        assert max(map(len, asked)) <= 100
        assert max(map(len, it.server.last.sent)) < 32_000


@virtual_time
async def test_when_the_machine_wakes_it_asks_what_it_missed_and_hurries() -> None:
    async with set_up() as it:
        await it.listen()
        await pass_(6)
        before = len(it.server.asked("sync"))
        it.client.wake()
        await settle()
        assert len(it.server.asked("sync")) == before + 1
        await it.lose()
        it.server.down = False
        it.client.wake()
        await settle()
        assert it.client.state == "connected"


@virtual_time
async def test_subscribing_in_the_middle_of_the_handshake_works() -> None:
    async with set_up(Network(delay_s=lambda: 0.1)) as it:
        it.client.connect()
        await pass_(0.05)
        early = asyncio.ensure_future(it.client.channel("room:a").subscribe())
        await pass_(0.1)  # open, hello under way
        late = asyncio.ensure_future(it.client.channel("room:b").subscribe())
        assert list(await asyncio.gather(early, late)) == [[], []]


@virtual_time
async def test_a_client_that_could_not_keep_up_reads_what_it_was_not_sent() -> None:
    async with set_up() as it:
        heard = await it.listen()
        log = it.server.stream("room:a").log
        log += [{name: value for name, value in event(offset).items() if name != "type"} for offset in (1, 2)]
        position = {"epoch": "e1", "offset": 2}
        it.server.last.say({"type": "system", "event": "lagged", "channel": "room:a", "position": position})
        await settle()
        assert heard == [1, 2]


@virtual_time
async def test_a_stream_that_was_purged_is_begun_anew() -> None:
    async with set_up() as it:
        heard = await it.listen()
        begun: list[str] = []
        it.client.channel("room:a").on_reset(lambda position: begun.append(position.epoch))
        it.server.publish("room:a")
        await settle()
        it.server.stream("room:a").epoch = "e2"
        it.server.stream("room:a").log.clear()
        it.server.last.say({"type": "system", "event": "resubscribe", "channel": "room:a", "reason": "purged"})
        await settle()
        assert begun == ["e2"]
        it.server.publish("room:a")
        await settle()
        assert heard == [1, 1]


# Listeners that fail.


@virtual_time
async def test_listeners_that_raise_break_nothing() -> None:
    def of_states(_state: str, _error: TidewireError | None) -> None:
        raise ValueError("state")

    def of_events(_event: Event) -> None:
        raise ValueError("event")

    def cancelled(_event: Event) -> None:
        raise asyncio.CancelledError("of something of its own")

    async with set_up() as it:
        it.client.on_state(of_states)
        it.client.channel("room:a").on("said", of_events)
        it.client.channel("room:a").on("said", cancelled)
        heard = await it.listen()
        it.server.publish("room:a")
        it.server.publish("room:a")
        await settle()
        assert heard == [1, 2]
        told = [str(each) for each in it.errors]
        assert told == ["state", "state", *["event", "of something of its own"] * 2]
        assert it.states == ["connecting", "connected"]


@virtual_time
async def test_an_error_of_the_servers_is_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async with set_up(on_error=None) as it:
        it.server.instead["subscribe"] = lambda _: {"error": error(1005, "forbidden")}
        it.client.channel("room:a").document("k")
        await settle()
        assert len(caplog.text.splitlines()) == 1


@virtual_time
async def test_an_on_error_that_raises_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def raises(error: BaseException) -> None:
        raise error

    async with set_up(on_error=raises) as it:
        it.client.channel("room:a").on("said", lambda event: event.data / 0)
        heard = await it.listen()
        it.server.publish("room:a")
        it.server.publish("room:a")
        await settle()
        assert (heard, it.client.state) == ([1, 2], "connected")
        assert "division by zero" in caplog.text


@virtual_time
async def test_a_listener_that_was_taken_out_hears_no_more() -> None:
    async with set_up() as it:
        heard: list[str] = []
        stop = it.client.on_state(lambda state, _error: heard.append(state))
        stop()
        it.client.connect()
        assert heard == []


# Closing.


@virtual_time
async def test_close_refuses_what_waits_and_is_silent_otherwise() -> None:
    async with set_up() as it:
        await it.listen()
        it.server.instead |= {"history": lambda _: None, "sync": lambda _: None}
        await pass_(5.01)  # a sync is under way
        it.server.last.say(event(9))  # a hole
        await settle()
        room = it.client.channel("room:a")
        asking = asyncio.ensure_future(room.history())
        await settle()
        await it.lose()
        publishing = room.publish("said", "x")
        subscribing = asyncio.ensure_future(it.client.channel("room:b").subscribe())
        await settle()
        await it.client.close()
        assert await kind_of(asking) == "timeout"
        assert [await kind_of(each) for each in (publishing, subscribing)] == ["closed", "closed"]
    assert it.errors == []


@virtual_time
async def test_what_nobody_awaits_when_it_is_closed_is_not_complained_of() -> None:
    async with set_up() as it:
        await it.listen()
        it.server.instead |= dict.fromkeys(("publish", "send", "state.set"), lambda _: None)
        room = it.client.channel("room:a")
        for _ in range(3):
            room.publish("said", "x")
        room.document("k").set(1)
        await settle()
        it.client.send({"user_id": "bob"}, "said", "x")


@virtual_time
async def test_closed_by_a_listener_that_hears_of_the_loss_it_refuses_what_was_under_way() -> None:
    closing: list[asyncio.Task[None]] = []
    async with set_up() as it:

        def close(state: str, _error: TidewireError | None) -> None:
            if state == "reconnecting":
                closing.append(asyncio.ensure_future(it.client.close()))

        await it.listen()
        it.server.instead |= {"publish": lambda _: None, "subscribe": lambda _: None}
        publishing = it.client.channel("room:a").publish("said", "x")
        subscribing = asyncio.ensure_future(it.client.channel("room:b").subscribe())
        await settle()
        it.client.on_state(close)
        it.server.cut_all()
        await closing[0]
        assert [await kind_of(each) for each in (publishing, subscribing)] == ["closed", "closed"]


@virtual_time
async def test_closed_by_who_is_told_of_the_loss_first_nobody_waits_for_ever() -> None:
    async with set_up() as it:
        room = it.client.channel("room:a")
        it.client.connect()
        await settle()
        it.server.instead |= {"history": lambda _: None, "subscribe": lambda _: None}

        async def read() -> None:
            with pytest.raises(TidewireError):
                await room.history()
            await it.client.close()

        reading = asyncio.ensure_future(read())
        await settle()
        subscribing = asyncio.ensure_future(room.subscribe())
        await settle()
        it.server.cut_all()
        await reading
        assert await kind_of(subscribing) == "closed"


@virtual_time
async def test_whoever_waits_for_a_subscription_that_is_taken_up_again_is_told_that_the_client_was_closed() -> None:
    async with set_up() as it:
        await it.listen()
        it.server.instead["subscribe"] = lambda _: None
        it.server.cut_all()
        await pass_(BACK_S)
        again = asyncio.ensure_future(it.client.channel("room:a").subscribe())
        await settle()
        await it.client.close()
        assert await kind_of(again) == "closed"


@pytest.mark.parametrize("state", ["refused", "lost"])
@virtual_time
async def test_closed_while_a_subscription_waits_to_be_taken_up_again_it_says_nothing(state: str) -> None:
    async with set_up() as it:
        await it.listen()
        it.server.instead["subscribe"] = lambda _: {"error": error(2001, "unavailable", retry_after_ms=5_000)}
        it.server.cut_all()
        await pass_(BACK_S)
        if state == "lost":
            await it.lose()
    assert it.errors == []


@virtual_time
async def test_a_closed_client_stays_closed_when_its_channels_are_used_and_says_so() -> None:
    async with set_up() as it:
        await it.listen()
        await it.client.close()
        a, b = it.client.channel("room:a"), it.client.channel("room:b")
        works: list[Awaitable[Any]] = [a.publish("said", "x"), b.subscribe(), b.history(), it.client.command("roll")]
        assert [await kind_of(work) for work in works] == ["closed"] * 4
        assert await kind_of(b.presence.join()) == "closed"
        for room in (a, b):
            document = room.document("k")
            works = [document.ready(), document.set(1), it.client.channel("room:a").document("k").ready()]
            assert [await kind_of(work) for work in works] == ["closed"] * 3
            assert [value async for value in document.changes()] == []
        for room in (a, it.client.channel("room:c")):
            assert [event async for event in room] == []
        await pass_(60)
        assert (len(it.server.opened), it.errors) == (1, [])


@virtual_time
async def test_who_had_joined_a_channel_is_told_that_the_client_is_closed() -> None:
    async with set_up() as it:
        presence = it.client.channel("room:a").presence
        await presence.join()
        await it.client.close()
        assert await kind_of(presence.update(status="busy")) == "not_subscribed"
        assert await kind_of(presence.join()) == "closed"


@virtual_time
async def test_connect_after_close_takes_the_subscriptions_up_again() -> None:
    async with set_up() as it:
        heard = await it.listen()
        await it.client.close()
        it.server.publish("room:a")
        it.client.connect()
        events = it.client.channel("room:a").events()
        await settle()
        assert heard == [1]
        assert (await anext(events)).offset == 1


@virtual_time
async def test_close_twice_and_by_two_at_once_is_close() -> None:
    async with set_up() as it:
        await it.listen()
        await asyncio.gather(it.client.close(), it.client.close())
        await it.client.close()
        assert it.states.count("closed") == 1


@virtual_time
async def test_a_body_that_raises_closes_the_client() -> None:
    with pytest.raises(ValueError, match="of the body"):
        async with set_up() as it:
            await it.listen()
            raise ValueError("of the body")
    assert it.client.state == "closed"


@virtual_time
async def test_a_command_handler_may_close_the_client() -> None:
    async with set_up() as it:
        it.client.connect()
        it.client.on_command("stop", lambda _data, _context: it.client.close())
        await settle()
        command = {"type": "command", "command_id": "x", "name": "stop", "data": 1, "sender": {"user_id": "b"}}
        it.server.last.say({**command, "expires_at_ms": HELLO["server_time_ms"] + 5_000})
        await settle()
        assert it.client.state == "closed"
        assert it.errors == []


@virtual_time
async def test_a_close_that_is_given_up_lets_go_all_the_same() -> None:
    async with set_up() as it:
        held = asyncio.Event()

        async def wait_closed() -> None:
            await held.wait()

        it.client.connect()
        await settle()
        it.server.last.wait_closed = wait_closed  # type: ignore[method-assign]
        http = it.client._http
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(it.client.close(), 1)
        held.set()
        await it.client.close()
        assert http.is_closed


@virtual_time
async def test_closed_while_documents_are_read_it_says_nothing() -> None:
    def subscribe(request: Frame) -> Any:
        position = {"epoch": "e1", "offset": 0}
        state = {"documents": {"a": {"version": 1, "value": 1}}, "more": True}
        return {"channel": request["channel"], "position": position, "recovered": False, "publications": []} | (
            {"state": state} if "state" in request else {}
        )

    async with set_up() as it:
        it.server.instead |= {"subscribe": subscribe, "state.get": lambda _: {"error": error(2001, "unavailable")}}
        document = it.client.channel("room:a").document("k")
        ready = asyncio.ensure_future(document.ready())
        await settle()
        assert it.server.asked("state.get")
        await it.client.close()
        assert await kind_of(ready) == "closed"
    assert it.errors == []


# An end for good.


@virtual_time
async def test_an_end_for_good_is_told_with_its_reason() -> None:
    async with set_up() as it:
        await it.listen()
        it.server.instead["publish"] = lambda _: None
        publishing = it.client.channel("room:a").publish("said", "x")
        taking = asyncio.ensure_future(anext(it.client.channel("room:a").events()))
        await settle()
        it.server.last.say({"type": "system", "event": "disconnect", "code": 3501, "name": "revoked"})
        await settle()
        assert (it.states[-1], it.ends[-1] and it.ends[-1].kind) == ("closed", "revoked")
        assert [await kind_of(each) for each in (publishing, taking)] == ["revoked", "revoked"]


@virtual_time
async def test_connected_anew_by_who_hears_of_the_end_it_works() -> None:
    async with set_up() as it:

        def again(state: str, _error: TidewireError | None) -> None:
            if state == "closed" and len(it.server.opened) == 1:
                it.client.connect()

        heard = await it.listen()
        it.client.on_state(again)
        first = it.client._http
        it.server.last.say({"type": "system", "event": "disconnect", "code": 3501, "name": "revoked"})
        await settle()
        assert it.client.state == "connected"
        assert (first.is_closed, it.client._http.is_closed) == (True, False)
        it.server.publish("room:a")
        await settle()
        assert heard == [1]


@virtual_time
async def test_a_client_is_one_users_with_anothers_token_it_closes() -> None:
    async with set_up() as it:
        await it.listen()
        it.server.instead["publish"] = lambda _: None
        publishing = it.client.channel("room:a").publish("said", "ann's")
        await settle()
        del it.server.instead["publish"]
        it.server.instead["hello"] = lambda _: {**HELLO, "user_id": "bob"}
        it.server.cut_all()
        await pass_(BACK_S)
        assert it.states[-1] == "closed"
        assert len(it.server.asked("publish")) == 1
        assert await kind_of(publishing) == "closed"


# The end of a token.


def expire(server: Server) -> None:
    """From the next request on, the server takes the token for ended; a fresh one is good."""
    kinds = ("publish", "subscribe", "sync", "history", "unsubscribe")

    def hello(_request: Frame) -> Any:
        server.instead.clear()
        return AS_EVER

    server.instead |= dict.fromkeys(kinds, lambda _: {"error": error(1004, "unauthenticated")})
    server.instead["hello"] = hello


@virtual_time
async def test_after_the_end_of_its_token_it_is_back_with_a_fresh_one_and_nothing_is_lost() -> None:
    asked: list[bool] = []

    def get_token(fresh: bool) -> str:
        asked.append(fresh)
        return "good"

    async with set_up(get_token=get_token) as it:
        heard = await it.listen()
        expire(it.server)
        it.server.last.subscriptions.clear()
        it.server.publish("room:a", message_id="theirs")
        own = [it.client.channel("room:a").publish("said", "x", message_id=id_) for id_ in ("1", "2", "3")]
        await asyncio.gather(*own)
        await settle()
        assert [entry["message_id"] for entry in it.server.stream("room:a").log] == ["theirs", "1", "2", "3"]
        assert (heard, asked, it.errors) == ([1, 2, 3, 4], [False, True], [])


@virtual_time
async def test_when_the_fresh_token_is_of_no_use_either_what_waits_is_refused() -> None:
    async with set_up() as it:
        await it.listen()
        expire(it.server)
        del it.server.instead["hello"]
        publishing = it.client.channel("room:a").publish("said", "x")
        assert await kind_of(publishing) == "unauthenticated"
        assert (it.states[-1], it.ends[-1] and it.ends[-1].kind) == ("closed", "unauthenticated")
        assert len(it.server.opened) == 2


EXPIRING: Frame = {
    "type": "system",
    "event": "token_expiring",
    "expires_at_ms": HELLO["server_time_ms"] + 60_000,  # a minute after hello
}


@virtual_time
async def test_a_token_is_replaced_while_messages_flow_none_is_lost_and_the_connection_stays() -> None:
    async with set_up(get_token=lambda fresh: "fresh" if fresh else "good") as it:
        heard = await it.listen()
        it.server.publish("room:a")
        it.server.last.say(EXPIRING)
        own = it.client.channel("room:a").publish("said", "x")
        it.server.publish("room:a")
        await own
        await settle()
        assert [each["token"] for each in it.server.asked("refresh")] == ["fresh"]
        assert (heard, it.states) == ([1, 2, 3], ["connecting", "connected"])
        assert len(it.server.asked("subscribe")) == 1


@virtual_time
async def test_another_users_token_replaces_none_and_at_the_end_of_the_one_that_stands_it_closes() -> None:
    async with set_up() as it:
        await it.listen()
        it.server.instead["refresh"] = lambda _: {"error": error(1005, "forbidden")}
        it.server.instead["hello"] = lambda _: {**HELLO, "user_id": "bob"}
        it.server.last.say(EXPIRING)
        await pass_(60)
        assert (it.client.state, len(it.server.asked("refresh"))) == ("connected", 1)
        it.server.last.say({"type": "system", "event": "disconnect", "code": 3500, "name": "token_expired"})
        await pass_(BACK_S)
        assert (it.states[-1], str(it.ends[-1])) == ("closed", "another user's token")


@virtual_time
async def test_a_token_that_never_comes_is_given_up_after_30_s_and_asked_for_again() -> None:
    never = asyncio.Event()
    asked = 0

    async def get_token(_fresh: bool) -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            await never.wait()
        return "good"

    async with set_up(get_token=get_token) as it:
        it.client.connect()
        await pass_(29.9)
        assert (it.client.state, asked) == ("connecting", 1)
        await pass_(0.2 + BACK_S)
        assert (it.client.state, asked) == ("connected", 2)
        assert [each and str(each) for each in it.ends] == [None, "get_token took too long", None]
        assert it.errors == []


# Coming and going.


@pytest.mark.parametrize("delays", [[0.01, 0.2], [0.2, 0.01]], ids=["the first", "the second"])
@virtual_time
async def test_left_and_come_back_to_at_once_it_is_subscribed_to_whichever_frame_is_faster(delays: list[float]) -> None:
    network = Network()
    async with set_up(network) as it:
        heard, room = await it.listen(), it.client.channel("room:a")
        left = iter(delays)
        network.delay_s = lambda: next(left, 0.0)
        await asyncio.gather(room.unsubscribe(), room.subscribe())
        it.server.publish("room:a")
        await settle()
        assert heard == [1]


@pytest.mark.parametrize("delays", [[0.01, 0.2], [0.2, 0.01]], ids=["the first", "the second"])
@virtual_time
async def test_come_to_and_left_at_once_it_is_left_whichever_frame_is_faster(delays: list[float]) -> None:
    network = Network()
    async with set_up(network) as it:
        it.client.connect()
        await settle()
        room, left = it.client.channel("room:b"), iter(delays)
        network.delay_s = lambda: next(left, 0.0)
        coming = asyncio.ensure_future(room.subscribe())
        await asyncio.gather(room.unsubscribe())
        assert await kind_of(coming) == "closed"
        assert not it.server.last.subscriptions


@virtual_time
async def test_an_unsubscribe_that_is_given_up_is_answered_before_it_is_subscribed_to_again() -> None:
    network = Network()
    async with set_up(network) as it:
        heard, room = await it.listen(), it.client.channel("room:a")
        left = iter([2.0])
        network.delay_s = lambda: next(left, 0.0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(room.unsubscribe(), 1)
        await room.subscribe()
        await pass_(5)
        it.server.publish("room:a")
        await settle()
        assert (heard, it.server.last.subscriptions) == ([1], {"room:a"})


@virtual_time
async def test_left_and_come_back_to_while_the_connection_goes_it_is_subscribed_to_on_the_next_one() -> None:
    async with set_up() as it:
        heard, room = await it.listen(), it.client.channel("room:a")
        it.server.instead["unsubscribe"] = lambda _: None
        leaving = asyncio.ensure_future(room.unsubscribe())
        await settle()
        coming = asyncio.ensure_future(room.subscribe())
        await settle()
        assert len(it.server.asked("subscribe")) == 1
        it.server.cut_all()
        await asyncio.gather(leaving, coming)
        it.server.publish("room:a")
        await settle()
        assert (heard, len(it.server.asked("subscribe"))) == ([1], 2)


@virtual_time
async def test_back_and_forth_at_once_what_was_thought_better_of_is_not_subscribed_to() -> None:
    network = Network()
    async with set_up(network) as it:
        await it.listen()
        room, left = it.client.channel("room:a"), iter([0.1])
        network.delay_s = lambda: next(left, 0.0)
        leaving, whims = [asyncio.ensure_future(room.unsubscribe())], []
        for _ in range(3):
            whims.append(asyncio.ensure_future(room.subscribe()))
            leaving.append(asyncio.ensure_future(room.unsubscribe()))
        coming = asyncio.ensure_future(room.subscribe())
        await asyncio.gather(*leaving, coming)
        assert [await kind_of(whim) for whim in whims] == ["closed"] * 3
        assert (len(it.server.asked("subscribe")), it.server.last.subscriptions) == (2, {"room:a"})


@virtual_time
async def test_joined_and_left_at_once_it_is_left() -> None:
    async with set_up() as it:
        await it.listen()
        room = it.client.channel("room:a")
        joining, leaving = asyncio.ensure_future(room.presence.join()), asyncio.ensure_future(room.unsubscribe())
        await leaving
        assert await kind_of(joining) == "closed"
        assert (room.subscribed, it.server.last.subscriptions) == (False, set())


@virtual_time
async def test_a_document_asked_for_and_the_channel_left_at_once_it_is_left() -> None:
    async with set_up() as it:
        await it.listen()
        room = it.client.channel("room:a")
        room.document("k")
        await room.unsubscribe()
        await settle()
        assert (room.subscribed, it.server.last.subscriptions, it.errors) == (False, set(), [])


@virtual_time
async def test_a_refusal_to_let_go_is_raised() -> None:
    async with set_up() as it:
        await it.listen()
        it.server.instead["unsubscribe"] = lambda _: {"error": error(2004, "rate_limited")}
        assert await kind_of(it.client.channel("room:a").unsubscribe()) == "rate_limited"


@virtual_time
async def test_a_channel_that_was_left_without_a_connection_is_left_on_the_next_one() -> None:
    async with set_up() as it:
        await it.listen()
        await it.lose()
        await it.client.channel("room:a").unsubscribe()
        it.server.down = False
        it.client.wake()
        await settle()
        assert it.client.state == "connected"
        assert [request["channel"] for request in it.server.asked("unsubscribe")] == ["room:a"]
        it.server.cut_all()
        await pass_(BACK_S)
        assert len(it.server.asked("unsubscribe")) == 1


# A network that does its worst.


@pytest.fixture
def chance(seed: int) -> Iterator[random.Random]:
    """The same in every run, as are the client's own delays."""
    before = random.getstate()
    random.seed(seed)
    yield random.Random(seed)
    random.setstate(before)


@pytest.mark.parametrize("seed", range(40))
@virtual_time
async def test_over_a_network_that_loses_repeats_swaps_and_breaks_each_event_comes_once_and_in_order(
    seed: int, chance: random.Random
) -> None:
    spoiled = Network(copies=lambda: chance.randrange(3), delay_s=lambda: chance.randrange(300) / 1000)
    network = Network(spoiled.copies, spoiled.delay_s)
    async with set_up(network) as it:
        handed: list[Event] = []
        resets: list[Any] = []
        room = it.client.channel("room:a")
        room.on("*", handed.append)
        room.on_reset(resets.append)
        taken = await steps(it, chance)
        network.copies, network.delay_s = Network().copies, Network().delay_s
        await pass_(60)
        await asyncio.gather(*taken)
        log = it.server.stream("room:a").log
        offsets = [event.offset for event in handed]
        assert len({*offsets}) == len(offsets)
        for priority in ("high", "normal"):
            some = [event.offset or 0 for event in handed if event.priority == priority]
            assert some == sorted(some)
        assert len({entry["message_id"] for entry in log}) == len(log)
        assert room.position is not None and room.position.offset == len(log)
        # A recovery that the server refuses is the only way to miss something, and the application is told.
        if not resets:
            assert sorted(offset or 0 for offset in offsets) == [entry["offset"] for entry in log]
        assert it.errors == []


async def steps(it: SetUp, chance: random.Random) -> list[Awaitable[Any]]:
    room = it.client.channel("room:a")
    await room.subscribe()
    own: list[Awaitable[Any]] = []
    for step in range(30):
        priority: Any = "high" if chance.random() < 0.3 else "normal"
        if chance.random() < 0.3:
            own.append(room.publish("said", step, priority=priority))
        elif chance.random() < 0.8:
            it.server.publish("room:a", priority=priority, message_id=f"server-{step}")
        if chance.random() < 0.1:
            it.server.cut_all()
        await pass_(chance.random() * 0.7)
    return own


@pytest.mark.parametrize("seed", range(40))
@virtual_time
async def test_over_a_network_that_swaps_and_breaks_and_with_a_busy_server_publications_keep_their_order(
    seed: int, chance: random.Random
) -> None:
    def delay_s() -> float:
        # Some take longer than the client waits for an answer: they arrive when they have been repeated.
        return chance.random() * (25 if chance.random() < 0.1 else 0.3)

    def busy(_request: Frame) -> Any:
        return {"error": error(2001, "unavailable", retry_after_ms=100)} if chance.random() < 0.1 else AS_EVER

    async with set_up(Network(delay_s=delay_s)) as it:
        it.server.instead["publish"] = busy
        own: list[Awaitable[Any]] = []
        order: dict[str, list[str]] = {"room:a": [], "room:b": []}
        for step in range(60):
            name = "room:a" if chance.random() < 0.5 else "room:b"
            order[name].append(f"{step}")
            own.append(it.client.channel(name).publish("said", step, message_id=f"{step}"))
            if chance.random() < 0.05:
                it.server.cut_all()
            if chance.random() < 0.5:
                await pass_(chance.random())
        await asyncio.gather(*own)
        for name, ids in order.items():
            assert [entry["message_id"] for entry in it.server.stream(name).log] == ids
