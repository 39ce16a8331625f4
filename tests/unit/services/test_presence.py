"""Who is present: seen to come, to change, to go; and what becomes of it when something fails on the way."""

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from shared.domain.connection import Connection
from shared.domain.presence import Look, Told
from shared.errors import UnavailableError
from shared.ports import Broadcast
from shared.services.http_sessions import HttpSessions
from shared.services.sessions import HelloRequest
from tests.unit.stack import MemoryStack
from tidewire.members import Members

ROOM = "room:a"
GRACE_S = 11  # until the look behind it


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack('[namespaces.quiet]\npresence = "off"\n[namespaces.crowd]\npresence = "count"\n')


def subscribe(stack: MemoryStack, connection_id: str, channel: str = ROOM, **fields: Any) -> Any:
    reply = stack.ask(connection_id, {"type": "subscribe", "channel": channel, "presence": True, **fields})
    return reply.get("result") or reply["error"]


def come(stack: MemoryStack, connection_id: str, user_id: str, channel: str = ROOM) -> Any:
    stack.connect(connection_id, user_id)
    return subscribe(stack, connection_id, channel)


def update(stack: MemoryStack, connection_id: str, **said: Any) -> Any:
    reply = stack.ask(connection_id, {"type": "presence.update", "channel": ROOM, **said})
    return reply["result"] if "result" in reply else reply["error"]["name"]


def names(page: Any) -> list[str]:
    return [member["user_id"] for member in page["members"]]


def present(stack: MemoryStack, channel: str = ROOM) -> list[str]:
    return sorted(stack.presence_store.attendees(channel).members)


def pushed(stack: MemoryStack, connection_id: str, kind: str = "presence") -> list[dict[str, Any]]:
    """Return what has been pushed since this was last asked."""
    frames = [frame for frame in stack.events(connection_id) if frame["type"] == kind]
    stack.transport.inboxes[connection_id].clear()
    return frames


def told(stack: MemoryStack, connection_id: str) -> list[tuple[str, str, int]]:
    return [(f["event"], f["member"]["user_id"], f["count"]) for f in pushed(stack, connection_id)]


def later(stack: MemoryStack, seconds: float = GRACE_S) -> None:
    """Let time pass, and the looks that were put off."""
    stack.clock.pass_s(seconds)
    looks = [look for look, _ in stack.looks.sent]
    stack.looks.sent.clear()
    assert stack.presence_watch.see_to(looks) == set()
    stack.drain()


# coming and going


def test_whoever_comes_sees_who_is_there_and_is_told_to_the_others(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    stack.drain()
    result = come(stack, "b", "bob")["presence"]
    assert (names(result), result["count"], result["version"]) == (["ann", "bob"], 2, 1)
    assert result["members"][0] == {
        "user_id": "ann",
        "status": "online",
        "active": True,
        "data": None,
        "connections": 1,
        "last_active_at_ms": stack.clock(),
    }
    pushed(stack, "a")
    stack.drain()
    (join,) = pushed(stack, "a")
    assert (join["event"], join["member"]["user_id"], join["count"], join["version"]) == ("join", "bob", 2, 2)


def test_who_does_not_ask_is_neither_seen_nor_told(stack: MemoryStack) -> None:
    stack.connect("e", "eve")
    assert "presence" not in stack.ask("e", {"type": "subscribe", "channel": ROOM})["result"]
    come(stack, "a", "ann")
    stack.drain()
    assert pushed(stack, "e") == []
    assert present(stack) == ["ann"]


@pytest.mark.parametrize("how", ["unsubscribe", "without presence"])
def test_whoever_leaves_by_saying_so_is_gone_at_once(stack: MemoryStack, how: str) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    for connection_id in ("a", "b"):
        pushed(stack, connection_id)
    stack.ask("b", {"type": "unsubscribe" if how == "unsubscribe" else "subscribe", "channel": ROOM})
    stack.drain()
    (leave,) = pushed(stack, "a")
    assert (leave["event"], leave["count"]) == ("leave", 1)
    assert leave["member"] == {
        "user_id": "bob",
        "status": "offline",
        "active": False,
        "data": None,
        "connections": 0,
    }
    later(stack)
    assert pushed(stack, "a") == pushed(stack, "b") == []


def test_who_unsubscribes_and_subscribes_at_once_is_there(stack: MemoryStack) -> None:
    """The gateway hands a connection's frames to functions that run at the same time."""
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    unsubscribe, first = stack.connections.unsubscribe, [True]

    def overtaken(connection_id: str, channels: Sequence[str], *, stays: bool = False) -> None:
        unsubscribe(connection_id, channels, stays=stays)
        if first and first.pop():
            assert subscribe(stack, "b")["presence"]["count"] == 2

    stack.connections.unsubscribe = overtaken  # type: ignore[method-assign]
    stack.ask("b", {"type": "unsubscribe", "channel": ROOM})
    stack.drain()
    assert update(stack, "b", status="busy") == {}
    later(stack)
    assert names(stack.presence.get(stack.tokens.verify(stack.token("eve")), ROOM)) == ["ann", "bob"]


def test_a_session_that_has_moved_leaves_nobody_behind(stack: MemoryStack) -> None:
    """The old WebSocket went without a word: nothing tells of its end but the janitor, much later."""
    come(stack, "a", "ann")
    stack.connect("old")
    hello = {"type": "hello", "protocol": 1, "token": stack.token("bob")}
    session_id = stack.ask("old", hello)["result"]["session_id"]
    subscribe(stack, "old")
    stack.connect("new")
    stack.ask("new", hello | {"session_id": session_id})
    stack.ask("new", {"type": "unsubscribe", "channel": ROOM})
    later(stack)
    stack.deadlines.superseded("old")
    later(stack)
    assert names(stack.presence.get(stack.tokens.verify(stack.token("eve")), ROOM)) == ["ann"]


@pytest.mark.parametrize("when", ["before the record is looked for", "after"])
def test_who_comes_in_while_its_connection_ends_is_not_left_behind(stack: MemoryStack, when: str) -> None:
    """The gateway tells of the end while a slow function still says hello: nobody would push to it any more."""
    come(stack, "a", "ann")
    stack.connect("b", "bob")
    enter, get = stack.presence_store.enter, stack.connections.get

    def ends_first(*args: Any, **fields: Any) -> None:
        stack.sessions.disconnect("b")
        enter(*args, **fields)

    def ends_then(connection_id: str) -> Connection | None:
        found = get(connection_id)
        if "b" in stack.presence_store.member(ROOM, "bob").connection_ids:
            stack.connections.get = get  # type: ignore[method-assign]
            stack.sessions.disconnect("b")
        return found

    if when == "after":
        stack.connections.get = ends_then  # type: ignore[method-assign]
    else:
        stack.presence_store.enter = ends_first  # type: ignore[method-assign]
    subscribe(stack, "b")
    stack.presence_store.enter = enter  # type: ignore[method-assign]
    later(stack)
    assert names(stack.presence.get(stack.tokens.verify(stack.token("eve")), ROOM)) == ["ann"]


def test_who_comes_in_between_its_leaving_and_its_closing_is_not_left_behind(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    stack.connect("b", "bob")
    close = stack.connections.close

    def slow(connection_id: str, **fields: Any) -> Connection | None:
        subscribe(stack, "b")
        return close(connection_id, **fields)

    stack.connections.close = slow  # type: ignore[method-assign]
    stack.sessions.disconnect("b")
    later(stack)
    assert names(stack.presence.get(stack.tokens.verify(stack.token("eve")), ROOM)) == ["ann"]


def test_an_ack_that_moves_nothing_is_told_to_nobody(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.ask("a", {"type": "publish", "channel": ROOM, "name": "n", "data": 1, "priority": "express"})
    stack.drain()
    pushed(stack, "a")
    for _ in range(3):
        stack.ask("b", {"type": "ack", "channel": ROOM, "offset": 1})
        stack.drain()
    assert [frame["member"]["read_offset"] for frame in pushed(stack, "a")] == [1]


def test_who_always_changes_is_told_of_once_a_second(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    pushed(stack, "a")
    put, statuses = stack.bus.put, itertools.cycle(["busy", "away"])

    def changing(broadcasts: Sequence[Broadcast]) -> None:
        put(broadcasts)
        stack.presence_store.update(ROOM, "bob", {"status": next(statuses)}, active_at_ms=None, at_ms=stack.clock())

    stack.bus.put = changing  # type: ignore[method-assign]
    update(stack, "b", status="busy")
    looks = [look for look, _ in stack.looks.sent]
    stack.looks.sent.clear()
    stack.presence_watch.see_to(looks)
    assert len(stack.bus.broadcasts) == 1
    assert [delay_s for _, delay_s in stack.looks.sent] == [1]


def test_a_user_is_there_as_long_as_one_of_its_connections_is(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    for connection_id in ("b1", "b2"):
        come(stack, connection_id, "bob")
    stack.drain()
    assert told(stack, "a") == [("join", "ann", 2), ("join", "bob", 2)]
    page = stack.presence.get(stack.tokens.verify(stack.token("eve")), ROOM)
    assert [member["connections"] for member in page["members"]] == [1, 2]
    stack.sessions.disconnect("b1")
    later(stack)
    assert told(stack, "a") == []
    stack.sessions.disconnect("b2")
    later(stack)
    assert told(stack, "a") == [("leave", "bob", 1)]


def test_whoever_comes_back_in_time_was_never_away(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    pushed(stack, "a")
    stack.sessions.disconnect("b")
    stack.drain()
    assert present(stack) == ["ann", "bob"]
    stack.clock.pass_s(9)
    come(stack, "b2", "bob")
    stack.drain()
    later(stack)
    assert told(stack, "a") == []


def test_whoever_does_not_come_back_is_told_after_the_grace_time(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    pushed(stack, "a")
    stack.sessions.disconnect("b")
    assert [delay_s for _, delay_s in stack.looks.sent] == [GRACE_S]
    later(stack)
    assert told(stack, "a") == [("leave", "bob", 1)]


def test_joins_and_leaves_of_a_batch_are_one_message(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    stack.drain()
    pushed(stack, "a")
    for number in range(50):
        come(stack, f"u{number}", f"u{number}")
    stack.drain()
    assert len(stack.transport.inboxes["a"]) == 1
    assert len(pushed(stack, "a")) == 50


def test_a_user_who_left_and_came_back_has_taken_back_what_it_said(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    update(stack, "b", status="busy", data={"mood": "x"})
    stack.drain()
    stack.ask("b", {"type": "unsubscribe", "channel": ROOM})
    stack.drain()
    page = subscribe(stack, "b")["presence"]
    assert [(member["status"], member["data"]) for member in page["members"]] == [("online", None)] * 2


# how connections end


def by_disconnect(stack: MemoryStack) -> None:
    stack.sessions.disconnect("b")


def by_410(stack: MemoryStack) -> None:
    del stack.transport.inboxes["b"]
    stack.ask("a", {"type": "publish", "channel": ROOM, "name": "n", "data": 1})
    stack.drain()


def by_janitor(stack: MemoryStack) -> None:
    del stack.transport.inboxes["b"]
    for _ in range(13):
        stack.clock.pass_s(60)
        stack.transport.active_ms["a"] = stack.clock()
        stack.janitor.sweep(lambda: True)


def by_session_end(stack: MemoryStack) -> None:
    session_id = stack.connections.connections["b"].session_id
    assert session_id is not None
    stack.session_end.end(session_id, "bob")


def by_a_record_that_went_first(stack: MemoryStack) -> None:
    """A subscription that came after the close, or a record that expired: the list of channels is still there."""
    stack.connections.close("b")
    by_janitor(stack)


ENDS = [by_disconnect, by_410, by_janitor, by_session_end, by_a_record_that_went_first]


@pytest.mark.parametrize("end", ENDS)
def test_a_connection_that_ends_takes_its_user_out(stack: MemoryStack, end: Callable[[MemoryStack], None]) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    pushed(stack, "a")
    end(stack)
    pushed(stack, "a")
    later(stack)
    assert told(stack, "a") == [("leave", "bob", 1)]
    assert present(stack) == ["ann"]


def test_nobody_is_seen_longer_than_its_token_lasts(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    stack.connect("b")
    token = stack.tokens.issue("bob", {"*": ["subscribe", "presence"]}, ttl_s=100_000_000)
    stack.ask("b", {"type": "hello", "protocol": 1, "token": token})
    connection = stack.connections.connections["b"]
    assert connection.principal is not None
    short = connection.principal.__class__(
        "bob", {"*": ["subscribe", "presence"]}, expires_at_s=stack.clock() // 1000 + 60
    )
    stack.ask("b", {"type": "ping"})
    stack.connections.connections["b"] = connection.__class__(
        "b", connection.connected_at_ms, connection.expires_at_s, short, connection.session_id
    )
    subscribe(stack, "b")
    stack.drain()
    pushed(stack, "a")
    stack.clock.pass_s(60)
    assert present(stack) == ["ann"]
    for _ in range(13):
        stack.clock.pass_s(60)
        for connection_id in ("a", "b"):
            stack.transport.active_ms[connection_id] = stack.clock() - 1
        stack.janitor.sweep(lambda: True)
    for connection_id, ends_s, _ in stack.deadlines_queue.token_ends:
        stack.deadlines.check(connection_id, ends_s)
    later(stack)
    assert told(stack, "a") == [("leave", "bob", 1)]


def test_a_session_that_moves_from_transport_to_transport_is_never_away(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    pushed(stack, "a")
    session_id = stack.connections.connections["b"].session_id
    assert session_id is not None
    mailbox = stack.http_sessions.with_mailbox(session_id, "bob")
    stack.sessions.disconnect("b")
    stack.drain()
    later(stack)
    assert present(stack) == ["ann", "bob"]
    stack.connect("b2")
    hello = {"type": "hello", "protocol": 1, "token": stack.token("bob"), "session_id": session_id}
    assert "result" in stack.ask("b2", hello)
    stack.drain()
    later(stack)
    assert stack.presence_store.member(ROOM, "bob").connection_ids == ("b2",)
    assert stack.connections.get(mailbox.connection_id) is None
    assert told(stack, "a") == []


def test_a_session_that_comes_back_late_comes_back(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    session_id = stack.connections.connections["b"].session_id
    stack.sessions.disconnect("b")
    stack.drain()
    later(stack, 60)
    pushed(stack, "a")
    stack.connect("b2")
    stack.ask("b2", {"type": "hello", "protocol": 1, "token": stack.token("bob"), "session_id": session_id})
    stack.drain()
    assert told(stack, "a") == [("join", "bob", 2)]


def test_a_mailbox_that_lost_the_race_for_a_session_is_seen_no_longer(stack: MemoryStack) -> None:
    come(stack, "b", "bob")
    session_id = stack.connections.connections["b"].session_id
    assert session_id is not None
    stack.connections.move_session = lambda *_sessions: False  # type: ignore[method-assign]
    with pytest.raises(Exception, match="taken up elsewhere"):
        stack.http_sessions.with_mailbox(session_id, "bob")
    stack.clock.pass_s(GRACE_S)
    assert stack.presence_store.member(ROOM, "bob").connection_ids == ("b",)


def test_rights_that_are_gone_when_a_session_is_taken_up_are_gone(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    pushed(stack, "a")
    token = stack.token("bob", {"*": ["subscribe"]})
    stack.ask("b", {"type": "hello", "protocol": 1, "token": token})
    stack.drain()
    assert told(stack, "a") == [("leave", "bob", 1)]
    assert stack.connections.subscriptions("b") == {ROOM: frozenset()}


def test_a_new_http_session_is_seen(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    http: HttpSessions = stack.http_sessions
    result = http.open(stack.tokens.verify(stack.token("bob")), HelloRequest())
    connection = stack.connections.get(result["connection_id"])
    assert connection is not None
    subscribe(stack, connection.connection_id)
    stack.drain()
    assert told(stack, "a")[-1] == ("join", "bob", 2)


# rights and bad input


def test_presence_needs_its_capability_and_a_namespace_that_has_it(stack: MemoryStack) -> None:
    stack.connect("e", "eve", {"*": ["subscribe"]})
    stack.connect("a", "ann")
    assert subscribe(stack, "e")["name"] == "forbidden"
    assert stack.ask("e", {"type": "presence.get", "channel": ROOM})["error"]["name"] == "forbidden"
    for channel in ("quiet:a", "user:ann", "broadcast:all"):
        assert subscribe(stack, "a", channel)["name"] == "forbidden"
        assert stack.ask("a", {"type": "presence.get", "channel": channel})["error"]["name"] == "forbidden"


@pytest.mark.parametrize("frame", [{"type": "presence.update", "status": "busy"}, {"type": "typing", "active": True}])
def test_only_who_is_there_says_something_of_itself(stack: MemoryStack, frame: dict[str, Any]) -> None:
    stack.connect("a", "ann")
    stack.ask("a", {"type": "subscribe", "channel": ROOM})
    error = stack.ask("a", frame | {"channel": ROOM})["error"]
    assert (error["code"], error["name"], error["retryable"]) == (1006, "not_subscribed", False)
    come(stack, "a2", "ann")  # the user is there, this connection is not
    assert stack.ask("a", frame | {"channel": ROOM})["error"]["name"] == "not_subscribed"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"status": "asleep"}, "invalid_field"),
        ({"status": 1}, "invalid_field"),
        ({"active": "yes"}, "invalid_field"),
        ({"data": "x" * 999}, "too_large"),
        ({"data": "ü" * 500}, "too_large"),
    ],
)
def test_bad_updates_are_refused(stack: MemoryStack, said: dict[str, Any], error: str) -> None:
    come(stack, "a", "ann")
    assert update(stack, "a", **said) == error
    assert update(stack, "a", data="x" * 998) == {}


def test_bad_requests_are_refused(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    for frame in (
        {"type": "presence.get"},
        {"type": "presence.get", "channel": ROOM, "after": ""},
        {"type": "typing", "channel": ROOM},
        {"type": "typing", "channel": ROOM, "active": 1},
        {"type": "subscribe", "channel": ROOM, "presence": 1},
    ):
        assert stack.ask("a", frame)["error"]["name"] == "invalid_field"


# updates


def test_what_a_user_says_of_itself_is_told(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    pushed(stack, "a")
    stack.clock.pass_s(5)
    assert update(stack, "b", status="away", active=False, data={"mood": "x"}) == {}
    stack.drain()
    (frame,) = pushed(stack, "a")
    assert (frame["event"], frame["count"]) == ("update", 2)
    assert frame["member"] == {
        "user_id": "bob",
        "status": "away",
        "active": False,
        "data": {"mood": "x"},
        "connections": 1,
        "last_active_at_ms": stack.clock(),
    }
    update(stack, "b", data=None)
    stack.drain()
    (frame,) = pushed(stack, "a")
    assert (frame["member"]["data"], frame["member"]["status"]) == (None, "away")


def test_what_changes_nothing_is_neither_written_nor_told(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    update(stack, "a", status="busy", data=1)
    stack.drain()
    stack.clock.pass_s(61)
    pushed(stack, "a")
    stack.presence_store.update = None  # type: ignore[assignment,method-assign]
    assert update(stack, "a", status="busy", active=False) == "internal"
    assert update(stack, "a", status="busy", data=1) == {}
    assert stack.looks.sent == []
    assert update(stack, "a", data=True) == "internal"  # not the same as 1


def test_being_active_again_is_noted_once_in_ten_seconds(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    began_ms = stack.clock()
    for _ in range(19):
        stack.clock.pass_s(1)
        update(stack, "a", active=True)
    assert stack.presence_store.member(ROOM, "ann").last_active_at_ms == began_ms + 10_000


def test_a_repeated_update_makes_good_a_look_that_was_lost(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    pushed(stack, "a")
    send, stack.looks.send = stack.looks.send, failing(UnavailableError())  # type: ignore[method-assign]
    assert update(stack, "b", status="busy") == "unavailable"
    stack.looks.send = send  # type: ignore[method-assign]
    assert update(stack, "b", status="busy") == {}
    stack.drain()
    assert told(stack, "a") == [("update", "bob", 2)]


def test_others_see_how_far_a_user_has_read(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.ask("a", {"type": "publish", "channel": ROOM, "name": "n", "data": 1})
    stack.drain()
    pushed(stack, "a")
    stack.ask("b", {"type": "ack", "channel": ROOM, "offset": 1})
    stack.drain()
    (frame,) = pushed(stack, "a")
    assert (frame["event"], frame["member"]["user_id"], frame["member"]["read_offset"]) == ("update", "bob", 1)
    page = stack.ask("a", {"type": "presence.get", "channel": ROOM})["result"]
    assert [member.get("read_offset") for member in page["members"]] == [None, 1]
    stack.connect("e", "eve")
    stack.ask("e", {"type": "ack", "channel": ROOM, "offset": 1})
    assert stack.looks.sent == []  # nobody sees eve


# typing


def type_(stack: MemoryStack, connection_id: str, active: bool, **fields: Any) -> list[Any]:
    frame = {"type": "typing", "channel": ROOM, "active": active, **fields}
    return stack.dispatcher.handle(connection_id, json.dumps(frame), max_bytes=32_000, received_at_ms=stack.clock())


def test_typing_is_told_to_the_others_who_see_and_not_answered_without_an_id(stack: MemoryStack) -> None:
    for connection_id, user_id in (("a", "ann"), ("b", "bob")):
        come(stack, connection_id, user_id)
    stack.connect("e", "eve")
    stack.ask("e", {"type": "subscribe", "channel": ROOM})
    stack.drain()
    assert type_(stack, "b", True) == []
    stack.drain()
    assert pushed(stack, "a", "typing") == [{"type": "typing", "channel": ROOM, "user_id": "bob", "active": True}]
    assert pushed(stack, "b", "typing") == []
    assert pushed(stack, "e", "typing") == []
    assert type_(stack, "b", False, id=4) == [{"type": "reply", "id": 4, "result": {}}]


def test_of_a_typing_that_is_refused_nothing_is_said_without_an_id(stack: MemoryStack) -> None:
    stack.connect("a", "ann")
    assert type_(stack, "a", True) == []
    assert type_(stack, "a", True, id=1)[0]["error"]["name"] == "not_subscribed"
    assert type_(stack, "a", True, channel="no channel") == []
    assert [reply["type"] for reply in type_(stack, "unknown", True)] == ["system"]
    batch = [{"type": "typing", "channel": ROOM, "active": True}, {"type": "ping", "id": 7}]
    replies = stack.dispatcher.handle("a", json.dumps(batch), max_bytes=32_000, received_at_ms=0)
    assert replies == [{"type": "pong", "id": 7}]


def test_repeats_of_typing_are_dropped_for_two_seconds(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    pushed(stack, "a")
    for active, expected in ((True, [True]), (True, []), (False, [False]), (True, []), (False, [])):
        type_(stack, "b", active)
        stack.drain()
        assert [frame["active"] for frame in pushed(stack, "a", "typing")] == expected
    stack.clock.pass_s(2)
    type_(stack, "b", True)
    stack.drain()
    assert len(pushed(stack, "a", "typing")) == 1


def test_the_end_of_typing_is_told_where_another_process_heard_of_its_beginning(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    pushed(stack, "a")
    for expected in ([False], []):
        type_(stack, "b", False)
        stack.drain()
        assert [frame["active"] for frame in pushed(stack, "a", "typing")] == expected
    stack.clock.pass_s(2)
    type_(stack, "b", False)
    stack.drain()
    assert [frame["active"] for frame in pushed(stack, "a", "typing")] == [False]


def test_typing_that_can_not_be_pushed_now_is_not_pushed_later(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    stack.transport.failures = {"a": UnavailableError()}
    type_(stack, "b", True)
    stack.drain()
    assert stack.deliveries.sent == []


# large channels, and numbers alone


def test_where_numbers_alone_are_told_nobody_is_named(stack: MemoryStack) -> None:
    result = come(stack, "a", "ann", "crowd:x")["presence"]
    assert result == {"members": [], "count": 1, "version": 0}
    come(stack, "b", "bob", "crowd:x")
    stack.drain()
    (frame,) = pushed(stack, "a")
    assert frame == {"type": "presence", "channel": "crowd:x", "event": "count", "count": 2, "version": 1}
    get = {"type": "presence.get", "channel": "crowd:x"}
    assert stack.ask("a", get)["result"] == {"members": [], "count": 2, "version": 1}
    for frame in ({"type": "typing", "active": True}, {"type": "presence.update", "status": "busy"}):
        assert stack.ask("a", frame | {"channel": "crowd:x"})["error"]["name"] == "forbidden"


def test_a_number_is_told_once_in_five_seconds_and_only_another_one(stack: MemoryStack) -> None:
    come(stack, "a", "ann", "crowd:x")
    stack.drain()
    assert [frame["count"] for frame in pushed(stack, "a")] == [1]
    for number in range(4):
        come(stack, f"u{number}", f"u{number}", "crowd:x")
        stack.drain()
        stack.clock.pass_s(1)
    assert pushed(stack, "a") == []
    later(stack, 1)
    assert [frame["count"] for frame in pushed(stack, "a")] == [5]
    later(stack, 5)
    assert (pushed(stack, "a"), stack.looks.sent) == ([], [])


def test_five_hundred_who_come_and_go_are_ten_messages_to_each(stack: MemoryStack) -> None:
    users = [f"user-{number:03}" for number in range(500)]
    for batch in range(5):
        for user in users[batch * 100 : batch * 100 + 100]:
            come(stack, user, user)
        stack.drain()
        stack.clock.pass_s(1)
    later(stack, 5)
    messages = {user: len(stack.transport.inboxes[user]) for user in users}
    assert max(messages.values()) <= 5
    assert stack.events(users[0])[-1]["count"] == 500
    for batch in range(5):
        for user in users[batch * 100 : batch * 100 + 100]:
            stack.ask(user, {"type": "unsubscribe", "channel": ROOM})
        stack.drain()
        stack.clock.pass_s(1)
    later(stack, 5)
    assert max(len(stack.transport.inboxes[user]) for user in users) <= 10
    assert present(stack) == []


def test_a_channel_that_shrinks_is_told_by_name_again(stack: MemoryStack) -> None:
    for number in range(101):
        come(stack, f"u{number:03}", f"u{number:03}")
    stack.drain()
    assert [frame["event"] for frame in pushed(stack, "u000")] == ["count"]
    assert subscribe(stack, "u000")["presence"]["members"] == []
    assert type_(stack, "u001", True, id=1)[0]["result"] == {}
    stack.drain()
    assert pushed(stack, "u000", "typing") == []  # too many to be told who types
    for number in range(81, 101):
        stack.ask(f"u{number:03}", {"type": "unsubscribe", "channel": ROOM})
    later(stack, 10)
    assert [frame["count"] for frame in pushed(stack, "u000")] == [81]
    stack.ask("u080", {"type": "unsubscribe", "channel": ROOM})
    later(stack, 10)
    frames = pushed(stack, "u000")
    assert {frame["event"] for frame in frames} == {"join"}
    assert len(frames) == 80


def test_members_of_large_channels_are_read_in_pages(stack: MemoryStack) -> None:
    stack.connect("reader", "reader")
    for number in range(450):
        stack.presence_store.enter(
            [ROOM], f"u{number:03}", f"c{number}", at_ms=0, expires_at_s=stack.clock() // 1000 + 60
        )
    seen: list[str] = []
    after: dict[str, str] = {}
    for _ in range(10):
        page = stack.ask("reader", {"type": "presence.get", "channel": ROOM, **after})["result"]
        assert len(json.dumps(page, separators=(",", ":"))) <= 30_100
        assert page["count"] == 450
        seen += names(page)
        if "more" not in page:
            break
        after = {"after": seen[-1]}
    assert seen == [f"u{number:03}" for number in range(450)]


def test_what_subscribe_tells_fits_its_frame(stack: MemoryStack) -> None:
    for number in range(60):
        come(stack, f"u{number:02}", f"u{number:02}")
        update(stack, f"u{number:02}", data="x" * 900)
    stack.connect("b")
    hello = {
        "type": "hello",
        "protocol": 1,
        "token": stack.token("bob"),
        "subscribe": [{"channel": channel, "presence": True, "history": 10} for channel in (ROOM, "room:b", ROOM)],
    }
    reply = stack.ask("b", hello)
    assert len(json.dumps(reply, separators=(",", ":"))) <= 32_000
    first, second, third = (result["presence"] for result in reply["result"]["subscriptions"])
    assert (first["more"], names(second), third["more"]) == (True, ["bob"], True)
    assert len(first["members"]) > 20 > len(third["members"])


# failures


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_arguments: Any, **_more: Any) -> Any:
        raise error

    return fail


def stopping(whole: Callable[..., Any], nth: int, *, before: bool) -> Callable[..., Any]:
    """Return the function, at whose nth call what runs is stopped."""
    calls = [0]

    def call(*arguments: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == nth and before:
            raise Stopped
        result = whole(*arguments, **more)
        if calls[0] == nth:
            raise Stopped
        return result

    return call


class Stopped(Exception):
    """What runs is stopped here, as Lambda does it: nothing behind it happens."""


STEPS = [
    ("presence_store", "enter"),
    ("presence_store", "attendees"),
    ("presence_store", "leave"),
    ("presence_store", "tell"),
    ("presence_store", "forget"),
    ("connections", "subscribe"),
    ("connections", "unsubscribe"),
    ("connections", "attended"),
    ("connections", "close"),
    ("looks", "send"),
    ("bus", "put"),
]


@pytest.mark.parametrize("place", STEPS, ids=[".".join(step) for step in STEPS])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_whatever_step_is_the_last_before_a_stop_trying_again_makes_it_good(
    stack: MemoryStack, place: tuple[str, str], before: bool, nth: int
) -> None:
    """Each call of a story may be stopped once at some step; it is made again, as clients, queues and janitors do."""
    for connection_id, user_id in (("a", "ann"), ("b", "bob"), ("c", "cyd")):
        stack.connect(connection_id, user_id)
    holder = getattr(stack, place[0])
    setattr(holder, place[1], stopping(getattr(holder, place[1]), nth, before=before))

    def see_to() -> None:
        looks = [look for look, _ in stack.looks.sent]
        stack.looks.sent.clear()
        for _ in range(3):  # the queue hands them out again
            if not stack.presence_watch.see_to(looks):
                break
        for broadcast in stack.bus.broadcasts:
            stack.fan_out.deliver(broadcast)
        stack.bus.broadcasts.clear()

    def ask(connection_id: str, frame: dict[str, Any]) -> None:
        assert any("result" in stack.ask(connection_id, frame) for _ in range(2))

    for connection_id in ("a", "b", "c"):
        ask(connection_id, {"type": "subscribe", "channel": ROOM, "presence": True})
        see_to()
    ask("c", {"type": "unsubscribe", "channel": ROOM})
    see_to()
    for _ in range(2):  # a disconnect that failed is the janitor's
        try:
            stack.sessions.disconnect("b")
            break
        except Stopped:
            continue
    stack.clock.pass_s(GRACE_S)
    see_to()
    assert present(stack) == ["ann"]
    assert stack.presence_store.told(ROOM).users.keys() == {"ann"}
    here: set[str] = set()
    for frame in (frame for frame in stack.events("a") if frame["type"] == "presence"):
        user_id = frame["member"]["user_id"]
        here = here - {user_id} if frame["event"] == "leave" else here | {user_id}
    assert here == {"ann"}


def test_a_channel_that_can_not_be_looked_at_stops_no_other(stack: MemoryStack) -> None:
    come(stack, "a", "ann", "room:x")
    come(stack, "b", "bob", "room:y")
    attendees = stack.presence_store.attendees

    def some(channel: str) -> Any:
        if channel == "room:x":
            raise UnavailableError
        return attendees(channel)

    stack.presence_store.attendees = some  # type: ignore[method-assign]
    looks = [look for look, _ in stack.looks.sent]
    assert stack.presence_watch.see_to(looks) == {"room:x"}
    assert stack.presence_store.told("room:y").users.keys() == {"bob"}
    assert [type(error) for error in stack.failures] == [UnavailableError]


def test_any_look_repairs_all_of_its_channel(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    stack.drain()
    come(stack, "b", "bob")
    stack.looks.sent.clear()  # lost
    come(stack, "c", "cyd")
    pushed(stack, "a")
    stack.drain()
    assert told(stack, "a") == [("join", "bob", 3), ("join", "cyd", 3)]


def test_asking_who_is_there_makes_good_a_lost_look(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    stack.looks.sent.clear()
    stack.ask("a", {"type": "presence.get", "channel": ROOM})
    stack.drain()
    assert told(stack, "a") == [("join", "ann", 1)]
    stack.ask("a", {"type": "presence.get", "channel": ROOM})
    assert stack.looks.sent == []


def test_of_two_who_look_one_that_has_read_before_a_leave_does_not_have_the_last_word(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    stack.drain()
    come(stack, "b", "bob")
    stack.looks.sent.clear()
    tell, first = stack.presence_store.tell, [True]

    def slow(channel: str, told: Told, *, before: int) -> bool:
        if first and first.pop():
            # This one has read that bob is there. Now bob leaves, and another one looks and finds nothing to tell.
            stack.ask("b", {"type": "unsubscribe", "channel": ROOM})
            assert stack.presence_watch.see_to([Look(ROOM)]) == set()
            stack.looks.sent.clear()
        return tell(channel, told, before=before)

    stack.presence_store.tell = slow  # type: ignore[method-assign]
    pushed(stack, "a")
    stack.presence_watch.see_to([Look(ROOM)])
    later(stack, 1)
    assert stack.presence_store.told(ROOM).users.keys() == {"ann"}
    assert told(stack, "a") == [("join", "bob", 2), ("leave", "bob", 1)]


def test_what_one_who_comes_has_seen_in_between_is_told_again(stack: MemoryStack) -> None:
    """It saw bob away; to the others, who are told later, he never was."""
    come(stack, "a", "ann")
    come(stack, "b", "bob")
    stack.drain()
    stack.ask("b", {"type": "unsubscribe", "channel": ROOM})
    members = Members()
    members.answered([come(stack, "d", "dan")["presence"]], now_ms=0)
    assert sorted(members.members) == ["ann", "dan"]
    subscribe(stack, "b")
    stack.drain()
    for frame in pushed(stack, "d"):
        members.push(frame, now_ms=0)
    assert (sorted(members.members), members.needs_get(now_ms=9_000)) == (["ann", "bob", "dan"], False)


def test_a_subscription_that_an_unsubscribe_overtakes_leaves_nobody_behind(stack: MemoryStack) -> None:
    stack.connect("a", "ann")
    enter = stack.presence_store.enter

    def late(*arguments: Any, **more: Any) -> None:
        stack.ask("a", {"type": "unsubscribe", "channel": ROOM})
        enter(*arguments, **more)

    stack.presence_store.enter = late  # type: ignore[method-assign]
    subscribe(stack, "a")
    assert present(stack) == []
