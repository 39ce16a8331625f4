"""Requests as clients send them, over the memory adapters: what each answers, and what each refuses."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.memory import MemoryLaneQueue
from shared.domain.processing import Context, Draft
from shared.errors import UnavailableError
from shared.ports import Lane, LaneMessage
from tests.unit.bad_tokens import bad_tokens
from tests.unit.stack import SECRET, MemoryStack

ROOM = "room:a"


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack()


def raw(stack: MemoryStack, body: str | bytes, connection_id: str = "c") -> list[dict[str, Any]]:
    return stack.dispatcher.handle(connection_id, body, max_bytes=32_000, received_at_ms=stack.clock())


def error_of(reply: dict[str, Any]) -> tuple[int, str]:
    return reply["error"]["code"], reply["error"]["name"]


def publish(stack: MemoryStack, connection_id: str, text: str, **fields: Any) -> dict[str, Any]:
    frame = {"type": "publish", "channel": ROOM, "name": "said", "data": {"text": text}, **fields}
    return stack.ask(connection_id, frame)


def test_two_connections_chat(stack: MemoryStack) -> None:
    for connection_id, user_id in (("c1", "ann"), ("c2", "bob")):
        stack.connect(connection_id, user_id)
        reply = stack.ask(connection_id, {"type": "subscribe", "channel": ROOM})
        assert reply["result"]["position"]["offset"] == 0
        assert reply["result"]["recovered"] is False
    assert publish(stack, "c1", "hi", message_id="m1")["result"] == {"message_id": "m1", "status": "accepted"}
    publish(stack, "c2", "ho")
    stack.drain()
    for connection_id in ("c1", "c2"):
        events = stack.events(connection_id)
        assert [(e["offset"], e["prev_offset"], e["data"]["text"]) for e in events] == [(1, 0, "hi"), (2, 1, "ho")]
        assert events[0]["sender"] == {"user_id": "ann", "connection_id": "c1"}
        assert events[0]["type"] == "event"


def test_history_both_ways(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    for index in range(7):
        publish(stack, "c", str(index))
        stack.drain()
    page = stack.ask("c", {"type": "history", "channel": ROOM, "limit": 3})["result"]
    assert ([p["offset"] for p in page["publications"]], page["more"]) == ([1, 2, 3], True)
    since = {"epoch": page["position"]["epoch"], "offset": 5}
    page = stack.ask("c", {"type": "history", "channel": ROOM, "since": since})["result"]
    assert ([p["offset"] for p in page["publications"]], page["more"]) == ([6, 7], False)
    page = stack.ask("c", {"type": "history", "channel": ROOM, "since": since, "reverse": True, "limit": 2})["result"]
    assert ([p["offset"] for p in page["publications"]], page["more"]) == ([4, 3], True)
    assert "type" not in page["publications"][0]


def test_history_of_an_unknown_channel_is_an_empty_stream(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    page = stack.ask("c", {"type": "history", "channel": "room:nobody"})["result"]
    assert page == {"publications": [], "position": {"epoch": "1-", "offset": 0}, "more": False}
    assert stack.store.streams == {}


def test_subscribe_recovers_what_was_missed(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    position = stack.ask("c", {"type": "subscribe", "channel": ROOM})["result"]["position"]
    for index in range(4):
        publish(stack, "c", str(index))
    stack.drain()
    result = stack.ask("c", {"type": "subscribe", "channel": ROOM, "since": position})["result"]
    assert result["recovered"] is True
    assert [p["offset"] for p in result["publications"]] == [1, 2, 3, 4]
    other = {"epoch": "1-other", "offset": 0}
    result = stack.ask("c", {"type": "subscribe", "channel": ROOM, "since": other, "history": 2})["result"]
    assert result["recovered"] is False
    assert [p["offset"] for p in result["publications"]] == [3, 4]


def test_recovery_that_does_not_fit_one_frame_is_paged(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    position = stack.ask("c", {"type": "subscribe", "channel": ROOM})["result"]["position"]
    for _ in range(4):
        publish(stack, "c", "x" * 12_000)
    stack.drain()
    reply = stack.ask("c", {"type": "subscribe", "channel": ROOM, "since": position})
    result = reply["result"]
    assert (result["recovered"], result["more"], [p["offset"] for p in result["publications"]]) == (True, True, [1, 2])
    assert len(json.dumps(reply)) <= 32_000


def test_recovery_beyond_the_limit_is_refused() -> None:
    stack = MemoryStack("[defaults]\nrecovery_limit = 3")
    stack.connect("c", "ann")
    position = stack.ask("c", {"type": "subscribe", "channel": ROOM})["result"]["position"]
    for _ in range(4):
        publish(stack, "c", "x")
    stack.drain()
    result = stack.ask("c", {"type": "subscribe", "channel": ROOM, "since": position})["result"]
    assert (result["recovered"], result["publications"]) == (False, [])


def test_what_retention_dropped_is_not_served_and_not_called_recovered() -> None:
    stack = MemoryStack("[defaults]\nhistory_count = 2")
    stack.connect("c", "ann")
    position = stack.ask("c", {"type": "subscribe", "channel": ROOM})["result"]["position"]
    for _ in range(3):
        publish(stack, "c", "x")
        stack.drain()
    assert stack.ask("c", {"type": "subscribe", "channel": ROOM, "since": position})["result"]["recovered"] is False
    page = stack.ask("c", {"type": "history", "channel": ROOM})["result"]
    assert [p["offset"] for p in page["publications"]] == [2, 3]
    stack.clock.pass_s(86_401)
    # The subscription and the token of this test live longer than the retention.
    stack.connect("d", "ann")
    assert stack.ask("d", {"type": "history", "channel": ROOM})["result"]["publications"] == []


def test_sync_tells_which_streams_go_further(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    known = stack.ask("c", {"type": "subscribe", "channel": ROOM})["result"]["position"]
    quiet = stack.ask("c", {"type": "subscribe", "channel": "room:quiet"})["result"]["position"]
    publish(stack, "c", "x")
    stack.drain()
    reply = stack.ask("c", {"type": "sync", "positions": {ROOM: known, "room:quiet": quiet}})
    assert reply["result"] == {"behind": {ROOM: {"epoch": known["epoch"], "offset": 1}}}


def test_a_batch_is_handled_in_order_and_answered_in_order(stack: MemoryStack) -> None:
    stack.connect("c")
    frames = [
        {"type": "publish", "id": "early", "channel": ROOM, "name": "n", "data": 1},
        {"type": "hello", "id": 1, "protocol": 1, "token": stack.token("ann"), "subscribe": [{"channel": ROOM}]},
        {"type": "publish", "id": 2, "channel": ROOM, "name": "n", "data": 1},
        {"type": "ping", "id": 3},
        "no frame",
    ]
    replies = raw(stack, json.dumps(frames))
    assert [r.get("id") for r in replies] == ["early", 1, 2, 3, None]
    assert error_of(replies[0]) == (1004, "unauthenticated")
    assert replies[1]["result"]["subscriptions"][0]["channel"] == ROOM
    assert replies[3] == {"type": "pong", "id": 3}
    assert error_of(replies[4]) == (1000, "bad_frame")


class Busy(MemoryLaneQueue):
    """Fails for one message, once."""

    def __init__(self, message_id: str, error: Exception) -> None:
        super().__init__()
        self.message_id, self.error = message_id, error

    def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
        if self.message_id in [message.publication.message_id for message in messages]:
            self.message_id = ""
            raise self.error
        return super().send(lane, messages)


def sent_by(stack: MemoryStack, lanes: MemoryLaneQueue, frames: list[dict[str, Any]]) -> list[str | None]:
    """Return the name of each frame's error."""
    dispatcher = replace(stack.dispatcher, publishing=replace(stack.publishing, lanes=lanes))
    filled = [{"type": "publish", "id": n, "message_id": f"m{n}", "name": "n", "data": n} for n in range(len(frames))]
    body = json.dumps([common | frame for common, frame in zip(filled, frames, strict=True)])
    replies = dispatcher.handle("c", body, max_bytes=32_000, received_at_ms=stack.clock())
    return [reply.get("error", {}).get("name") for reply in replies]


@pytest.mark.parametrize(("error", "name"), [(UnavailableError(), "unavailable"), (ValueError(), "internal")])
def test_what_may_succeed_later_holds_back_the_batchs_later_ones_of_its_channel(
    stack: MemoryStack, error: Exception, name: str
) -> None:
    stack.connect("c", "ann")
    here: dict[str, Any] = {"channel": ROOM}
    there, bob = {"channel": "room:b"}, {"type": "send", "to": {"user_id": "bob"}}
    lanes = Busy("m1", error)
    frames = [here, here, there, here | {"priority": "express"}, here | {"ephemeral": True}, {"type": "ping"}, bob]
    assert sent_by(stack, lanes, frames) == [name, name, name, name, None, None, None]
    assert [message.publication.message_id for _, message in lanes.sent] == ["m6"]
    assert sent_by(stack, lanes, [here] * 2) == [None, None], "the next batch begins anew"
    frames = [bob, here | {"priority": "low"}, bob]
    assert sent_by(stack, Busy("m0", error), frames) == [name, None, name]
    assert sent_by(stack, Busy("m4", error), [here] * 11 + [there]) == [name] * 11 + [None]


def test_publications_for_one_lane_that_follow_each_other_go_there_ten_at_a_time(stack: MemoryStack) -> None:
    stack.connect("c", "ann")

    calls: list[tuple[Lane, int]] = []

    class Counting(MemoryLaneQueue):
        def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
            calls.append((lane, len(messages)))
            return super().send(lane, messages)

    lanes = Counting()
    low, high = ({"channel": ROOM, "priority": priority} for priority in ("low", "high"))
    apart: list[dict[str, Any]] = [{"type": "ping"}, {"channel": ROOM, "ephemeral": True}, {"channel": "!"}]
    frames: list[dict[str, Any]] = [*[low] * 12, *apart, *[low] * 2, *[high] * 3, low]
    assert sent_by(stack, lanes, frames) == [None] * 14 + ["invalid_field"] + [None] * 6
    assert calls == [("low", 10), ("low", 2), ("low", 2), ("high", 3), ("low", 1)], "a ping waits for them"
    order = [f"m{place}" for place, frame in enumerate(frames) if frame not in apart]
    assert [message.publication.message_id for _, message in lanes.sent] == order


def test_what_a_lane_hands_back_fails_alone_and_holds_back_what_was_not_sent_yet(stack: MemoryStack) -> None:
    stack.connect("c", "ann")

    class Partial(MemoryLaneQueue):
        def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
            left = {place for place, message in enumerate(messages) if message.publication.message_id == "m1"}
            super().send(lane, [message for place, message in enumerate(messages) if place not in left])
            return left

    lanes = Partial()
    here, there = {"channel": ROOM}, {"channel": "room:b"}
    names = sent_by(stack, lanes, [here] * 10 + [there, here])
    assert names == [None, "unavailable", *[None] * 9, "unavailable"]
    assert [message.publication.message_id for _, message in lanes.sent] == ["m0", *(f"m{n}" for n in range(2, 11))]


def test_a_fault_in_a_lane_is_logged_once(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    assert sent_by(stack, Busy("m0", ValueError()), [{"channel": ROOM}] * 3) == ["internal"] * 3
    assert len(stack.failures) == 1


def test_a_request_that_its_own_repeat_has_overtaken_is_stored_once(stack: MemoryStack) -> None:
    """Its function was slow; the client lost patience, and another function was fast."""
    stack.connect("c", "ann")
    frame: dict[str, Any] = {"type": "publish", "channel": ROOM, "name": "n", "data": 1, "priority": "express"}
    repeats: list[dict[str, Any]] = []

    def overtaken(draft: Draft, context: Context) -> Draft:
        if context.message_id == "m" and not repeats:
            repeats.append({})  # it is being made: the repeat comes through here as well
            repeats[0] = stack.ask("c", frame | {"message_id": "m", "retry": True})
            for number in range(70):  # more than one ring has
                stack.ask("c", frame | {"message_id": f"other {number}"})
            stack.clock.pass_s(20)
        return draft

    stack.processors.append(overtaken)
    reply = stack.ask("c", frame | {"message_id": "m"})
    assert reply["result"]["position"] == repeats[0]["result"]["position"]


def test_what_will_never_succeed_holds_back_nothing(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    frames = [{"channel": ROOM, "data": "x" * 24_000}, {"channel": ROOM}]
    assert sent_by(stack, MemoryLaneQueue(), frames) == ["too_large", None]


def test_a_rate_limit_holds_back_the_rest_of_the_batch_in_that_channel() -> None:
    stack = MemoryStack("[namespaces.room]\npublish_rate_per_s = 10\npublish_burst = 10")
    stack.connect("c", "ann")

    class Passing(MemoryLaneQueue):
        def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
            stack.clock.pass_s(0.02 * len(messages))
            return super().send(lane, messages)

    frames = [{"channel": ROOM}, {"channel": "room:b"}] * 50
    names = sent_by(stack, Passing(), frames)
    for one in (names[::2], names[1::2]):
        accepted = one.count(None)
        assert 10 <= accepted < 50
        assert one == [None] * accepted + ["rate_limited"] * (50 - accepted)


def test_everybody_has_a_personal_and_the_broadcast_channel(stack: MemoryStack) -> None:
    stack.connect("c", "ann@example.org", caps={})
    assert stack.connections.subscribers("user:ann%40example.org").connection_ids == ["c"]
    assert stack.connections.subscribers("broadcast:all").connection_ids == ["c"]
    page = stack.ask("c", {"type": "history", "channel": "user:ann%40example.org"})
    assert page["result"]["publications"] == []
    assert error_of(stack.ask("c", {"type": "history", "channel": "user:bob"})) == (1005, "forbidden")
    stack.sessions.disconnect("c")
    assert stack.connections.subscribers("broadcast:all").connection_ids == []


@pytest.mark.parametrize("channel", ["broadcast:all", "user:bob"])
def test_only_servers_publish_to_everybody_and_to_people(stack: MemoryStack, channel: str) -> None:
    stack.connect("c", "ann")
    frame = {"type": "publish", "channel": channel, "name": "n", "data": 1}
    assert error_of(stack.ask("c", frame)) == (1005, "forbidden")
    stack.connect("a", "root", caps={"*": ["publish", "admin"]})
    assert "result" in stack.ask("a", frame)


def test_express_is_in_the_stream_when_it_is_answered(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    stack.ask("c", {"type": "subscribe", "channel": ROOM})
    result = publish(stack, "c", "now", priority="express")["result"]
    assert result["position"]["offset"] == 1
    assert [e["priority"] for e in stack.events("c")] == ["express"]
    assert [b.fanned_out for b in stack.bus.broadcasts] == [True]


def batch(stack: MemoryStack, frames: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    numbered = [{"id": number, **frame} for number, frame in enumerate(frames)]
    return stack.dispatcher.handle("c", json.dumps(numbered), max_bytes=2**20, received_at_ms=stack.clock())


def test_express_publications_that_follow_each_other_in_a_channel_go_into_the_log_ten_at_a_time(
    stack: MemoryStack,
) -> None:
    stack.connect("c", "ann")
    for channel in (ROOM, "room:b"):
        stack.ask("c", {"type": "subscribe", "channel": channel})
    here = {"type": "publish", "channel": ROOM, "name": "n", "data": 1, "priority": "express"}
    frames = [here | {"message_id": f"m{number}"} for number in range(12)]
    frames += [
        here | {"channel": "room:b"},
        here | {"message_id": "m3", "retry": True},
        here,
        here | {"priority": "low"},
    ]
    replies = batch(stack, frames)
    offsets = [reply["result"].get("position", {}).get("offset") for reply in replies]
    assert offsets == [*range(1, 13), 1, 4, 13, None]
    assert [len(broadcast.frames) for broadcast in stack.bus.broadcasts] == [10, 2, 1, 2], "a repeat is told again"
    assert [event["offset"] for event in stack.events("c") if event["channel"] == ROOM] == [*range(1, 13), 4, 13]


def test_an_ephemeral_publication_does_not_overtake_an_express_one(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    here = {"type": "publish", "channel": ROOM, "data": 1}
    batch(stack, [here | {"name": "said", "priority": "express"}, here | {"name": "silent", "ephemeral": True}])
    assert [broadcast.frames[0]["name"] for broadcast in stack.bus.broadcasts] == ["said", "silent"]


def test_of_two_with_one_id_in_a_batch_the_one_that_is_less_sure_is_believed(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    here = {"type": "publish", "channel": ROOM, "name": "n", "data": 1, "priority": "express"}
    batch(stack, [here | {"message_id": "x"}])
    stack.clock.pass_s(30)
    for _ in range(7):
        batch(stack, [here] * 10)  # more than one ring has
    replies = batch(stack, [here | {"message_id": "x", "retry": True}, here | {"message_id": "x"}])
    assert [reply["result"]["position"]["offset"] for reply in replies] == [1, 1]


def test_large_express_publications_go_into_the_log_in_parts_that_fit_the_bus(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    frame = {"type": "publish", "channel": ROOM, "name": "n", "data": "x" * 23_000, "priority": "express"}
    replies = batch(stack, [frame] * 10)
    assert [reply["result"]["position"]["offset"] for reply in replies] == [*range(1, 11)]
    assert [len(broadcast.frames) for broadcast in stack.bus.broadcasts] == [8, 2]


def test_an_express_publication_that_fails_fails_with_those_beside_it(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    here = {"type": "publish", "channel": ROOM, "name": "n", "data": 1, "priority": "express"}

    def failing(*_arguments: Any, **_more: Any) -> Any:
        raise UnavailableError

    stack.store.append = failing  # type: ignore[method-assign]
    replies = batch(stack, [*[here] * 3, {"type": "ping"}, here | {"priority": "low"}])
    assert [reply.get("error", {}).get("name") for reply in replies] == ["unavailable"] * 3 + [None, "unavailable"]


def test_express_counts_what_it_appends_and_what_it_knew(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    for retry in (False, True):
        publish(stack, "c", "now", priority="express", message_id="m", retry=retry)
    counted = [sum(stack.metrics.values[name]) for name in ("PublicationsAppended", "DuplicatesDropped")]
    assert counted == [1, 1]


def test_ephemeral_has_no_place_in_the_stream(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    stack.ask("c", {"type": "subscribe", "channel": ROOM})
    publish(stack, "c", "x", ephemeral=True)
    stack.drain()
    (event,) = stack.events("c")
    assert event["ephemeral"] is True
    assert "offset" not in event
    assert stack.ask("c", {"type": "history", "channel": ROOM})["result"]["publications"] == []


def test_a_session_takes_its_subscriptions_along(stack: MemoryStack) -> None:
    stack.connect("c1", "ann")
    stack.ask("c1", {"type": "subscribe", "channel": ROOM})
    connection = stack.connections.get("c1")
    assert connection is not None
    stack.sessions.disconnect("c1")
    stack.connect("c2")
    hello = {"type": "hello", "protocol": 1, "token": stack.token("ann"), "session_id": connection.session_id}
    assert stack.ask("c2", hello)["result"]["session_id"] == connection.session_id
    assert stack.connections.subscribers(ROOM).connection_ids == ["c2"]


def test_a_session_is_its_users_alone_and_ends(stack: MemoryStack) -> None:
    stack.connect("c1", "ann")
    connection = stack.connections.get("c1")
    assert connection is not None
    hello = {"type": "hello", "protocol": 1, "session_id": connection.session_id}
    stack.connect("c2")
    assert error_of(stack.ask("c2", hello | {"token": stack.token("eve")})) == (1011, "session_unknown")
    stack.sessions.disconnect("c1")
    stack.clock.pass_s(121)
    stack.connect("c3")
    assert error_of(stack.ask("c3", hello | {"token": stack.token("ann")})) == (1011, "session_unknown")


def test_a_connection_belongs_to_one_user(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    reply = stack.ask("c", {"type": "hello", "protocol": 1, "token": stack.token("eve")})
    assert error_of(reply) == (1005, "forbidden")


def test_a_ticket_opens_one_connection_once(stack: MemoryStack) -> None:
    ticket = stack.sessions.issue_ticket(stack.tokens.verify(stack.token("ann")))
    stack.sessions.connect("c", ticket)
    assert stack.ask("c", {"type": "hello", "protocol": 1})["result"]["user_id"] == "ann"
    assert stack.deadlines_queue.sent == []
    assert stack.deadlines_queue.arrived == [("c", 10)]
    for bad in (ticket, "made up", ""):
        with pytest.raises(Exception, match="ticket"):
            stack.sessions.connect("d", bad)
    late = stack.sessions.issue_ticket(stack.tokens.verify(stack.token("ann")))
    stack.clock.pass_s(31)
    with pytest.raises(Exception, match="ticket"):
        stack.sessions.connect("d", late)


def test_who_says_nothing_is_closed_after_ten_seconds(stack: MemoryStack) -> None:
    stack.connect("quiet")
    stack.connect("ann", "ann")
    assert stack.deadlines_queue.sent == [("quiet", 10), ("ann", 10)]
    for connection_id in ("ann", "quiet", "quiet"):
        stack.deadlines.check(connection_id)
    assert [frame["code"] for frame in stack.events("quiet")] == [3503]
    assert stack.transport.closed == ["quiet"]
    assert stack.metrics.values["NotAuthenticatedInTime"] == [1]


def test_expired_tokens_end_requests(stack: MemoryStack) -> None:
    stack.connect("c")
    now_s = stack.clock.now_ms // 1000
    claims = {"sub": "ann", "exp": now_s + 60, "caps": {"*": ["publish", "subscribe"]}}
    reply = stack.ask("c", {"type": "hello", "protocol": 1, "token": jwt.encode(claims, SECRET)})
    assert "result" in reply
    stack.ask("c", {"type": "subscribe", "channel": ROOM})
    stack.clock.pass_s(61)
    assert error_of(publish(stack, "c", "late")) == (1004, "unauthenticated")
    assert stack.connections.subscribers(ROOM).connection_ids == []


DEEP = '{"type":"publish","id":1,"channel":"room:a","name":"n","data":' + "[" * 10_000 + "]" * 10_000 + "}"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("no json", 1000),
        ("", 1000),
        ("5", 1000),
        ("null", 1000),
        ("[]", 1000),
        (json.dumps([{"type": "ping"}] * 101), 1000),
        ('{"id": 1}', 1000),
        ('{"type": 7, "id": 1}', 1000),
        (DEEP, 1000),
        ('{"type": "publish", "id": 1, "channel": "room:a", "name": "n", "data": NaN}', 1000),
        ('{"type": "publish", "id": 1, "channel": "room:a", "name": "n", "data": 1e999}', 1000),
        ('{"type": "publish", "id": 1, "channel": "room:a", "name": "n", "data": "\\ud800"}', 1000),
        (b"\xff\xfe{}", 1000),
        ('{"type": "nonsense", "id": 1}', 1001),
        ('{"type": "$disconnect", "id": 1}', 1001),
        ('{"type": "$connect", "id": 1}', 1001),
        ('{"type": "publish", "id": 1}', 1002),
        ('{"type": "publish", "id": 1, "channel": "room:a", "name": 5, "data": 1}', 1002),
        ('{"type": "subscribe", "id": 1, "channel": "room"}', 1002),
        ('{"type": "subscribe", "id": 1, "channel": "room:a b"}', 1002),
        ('{"type": "subscribe", "id": 1, "channel": "room:a\\n"}', 1002),
        ('{"type": "subscribe", "id": 1, "channel": "room:ä"}', 1002),
        (json.dumps({"type": "subscribe", "id": 1, "channel": "room:" + "a" * 196}), 1002),
        ('{"type": "subscribe", "id": true, "channel": "room:a"}', 1002),
        ('{"type": "history", "id": 1, "channel": "room:a", "limit": 301}', 1002),
        ('{"type": "history", "id": 1, "channel": "room:a", "since": {"epoch": "e", "offset": -1}}', 1002),
        (json.dumps({"type": "publish", "id": 1, "channel": "room:a", "name": "n", "data": "x" * 24_000}), 1003),
        (json.dumps({"type": "ping", "pad": "x" * 32_000}), 1003),
    ],
)
def test_bad_frames_get_their_error_and_write_nothing(stack: MemoryStack, body: str | bytes, code: int) -> None:
    stack.connect("c", "ann")
    streams = dict(stack.store.streams)
    subscribers = {channel: dict(ids) for channel, ids in stack.connections.channels.items()}
    (reply,) = raw(stack, body)
    assert reply["error"]["code"] == code
    assert reply["error"]["retryable"] is False
    assert (stack.lanes.sent, stack.bus.broadcasts, stack.failures) == ([], [], [])
    assert stack.store.streams == streams
    assert {channel: dict(ids) for channel, ids in stack.connections.channels.items()} == subscribers
    assert raw(stack, '{"type": "ping", "id": 1}') == [{"type": "pong", "id": 1}]


@pytest.mark.parametrize("name", bad_tokens())
def test_bad_tokens_are_refused(stack: MemoryStack, name: str) -> None:
    stack.connect("c")
    token = bad_tokens()[name]
    reply = stack.ask("c", {"type": "hello", "protocol": 1, "token": token})
    assert error_of(reply) in ((1004, "unauthenticated"), (1002, "invalid_field"))
    assert token == "" or token not in json.dumps(reply)
    connection = stack.connections.get("c")
    assert connection is not None
    assert connection.principal is None
    assert stack.failures == []


def test_capabilities_go_by_channel(stack: MemoryStack) -> None:
    stack.connect("c", "ann", caps={"room:*": ["subscribe"], "news:today": ["subscribe", "history"]})
    assert "result" in stack.ask("c", {"type": "subscribe", "channel": "room:x"})
    assert "result" in stack.ask("c", {"type": "subscribe", "channel": "news:today"})
    for frame in (
        {"type": "subscribe", "channel": "news:today2"},
        {"type": "subscribe", "channel": "rooms:x"},
        {"type": "subscribe", "channel": "room:x", "history": 5},
        {"type": "history", "channel": "room:x"},
        {"type": "publish", "channel": "room:x", "name": "n", "data": 1},
        {"type": "sync", "positions": {"news:else": {"epoch": "e", "offset": 0}}},
    ):
        assert error_of(stack.ask("c", frame)) == (1005, "forbidden")


def test_subscriptions_are_counted(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    for index in range(128):
        assert "result" in stack.ask("c", {"type": "subscribe", "channel": f"room:{index}"})
    assert error_of(stack.ask("c", {"type": "subscribe", "channel": "room:more"})) == (1010, "limit_reached")
    assert "result" in stack.ask("c", {"type": "subscribe", "channel": "room:0"})
    stack.ask("c", {"type": "unsubscribe", "channel": "room:0"})
    assert "result" in stack.ask("c", {"type": "subscribe", "channel": "room:more"})


def test_another_protocol_is_refused(stack: MemoryStack) -> None:
    stack.connect("c")
    reply = stack.ask("c", {"type": "hello", "protocol": 2, "token": stack.token("ann")})
    assert error_of(reply) == (1012, "unsupported_protocol")
    assert reply["error"]["details"] == {"supported": [1]}


def test_failures_are_told_as_internal_and_no_more(stack: MemoryStack) -> None:
    stack.connect("c", "ann")

    def broken(*_: object, **__: object) -> set[int]:
        raise RuntimeError("a secret detail")

    stack.lanes.send = broken  # type: ignore[method-assign]  # a fault that no port knows
    reply = publish(stack, "c", "x")
    assert reply["error"] == {"code": 2000, "name": "internal", "message": "internal", "retryable": True}
    assert len(stack.failures) == 1


def test_what_is_refused_as_a_whole_counts_as_so_many_requests(stack: MemoryStack) -> None:
    """Else more would be answered with an error than were asked."""
    raw(stack, json.dumps([{"type": "sync", "id": number, "positions": {}} for number in range(3)]), "nobody")
    counted = [sum(stack.metrics.values[name]) for name in ("Requests", "RequestErrors")]
    assert counted == [3, 3]


def test_a_hello_s_subscriptions_are_counted_with_those_that_were_there(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    for index in range(126):
        stack.ask("c", {"type": "subscribe", "channel": f"room:{index}"})
    wanted = ["room:0", "room:a", "room:b", "room:c", "room:c", "room:a"]
    hello = {"type": "hello", "protocol": 1, "token": stack.token("ann")}
    results = stack.ask("c", hello | {"subscribe": [{"channel": channel} for channel in wanted]})["result"]
    refused = ["error" in result for result in results["subscriptions"]]
    assert refused == [False, False, False, True, True, False]


def test_a_hello_that_says_a_channel_twice_is_seen_there_as_it_says_last(stack: MemoryStack) -> None:
    stack.connect("c")
    twice = [{"channel": "room:a", "presence": True}, {"channel": "room:a"}]
    hello = {"type": "hello", "protocol": 1, "token": stack.token("ann")}
    stack.ask("c", hello | {"subscribe": twice})
    assert stack.presence_store.attendees("room:a").members == {}


def test_hello_tells_of_each_subscription_that_failed(stack: MemoryStack) -> None:
    stack.connect("c")
    hello = {
        "type": "hello",
        "protocol": 1,
        "token": stack.token("ann", {"room:*": ["subscribe"]}),
        "subscribe": [{"channel": "room:a"}, {"channel": "secret:a"}],
    }
    good, bad = stack.ask("c", hello)["result"]["subscriptions"]
    assert good["recovered"] is False
    assert (bad["channel"], bad["error"]["code"]) == ("secret:a", 1005)


def test_a_hello_with_everything_fits_one_frame(stack: MemoryStack) -> None:
    stack.connect("w", "ann")
    channels = [f"room:{n}".ljust(200, "x") for n in range(50)]
    for channel in channels[:3]:
        for _ in range(2):
            stack.ask("w", {"type": "publish", "channel": channel, "name": "n", "data": "x" * 12_000})
    stack.drain()
    stack.connect("c")
    hello = {
        "type": "hello",
        "protocol": 1,
        "token": stack.token("ann"),
        "subscribe": [{"channel": channel, "history": 5} for channel in channels],
    }
    reply = stack.ask("c", hello)
    assert len(json.dumps(reply, separators=(",", ":"))) <= 32_000


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(
    ["id", "channel", "name", "data", "since", "limit", "token", "protocol", "positions", "message_id", "subscribe"]
)
types = st.sampled_from(
    [
        *("hello", "subscribe", "unsubscribe", "publish", "history", "sync", "ping", "ack", "$default"),
        *("presence.get", "presence.update", "typing"),
    ]
)
frames = st.builds(
    lambda kind, rest: {**rest, "type": kind}, types | json_values, st.dictionaries(fields | st.text(), json_values)
)


@given(frame=frames | json_values)
def test_no_frame_raises_or_goes_unanswered(frame: Any) -> None:
    stack = MemoryStack()
    stack.connect("c", "ann")
    replies = raw(stack, json.dumps(frame))
    silent = isinstance(frame, dict) and frame.get("type") == "typing" and frame.get("id") is None
    expected = len(frame) if isinstance(frame, list) and 0 < len(frame) <= 100 else 1
    assert len(replies) == (0 if silent else expected)
    assert stack.failures == []
    assert all(reply["type"] in ("reply", "pong") for reply in replies)


@given(body=st.binary(max_size=200) | st.text(max_size=200))
def test_no_bytes_raise_or_go_unanswered(body: str | bytes) -> None:
    stack = MemoryStack()
    stack.connect("c", "ann")
    assert raw(stack, body)
    assert stack.failures == []
