"""Positioned subscribers: told in order, each publication once, or not at all until they have recovered."""

from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from shared.domain.telling import ALIVE_S, Positioned, Turn
from shared.errors import ThrottledError
from shared.ports import Broadcast
from shared.services.append import Submission
from shared.services.fan_out import MAX_ATTEMPTS, FanOut
from tests.unit.centrifugo.client import Client, in_seconds, token
from tests.unit.centrifugo.test_server_api import call
from tests.unit.stack import MemoryStack, publication

CHANNELS = """
[namespaces.exact]
force_positioning = true
subscribers_may = ["publish", "history"]

[namespaces.wide]
subscribers_may = ["publish", "history"]
"""
ROOM = "exact:room"
NUMBERS = count()


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(CHANNELS)


@pytest.fixture
def ann(stack: MemoryStack) -> Client:
    client = Client(stack, "a=")
    client.connect("ann")
    assert client.subscribe(ROOM, "ann")["offset"] == 0
    return client


@pytest.fixture
def bob(stack: MemoryStack) -> Client:
    client = Client(stack, "b=")
    client.connect("bob")
    client.subscribe("wide:any", "bob")
    return client


def stored(stack: MemoryStack, *data: Any, channel: str = ROOM) -> list[Broadcast]:
    """Append each by itself; return the events of it, which nobody has delivered."""
    broadcasts = []
    for one in data:
        made = replace(publication(f"m-{next(NUMBERS)}"), data=one)
        appended = stack.append.execute(channel, [Submission(made)])
        broadcasts.append(Broadcast(channel, [e.to_event(channel, appended.epoch) for e in appended.ordered]))
    return broadcasts


def offsets(client: Client) -> list[int]:
    return [push["pub"]["offset"] for push in client.pushes() if "pub" in push]


def failing(stack: MemoryStack, websocket_id: str) -> FanOut:
    """Return a fan-out whose pushes to this one are refused."""
    transport = replace(stack.transport, failures={websocket_id: ThrottledError()})
    return replace(stack.fan_out, transport=replace(stack.sinks, websockets=transport))


def test_what_is_told_late_brings_what_came_before_and_is_told_once(stack: MemoryStack, ann: Client) -> None:
    first, second, third = stored(stack, 1, 2, 3)
    stack.fan_out.deliver(second)
    assert offsets(ann) == [1, 2, 3]  # from the log, to its end
    for one in (first, third, second):
        stack.fan_out.deliver(one)
    assert offsets(ann) == []


def test_where_nothing_is_missing_the_log_is_not_read(stack: MemoryStack, ann: Client, monkeypatch: Any) -> None:
    (first,) = stored(stack, 1)
    stack.fan_out.deliver(first)
    monkeypatch.setattr(type(stack.history), "read", lambda *_a, **_k: pytest.fail("read"))
    (second,) = stored(stack, 2)
    stack.fan_out.deliver(second)
    assert offsets(ann) == [1, 2]


def test_others_of_the_channel_are_told_as_it_comes_and_take_no_turn(stack: MemoryStack, bob: Client) -> None:
    stack.connect("ours", "cho")
    assert "result" in stack.ask("ours", {"type": "subscribe", "channel": ROOM})
    first, second = stored(stack, 1, 2)
    for one in (second, first, second):
        stack.fan_out.deliver(one)
    assert [frame["offset"] for frame in stack.events("ours") if frame["type"] == "event"] == [2, 1, 2]
    wide = stored(stack, 1, channel="wide:any")
    stack.fan_out.deliver(wide[0])
    assert len(offsets(bob)) == 1
    assert stack.telling.told == {}


def test_who_subscribes_later_is_told_what_is_behind_its_position(stack: MemoryStack, ann: Client) -> None:
    first, second, third = stored(stack, 1, 2, 3)
    stack.fan_out.deliver(first)
    late = Client(stack, "l=")
    late.connect("late")
    assert late.subscribe(ROOM, "late")["offset"] == 3
    stack.fan_out.deliver(second)
    (fourth,) = stored(stack, 4)
    stack.fan_out.deliver(third)
    stack.fan_out.deliver(fourth)
    assert (offsets(ann), offsets(late)) == ([1, 2, 3, 4], [4])


def test_what_is_published_while_it_is_being_subscribed_comes_behind_the_answer_once(
    stack: MemoryStack, monkeypatch: Any
) -> None:
    ann = Client(stack, "a=")
    ann.connect("ann")
    stored(stack, 1)
    push_all = type(stack.sinks).push_all

    def published_meanwhile(self: Any, ids: Any, messages: Any, gate: Any = None) -> Any:
        if gate is None and b'"subscribe"' in messages[0]:
            (second,) = stored(stack, 2)
            stack.fan_out.deliver(second)  # nobody has told the client yet that it is subscribed
        return push_all(self, ids, messages, gate)

    monkeypatch.setattr(type(stack.sinks), "push_all", published_meanwhile)
    wanted = {"channel": ROOM, "token": token("ann", channel=ROOM)}
    reply, *behind = ann.send({"id": 7, "subscribe": wanted})
    monkeypatch.undo()
    assert (reply["subscribe"]["offset"], [line["push"]["pub"]["offset"] for line in behind]) == (1, [2])
    (third,) = stored(stack, 3)
    stack.fan_out.deliver(third)
    assert offsets(ann) == [3]


def test_the_hole_is_told_and_nothing_hides_it(stack: MemoryStack, ann: Client) -> None:
    (first,) = stored(stack, 1)
    stack.fan_out.deliver(first)
    (second,) = stored(stack, 2)
    failing(stack, "a=").deliver(second)
    (third,) = stored(stack, 3)
    stack.fan_out.deliver(third)
    assert offsets(ann) == [1]
    while stack.deliveries.sent:
        stack.fan_out.resume(stack.deliveries.sent.pop()[0])
    assert [push["unsubscribe"]["code"] for push in ann.pushes()] == [2500]
    answer = ann.subscribe(ROOM, "ann", recover=True, offset=1, epoch=stack.streams.end(ROOM).stream.epoch)
    assert answer.get("was_recovering")


def test_who_can_not_even_be_told_that_is_closed(stack: MemoryStack, ann: Client) -> None:
    (first,) = stored(stack, 1)
    fan_out = failing(stack, "a=")
    fan_out.deliver(first)
    for _ in range(MAX_ATTEMPTS):
        if not stack.deliveries.sent:
            break
        delivery, _ = stack.deliveries.sent.pop()
        if delivery.attempt == MAX_ATTEMPTS - 1:
            fan_out = replace(fan_out, transport=_Refusing(stack.sinks))
        fan_out.resume(delivery)
    assert stack.transport.closed == ["a="]


class _Refusing:
    """Takes no push, and closes."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.last_active_ms, self.close = transport.last_active_ms, transport.close

    def push_all(self, connection_ids: Any, messages: Any, gate: Any = None) -> list[Exception]:
        return [ThrottledError() for _ in connection_ids]


def test_one_at_a_time_tells_and_the_others_wait_or_find_it_done(stack: MemoryStack, ann: Client) -> None:
    first, second = stored(stack, 1, 2)
    assert stack.telling.take(ROOM, 0, holder="somebody", until_ms=stack.clock() + 60_000) == Turn(True, None)
    stack.fan_out.deliver(first)
    assert offsets(ann) == []
    assert len(stack.slept_s) == 6
    ((again, delay_s),) = stack.deliveries.sent
    assert (again.positioned, again.connection_ids, delay_s) == (True, None, 3)
    stack.clock.pass_s(61)  # whoever had the turn has died
    stack.fan_out.deliver(second)
    assert offsets(ann) == [1, 2]
    stack.telling.take(ROOM, 0, holder="somebody", until_ms=stack.clock() + 60_000)
    stack.slept_s.clear()
    stack.fan_out.resume(again)
    assert (offsets(ann), stack.slept_s) == ([], [])


def test_who_waits_outlasts_the_turn_of_who_has_died(stack: MemoryStack, ann: Client) -> None:
    _, second = stored(stack, 1, 2)
    stack.telling.take(ROOM, 0, holder="dead", until_ms=stack.clock() + ALIVE_S * 1000)
    stack.fan_out.deliver(second)
    while stack.deliveries.sent:
        ((again, delay_s),) = stack.deliveries.sent
        stack.deliveries.sent.clear()
        stack.clock.pass_s(delay_s)
        stack.fan_out.resume(again)
    assert offsets(ann) == [1, 2]


def test_whoever_fails_ends_its_turn(stack: MemoryStack, ann: Client, monkeypatch: Any) -> None:
    (first,) = stored(stack, 1)
    monkeypatch.setattr(type(stack.telling), "positioned", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stack.fan_out.deliver(first)
    monkeypatch.undo()
    stack.fan_out.deliver(first)
    assert offsets(ann) == [1]


def test_the_others_are_not_told_again_where_it_can_not_be_noted_of_one_that_it_was(
    stack: MemoryStack, ann: Client, monkeypatch: Any
) -> None:
    ben = Client(stack, "ben=")
    ben.connect("ben")
    ben.subscribe(ROOM, "ben")
    mark_told = type(stack.telling).mark_told

    def failing_for_ann(self: Any, channel: str, shard: int, one: Positioned) -> None:
        if one.connection_id == ann.name:
            raise ThrottledError
        mark_told(self, channel, shard, one)

    monkeypatch.setattr(type(stack.telling), "mark_told", failing_for_ann)
    first, second = stored(stack, 1, 2)
    stack.fan_out.deliver(first)
    monkeypatch.undo()
    assert [type(error) for error in stack.failures] == [ThrottledError]
    stack.fan_out.deliver(second)
    assert offsets(ben) == [1, 2]
    assert offsets(ann) == [1, 1, 2], "what nobody knows that it was told it is told again"
    (third,) = stored(stack, 3)
    stack.fan_out.deliver(third)
    assert (offsets(ann), offsets(ben)) == ([3], [3])


def test_who_can_not_be_taken_out_is_the_whole_turns_failure(stack: MemoryStack, ann: Client, monkeypatch: Any) -> None:
    (first,) = stored(stack, 1)
    monkeypatch.setattr(type(stack.telling), "stop", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        failing(stack, "a=").deliver(first)
    assert stack.telling.told == {}, "a later publication would hide the hole"


def test_who_is_too_far_behind_or_of_another_stream_is_to_recover(stack: MemoryStack, ann: Client) -> None:
    events = stored(stack, *range(302))
    stack.fan_out.deliver(events[-1])
    assert [push["unsubscribe"]["code"] for push in ann.pushes()] == [2500]
    assert ann.name not in stack.connections.subscribers(ROOM).connection_ids
    ann.subscribe(ROOM, "ann")
    other = replace(events[-1], frames=[dict(events[-1].frames[0]) | {"epoch": "another"}])
    stack.fan_out.deliver(other)
    assert [push["unsubscribe"]["code"] for push in ann.pushes()] == [2500]


def test_what_the_log_does_not_have_any_more_can_not_be_told(stack: MemoryStack, ann: Client) -> None:
    _, second = stored(stack, 1, 2)
    stack.store.segments.clear()
    stack.fan_out.deliver(second)
    assert [push["unsubscribe"]["code"] for push in ann.pushes()] == [2500]


def test_a_subscription_goes_on_where_it_is_when_its_token_is_refreshed(stack: MemoryStack, ann: Client) -> None:
    until = token("ann", channel=ROOM, exp=in_seconds(10_000_000))
    assert ann.ask("sub_refresh", channel=ROOM, token=until)["expires"]
    first, second = stored(stack, 1, 2)
    stack.fan_out.deliver(second)
    stack.fan_out.deliver(first)
    assert offsets(ann) == [1, 2]


def test_who_was_taken_out_stays_out_when_its_token_is_refreshed(stack: MemoryStack, ann: Client) -> None:
    (first,) = stored(stack, 1)
    failing(stack, "a=").deliver(first)
    ann.ask("sub_refresh", channel=ROOM, token=token("ann", channel=ROOM))
    (second,) = stored(stack, 2)
    stack.fan_out.deliver(second)
    assert offsets(ann) == [], "it would hide from the client that it lacks one"


def test_who_was_never_started_is_to_begin_anew(stack: MemoryStack, monkeypatch: Any) -> None:
    monkeypatch.setattr(type(stack.telling), "start", lambda *_: False)  # the function has died behind its answer
    ann = Client(stack, "a=")
    ann.connect("ann")
    assert ann.subscribe(ROOM, "ann")["offset"] == 0
    monkeypatch.undo()
    stack.clock.pass_s(65)
    first, second = stored(stack, 1, 2)
    stack.fan_out.deliver(first)
    assert ann.pushes() == [], "it may be started yet"
    stack.clock.pass_s(1)
    stack.fan_out.deliver(second)
    assert [push["unsubscribe"]["code"] for push in ann.pushes()] == [2500]
    assert ann.name not in stack.connections.subscribers(ROOM).connection_ids


def test_what_the_server_has_subscribed_is_told_as_it_comes(stack: MemoryStack) -> None:
    client = Client(stack, "s=")
    client.connect("sue", channels=[ROOM])
    first, second = stored(stack, 1, 2)
    stack.fan_out.deliver(second)
    stack.fan_out.deliver(first)
    assert offsets(client) == [2, 1]


def test_what_a_client_has_subscribed_stays_as_it_is_when_a_server_subscribes_it_too(stack: MemoryStack) -> None:
    ann = Client(stack, "a=")
    ann.connect("ann")
    since = ann.subscribe(ROOM, "ann", delta="fossil")
    first, second, third = stored(stack, 1, 2, 3)
    stack.fan_out.deliver(first)
    told = {"offset": since["offset"], "epoch": since["epoch"]}
    assert call(stack, "subscribe", user="ann", channel=ROOM, recover_since=told) == {"result": {}}
    stack.fan_out.deliver(third)
    stack.fan_out.deliver(second)
    pushed = ann.pushes()
    assert [push["subscribe"]["offset"] for push in pushed if "subscribe" in push] == [3]
    assert [(push["pub"]["offset"], push["pub"]["data"]) for push in pushed if "pub" in push] == [
        (1, "1"),
        (2, "2"),
        (3, "3"),
    ]
    (fourth,) = stored(stack, 4)
    failing(stack, "a=").deliver(fourth)
    call(stack, "subscribe", user="ann", channel=ROOM)
    assert ann.name not in stack.connections.subscribers(ROOM).connection_ids, "it is to recover"


def test_who_can_not_be_answered_is_to_come_back(stack: MemoryStack) -> None:
    ann = Client(stack, "a=")
    ann.connect("ann")
    stack.transport.failures = {"a=": ThrottledError()}
    assert ann.subscribe(ROOM, "ann") == {}
    assert stack.connections.get(ann.name) is None
    assert [type(error) for error in stack.failures] == [ThrottledError] * 2  # nor can it be closed


def test_who_has_gone_meanwhile_is_no_failure(stack: MemoryStack) -> None:
    ann = Client(stack, "a=")
    ann.connect("ann")
    del stack.transport.inboxes["a="]
    wanted = {"channel": ROOM, "token": token("ann", channel=ROOM)}
    assert "subscribe" in ann.send({"id": 7, "subscribe": wanted})[0]
    assert stack.failures == []
