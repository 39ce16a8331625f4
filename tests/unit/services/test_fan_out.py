"""Fan-out: nobody's failure stops the others, what is left is tried again, large channels are shared out."""

from dataclasses import replace
from typing import Any

import pytest

from shared.adapters.memory import MemoryConnectionStore, MemoryTransport
from shared.domain.connection import Connection, Interests
from shared.errors import ConnectionGoneError, ThrottledError, UnavailableError
from shared.ports import Broadcast, Delivery
from shared.services.fan_out import MAX_ATTEMPTS, SHARD_MAX_SUBSCRIBERS, FanOut
from tests.unit.stack import MemoryStack, connection, events_of

EVENT = {
    "type": "event",
    "channel": "room:a",
    "name": "n",
    "data": 1,
    "published_at_ms": 1_800_000_000_000,
    "epoch": "e",
    "offset": 7,
}
EPHEMERAL = {"type": "event", "channel": "room:a", "name": "n", "data": 1, "ephemeral": True, "published_at_ms": 1}
RECEIPT = {"type": "receipt", "channel": "room:a", "message_id": "m", "status": "stored"}


def subscribed(*connection_ids: str) -> MemoryStack:
    stack = MemoryStack()
    for connection_id in connection_ids:
        stack.connections.open(connection(connection_id))
        stack.connections.subscribe(connection(connection_id), events_of("room:a"), expires_at_s=1_900_000_000)
        stack.transport.inboxes[connection_id] = []
    return stack


def broadcast(*frames: dict[str, Any]) -> Broadcast:
    return Broadcast("room:a", frames or [EVENT])


def failing(stack: MemoryStack, **failures: Exception) -> FanOut:
    return replace(stack.fan_out, transport=MemoryTransport(stack.transport.inboxes, failures))


def test_who_has_gone_is_taken_out_and_the_others_are_served() -> None:
    stack = subscribed("a", "b", "c")
    del stack.transport.inboxes["b"]
    assert stack.fan_out.deliver(broadcast()) == 2
    assert stack.connections.subscribers("room:a").connection_ids == ["a", "c"]
    assert stack.connections.get("b") is None
    assert stack.deliveries.sent == []


def test_only_those_that_are_left_are_tried_again_and_not_for_ever() -> None:
    stack = subscribed("a", "b")
    fan_out = failing(stack, b=UnavailableError())
    fan_out.deliver(broadcast())
    delays = []
    while stack.deliveries.sent:
        delivery, delay_s = stack.deliveries.sent.pop()
        assert delivery.connection_ids == ["b"]
        delays.append(delay_s)
        fan_out.resume(delivery)
    assert delays == [2, 4, 8, 16, 32]
    assert len(delays) == MAX_ATTEMPTS - 1
    assert stack.metrics.values["DeliveriesGivenUp"] == [1]


def test_an_error_that_nobody_expects_is_one_connections_and_told_once() -> None:
    stack = subscribed("a", "b", "c", "d")
    fan_out = failing(stack, a=ValueError(), b=UnavailableError(), c=ValueError())
    assert fan_out.deliver(broadcast()) == 1
    ((delivery, _),) = stack.deliveries.sent
    assert delivery.connection_ids == ["a", "b", "c"]
    assert [type(error) for error in stack.failures] == [ValueError]
    assert stack.metrics.values["DeliveriesDelayed"] == [3]


def test_who_has_gone_and_can_not_be_taken_out_keeps_nobody_from_being_tried_again() -> None:
    class Busy(MemoryConnectionStore):
        def close(self, connection_id: str, *, found_in: str | None = None) -> Connection | None:
            assert found_in == "room:a"
            raise UnavailableError

    stack = subscribed("a", "b", "c")
    del stack.transport.inboxes["a"]
    fan_out = failing(stack, b=UnavailableError())
    store = Busy(stack.clock)
    store.channels = stack.connections.channels
    attendance = replace(stack.attendance, connections=store)
    assert replace(fan_out, connections=store, attendance=attendance).deliver(broadcast()) == 1
    ((delivery, _),) = stack.deliveries.sent
    assert delivery.connection_ids == ["b"]
    assert [type(error) for error in stack.failures] == [UnavailableError]


def test_who_does_not_keep_up_is_told_where_the_stream_is_instead() -> None:
    stack = subscribed("slow")
    failing(stack, slow=ThrottledError()).deliver(broadcast(EVENT, EVENT | {"offset": 8}, RECEIPT))
    (first, _) = stack.deliveries.sent.pop()
    assert [frame["type"] for frame in first.frames] == ["event", "event", "receipt"]
    failing(stack, slow=ThrottledError()).resume(first)
    (second, _) = stack.deliveries.sent.pop()
    stack.fan_out.resume(second)
    assert stack.events("slow") == [
        {"type": "system", "event": "lagged", "channel": "room:a", "position": {"epoch": "e", "offset": 8}},
        RECEIPT,
    ]


def test_what_is_ephemeral_is_not_tried_again() -> None:
    stack = subscribed("a")
    failing(stack, a=UnavailableError()).deliver(broadcast(EPHEMERAL))
    assert stack.deliveries.sent == []
    assert stack.metrics.values["EphemeralShed"] == [1]


def test_events_of_one_segment_are_one_message() -> None:
    stack = subscribed("a")
    stack.fan_out.deliver(broadcast(*[EVENT] * 10))
    assert len(stack.transport.inboxes["a"]) == 1
    assert len(stack.events("a")) == 10


def test_messages_stay_under_the_frame_limit() -> None:
    stack = subscribed("a")
    stack.fan_out.deliver(broadcast(*[EVENT | {"data": "x" * 20_000}] * 3))
    assert [len(message) <= 32_000 for message in stack.transport.inboxes["a"]] == [True] * 3


def test_a_push_for_one_connection_goes_to_no_other() -> None:
    stack = subscribed("a", "b")
    stack.fan_out.deliver(replace(broadcast(EPHEMERAL), connection_id="b"))
    assert (stack.events("a"), stack.events("b")) == ([], [EPHEMERAL])


def test_large_channels_are_left_to_the_fan_out_function() -> None:
    stack = subscribed(*(f"c{n}" for n in range(4)))
    assert stack.fan_out.deliver_to_few(broadcast(), at_most=3) is False
    assert stack.events("c0") == []
    assert stack.fan_out.deliver_to_few(broadcast(), at_most=4) is True


def test_shards_are_tasks_for_others() -> None:
    everybody = [f"c{n}" for n in range(40)]
    stack = subscribed(*everybody)
    stack.connections.grow("room:a", 4)
    assert stack.fan_out.deliver_to_few(broadcast(), at_most=100) is False
    here = stack.fan_out.deliver(broadcast())
    tasks = [delivery for delivery, delay_s in stack.deliveries.sent if delay_s == 0]
    assert [(task.shard, task.connection_ids) for task in tasks] == [(1, None), (2, None), (3, None)]
    assert here + sum(map(stack.fan_out.resume, tasks)) == len(everybody)
    assert all(len(stack.events(connection_id)) == 1 for connection_id in everybody)


def test_a_shard_that_is_too_large_makes_more_of_them() -> None:
    stack = MemoryStack()
    for n in range(4 * SHARD_MAX_SUBSCRIBERS):
        stack.connections.subscribe(connection(f"c{n}"), events_of("room:a"), expires_at_s=1_900_000_000)
        stack.transport.inboxes[f"c{n}"] = []
    stack.fan_out.deliver(broadcast())
    assert stack.connections.subscribers("room:a").count == 2
    stack.fan_out.resume(Delivery("room:a", [EVENT], None, 0, shard=1))
    assert stack.connections.subscribers("room:a").count == 4


class Failing(MemoryTransport):
    """Does not answer, and counts who asks."""

    asked = 0
    error: Exception | None = UnavailableError()

    def push(self, connection_id: str, message: bytes) -> None:
        self.asked += 1
        if self.error:
            raise self.error


def test_a_transport_that_fails_is_left_alone_and_tried_again_later() -> None:
    stack = subscribed(*(f"c{n:02}" for n in range(50)))
    transport = Failing()
    fan_out = replace(stack.fan_out, transport=transport)
    fan_out.deliver(broadcast())
    assert transport.asked == 20
    assert len(stack.deliveries.sent[0][0].connection_ids or ()) == 50
    fan_out.deliver(broadcast(EPHEMERAL))
    assert (transport.asked, stack.metrics.values["EphemeralShed"]) == (20, [1])
    stack.clock.pass_s(1)
    transport.error = None
    assert fan_out.deliver(broadcast()) == 50
    assert stack.breaker.state == "closed"


def test_a_process_that_has_only_ephemeral_events_finds_out_that_the_transport_works_again() -> None:
    stack = subscribed(*(f"c{n:02}" for n in range(50)))
    transport = Failing()
    fan_out = replace(stack.fan_out, transport=transport)
    fan_out.deliver(broadcast(EPHEMERAL))
    transport.error = None
    assert fan_out.deliver(broadcast(EPHEMERAL)) == 0
    stack.clock.pass_s(1)
    assert fan_out.deliver(broadcast(EPHEMERAL)) == 50


@pytest.mark.parametrize("error", [ThrottledError(), ConnectionGoneError()])
def test_one_connections_trouble_is_not_the_transports(error: Exception) -> None:
    stack = subscribed(*(f"c{n:02}" for n in range(50)))
    transport = Failing()
    transport.error = error
    replace(stack.fan_out, transport=transport).deliver(broadcast())
    assert (transport.asked, stack.breaker.state) == (50, "closed")


def test_only_who_wants_it_and_has_not_caused_it_is_told() -> None:
    stack = subscribed("a", "b", "c", "d")
    for connection_id in ("b", "c", "d"):
        wants: dict[str, Interests] = {"room:a": frozenset({"state"})}
        stack.connections.subscribe(connection(connection_id), wants, expires_at_s=1_900_000_000)
    stack.connections.grow("room:a", 2)
    frame = {"type": "state", "channel": "room:a"}
    stack.fan_out.deliver(Broadcast("room:a", [frame], interest="state", but="c"))
    for later, _ in stack.deliveries.sent:
        stack.fan_out.resume(later)
    assert [connection_id for connection_id in "abcd" if stack.events(connection_id)] == ["b", "d"]
