"""Conflation: the last of each name, and nothing lost by it that a receiver could miss."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.conflate import conflate
from tidewire.receiver import Deliver, Receiver

events = st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(["low", "high"])), max_size=20)


def log(shapes: list[tuple[str, str]]) -> list[dict[str, Any]]:
    tails: dict[str, int] = {}
    made = []
    for offset, (name, priority) in enumerate(shapes, 1):
        by = {"message_id": str(offset), "sender": {"user_id": "ann", "connection_id": None}, "published_at_ms": 0}
        event = {"channel": "c:a", "name": name, "data": None, "priority": priority, "epoch": "e", "offset": offset}
        made.append(event | {"prev_offset": tails.get(priority, 0)} | by)
        tails[priority] = offset
    return made


@given(events)
def test_a_receiver_of_conflated_events_misses_nothing(shapes: list[tuple[str, str]]) -> None:
    receiver = Receiver()
    receiver.open("c:a")
    start = {"channel": "c:a", "position": {"epoch": "e", "offset": 0}, "recovered": False, "publications": []}
    receiver.subscribed(start, 0)
    delivered = []
    for event in conflate(log(shapes)):
        delivered += [action.event for action in receiver.event(event, 0) if isinstance(action, Deliver)]
    position = receiver.since("c:a")
    assert position is not None
    assert position.offset == len(shapes)
    assert {e["name"]: e["offset"] for e in delivered} == {name: n for n, (name, _) in enumerate(shapes, 1)}


def test_what_stands_alone_is_left_as_it_is() -> None:
    alone = log([("x", "low"), ("y", "low"), ("x", "high")])
    assert conflate(alone) == alone
