"""Fan-out: nobody's failure stops the others, and what is left is tried again."""

from shared.adapters.memory import MemoryTransport
from shared.errors import UnavailableError
from shared.services.fan_out import MAX_ATTEMPTS
from tests.unit.stack import MemoryStack, connection

EVENT = {"type": "event", "channel": "room:a", "name": "n", "data": 1, "published_at_ms": 1_800_000_000_000}


def subscribed(*connection_ids: str) -> MemoryStack:
    stack = MemoryStack()
    for connection_id in connection_ids:
        stack.connections.open(connection(connection_id))
        stack.connections.subscribe(connection(connection_id), ["room:a"], expires_at_s=1_900_000_000)
        stack.transport.inboxes[connection_id] = []
    return stack


def test_who_has_gone_is_taken_out_and_the_others_are_served() -> None:
    stack = subscribed("a", "b", "c")
    del stack.transport.inboxes["b"]
    assert stack.fan_out.deliver("room:a", [EVENT]) == 2
    assert list(stack.connections.subscribers("room:a")) == ["a", "c"]
    assert stack.connections.get("b") is None
    assert stack.deliveries.sent == []


def test_only_those_that_are_left_are_tried_again_and_not_for_ever() -> None:
    stack = subscribed("a", "b")
    object.__setattr__(stack.fan_out, "transport", MemoryTransport({"a": []}, {"b": UnavailableError()}))
    stack.fan_out.deliver("room:a", [EVENT])
    delays = []
    while stack.deliveries.sent:
        delivery, delay_s = stack.deliveries.sent.pop()
        assert delivery.connection_ids == ["b"]
        delays.append(delay_s)
        stack.fan_out.resume(delivery)
    assert delays == [1, 2, 4, 8, 16]
    assert len(delays) == MAX_ATTEMPTS - 1
    assert stack.metrics.values["DeliveriesGivenUp"] == [1]


def test_events_of_one_segment_are_one_message() -> None:
    stack = subscribed("a")
    stack.fan_out.deliver("room:a", [EVENT] * 10)
    assert len(stack.transport.inboxes["a"]) == 1
    assert len(stack.events("a")) == 10


def test_messages_stay_under_the_frame_limit() -> None:
    stack = subscribed("a")
    stack.fan_out.deliver("room:a", [EVENT | {"data": "x" * 20_000}] * 3)
    assert [len(message) <= 32_000 for message in stack.transport.inboxes["a"]] == [True] * 3


def test_large_channels_are_left_to_the_fan_out_function() -> None:
    stack = subscribed(*(f"c{n}" for n in range(4)))
    assert stack.fan_out.deliver_to_few("room:a", [EVENT], at_most=3) is False
    assert stack.events("c0") == []
    assert stack.fan_out.deliver_to_few("room:a", [EVENT], at_most=4) is True
