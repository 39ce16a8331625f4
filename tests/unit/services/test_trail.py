"""The steps of a publication that are told, whichever way it goes and whatever becomes of it."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from shared.domain.correlation import correlation_id, noted
from shared.domain.publication import Publication
from shared.errors import UnavailableError
from shared.ports import Broadcast, Lane, LaneMessage
from shared.services.fan_out import MAX_ATTEMPTS
from tests.unit.stack import MemoryStack, lane_record

ROOM = "room:a"
M1 = correlation_id(ROOM, "ann", "m1")


@pytest.fixture
def stack() -> MemoryStack:
    stack = MemoryStack()
    stack.connect("c1", "ann")
    stack.connect("c2", "bob")
    stack.ask("c2", {"type": "subscribe", "channel": ROOM})
    return stack


def publish(stack: MemoryStack, message_id: str | None = "m1", **fields: Any) -> dict[str, Any]:
    named = {} if message_id is None else {"message_id": message_id}
    return stack.ask("c1", {"type": "publish", "channel": ROOM, "name": "said", "data": 1, **named, **fields})


def way(stack: MemoryStack, one: str = M1) -> list[tuple[str, dict[str, Any]]]:
    return [(name, facts) for name, ids, facts in stack.trail.steps if one in ids]


def names(stack: MemoryStack, one: str = M1) -> list[str]:
    return [name for name, _ in way(stack, one)]


PUSHED = {"delivered": 1, "gone": 0, "left": 0, "attempt": 0}


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        (
            {},
            [
                ("accepted", {"way": "normal"}),
                ("stored", {"way": "normal", "offset": 1, "repeats": 0}),
                ("pushed", PUSHED),
            ],
        ),
        ({"priority": "express"}, [("stored", {"way": "express", "offset": 1, "repeats": 0}), ("pushed", PUSHED)]),
        ({"ephemeral": True}, [("accepted", {"way": "ephemeral"}), ("pushed", PUSHED)]),
    ],
)
def test_each_way_has_its_steps(stack: MemoryStack, fields: dict[str, Any], steps: Any) -> None:
    publish(stack, **fields)
    stack.drain()
    assert way(stack) == steps


def test_what_is_sent_to_a_peer_has_them_as_well(stack: MemoryStack) -> None:
    message = {"type": "send", "name": "n", "data": 1, "message_id": "m1"}
    stack.ask("c1", {**message, "to": {"user_id": "bob"}})
    stack.ask("c1", {**message, "to": {"connection_id": "c2"}})
    stack.drain()
    one = correlation_id("user:bob", "ann", "m1")
    assert names(stack, one) == ["accepted", "accepted", "stored", "pushed", "pushed"]


def test_who_names_none_is_told_the_name_that_it_has(stack: MemoryStack) -> None:
    told = publish(stack, None)["result"]["message_id"]
    assert names(stack, correlation_id(ROOM, "ann", told)) == ["accepted"]


def test_those_that_go_together_share_a_line_and_a_repeat_has_the_same_id(stack: MemoryStack) -> None:
    publish(stack)
    publish(stack, "m2")
    publish(stack, retry=True)
    stack.drain()
    (ids,) = [ids for name, ids, _ in stack.trail.steps if name == "stored"]
    assert ids == [M1, correlation_id(ROOM, "ann", "m2"), M1]
    assert dict(way(stack))["stored"]["repeats"] == 1


def test_a_refusal_is_told_with_its_name(stack: MemoryStack) -> None:
    stack.connect("c3", "eve", {"*": ["subscribe"]})
    frame = {"type": "publish", "channel": ROOM, "name": "said", "data": 1, "message_id": "m1"}
    assert "error" in stack.ask("c3", frame)
    assert way(stack, correlation_id(ROOM, "eve", "m1")) == [("refused", {"error": "forbidden"})]


def test_a_lane_that_hands_one_back_refuses_that_one(stack: MemoryStack) -> None:
    class Lanes:
        def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
            return {1}

    object.__setattr__(stack.publishing, "lanes", Lanes())
    frames = [
        {"type": "publish", "id": n, "channel": ROOM, "name": "said", "data": 1, "message_id": f"m{n}"} for n in (1, 2)
    ]

    stack.dispatcher.handle("c1", json.dumps(frames), max_bytes=32_000, received_at_ms=stack.clock())
    assert names(stack) == ["accepted"]
    assert way(stack, correlation_id(ROOM, "ann", "m2")) == [("refused", {"error": UnavailableError.name})]


def test_nobody_there_is_told(stack: MemoryStack) -> None:
    stack.ask("c2", {"type": "unsubscribe", "channel": ROOM})
    publish(stack)
    stack.drain()
    assert way(stack)[-1] == ("not pushed", {"why": "nobody is there"})


def test_what_is_shed_is_told(stack: MemoryStack) -> None:
    while stack.breaker.state != "open":
        stack.breaker.record(failed=True)
    publish(stack, ephemeral=True)
    stack.drain()
    assert way(stack)[-1] == ("not pushed", {"why": "the breaker is open"})


def test_every_try_is_told_to_the_last_though_the_push_is_another_by_then(stack: MemoryStack) -> None:
    stack.transport.failures = {"c2": UnavailableError()}
    publish(stack)
    stack.drain()
    while stack.deliveries.sent:
        (delivery, _) = stack.deliveries.sent.pop()
        stack.fan_out.resume(delivery)
    pushed = [facts for name, facts in way(stack) if name == "pushed"]
    assert [facts["attempt"] for facts in pushed] == list(range(MAX_ATTEMPTS))
    assert {facts["left"] for facts in pushed} == {1}
    assert way(stack)[-1] == ("given up", {"connections": 1})


def test_a_burial_is_told(stack: MemoryStack) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError

    stack.store.append = broken  # type: ignore[method-assign, assignment]
    publication = Publication("m1", "said", 1, "ann", "c1", "normal", stack.clock())
    stack.worker.work([lane_record(publication, ROOM, tries=5)])
    assert way(stack) == [("buried", {"tries": 5})]
    assert [noted(error) for error in stack.failures] == [[M1], [M1]]


def test_faults_name_the_publications_of_their_segment_push_or_request(stack: MemoryStack) -> None:
    class Lanes:
        def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
            raise RuntimeError

    event = Publication("m1", "said", 1, "ann", "c1", "normal", 0).to_event(ROOM)
    stack.transport.failures = {"c2": RuntimeError()}
    stack.fan_out.deliver(Broadcast(ROOM, [event]))
    object.__setattr__(stack.publishing, "lanes", Lanes())
    assert publish(stack)["error"]["name"] == "internal"
    assert [noted(error) for error in stack.failures] == [[M1], [M1]]


def test_a_delivery_that_fails_as_a_whole_names_them(stack: MemoryStack) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError

    event = Publication("m1", "said", 1, "ann", "c1", "normal", 0).to_event(ROOM)
    stack.connections.subscribers = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError) as caught:
        stack.fan_out.deliver(Broadcast(ROOM, [event]))
    assert noted(caught.value) == [M1]
