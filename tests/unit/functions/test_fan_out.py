"""Fan-out: events from the bus, and what is left of a delivery from its queue."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from functions.fan_out.handler import lambda_handler
from shared.domain.correlation import correlation_id
from shared.errors import UnavailableError
from shared.ports import Delivery
from tests.unit.conftest import Log
from tests.unit.functions.conftest import Context
from tests.unit.stack import MemoryStack

FRAME = {
    "type": "event",
    "channel": "room:a",
    "name": "n",
    "message_id": "m1",
    "sender": {"user_id": "ann", "connection_id": "c1"},
    "published_at_ms": 1_800_000_000_000,
    "epoch": "e",
    "offset": 1,
}
pytestmark = pytest.mark.usefixtures("services")


def from_bus(channel: str = "room:a") -> Any:
    detail = {"channel": channel, "frames": [FRAME]}
    event = {"id": "e1", "source": "tidewire", "detail-type": "tidewire.publications", "detail": detail}
    return lambda_handler(event, Context())


def record(record_id: str, connection_ids: list[str], **changes: Any) -> dict[str, Any]:
    body: Mapping[str, Any] = {"channel": "room:a", "frames": [FRAME], "connection_ids": connection_ids, "attempt": 1}
    attributes = {"ApproximateReceiveCount": "1"}
    source = "arn:aws:sqs:us-east-1:000000000000:deliveries"
    record = {"messageId": record_id, "body": json.dumps(body), "attributes": attributes, "eventSourceARN": source}
    return record | changes


@pytest.fixture
def room(stack: MemoryStack) -> MemoryStack:
    for connection_id in ("c1", "c2"):
        stack.connect(connection_id, connection_id)
        stack.ask(connection_id, {"type": "subscribe", "channel": "room:a"})
    return stack


def test_an_event_of_the_bus_goes_to_every_subscriber(room: MemoryStack) -> None:
    assert from_bus() is None
    assert [room.events(connection_id) for connection_id in ("c1", "c2")] == [[FRAME], [FRAME]]


def test_an_event_that_fails_as_a_whole_is_left_to_lambda_and_named(room: MemoryStack, log: Log) -> None:
    def broken(_channel: str, _shard: int = 0, *, at_most: int | None = None, **_: Any) -> Any:
        raise RuntimeError

    room.connections.subscribers = broken  # type: ignore[method-assign, assignment]  # a fault that no port knows
    with pytest.raises(RuntimeError):
        from_bus()
    assert [line["correlation_ids"] for line in log.lines()] == [[correlation_id("room:a", "ann", "m1")]]


def test_a_delivery_goes_only_to_those_who_are_left(room: MemoryStack) -> None:
    assert lambda_handler({"Records": [record("r1", ["c2"])]}, Context()) == {"batchItemFailures": []}
    assert (room.events("c1"), room.events("c2")) == ([], [FRAME])


def test_a_delivery_that_fails_goes_back_alone(room: MemoryStack, log: Log) -> None:
    def broken(deliveries: Sequence[Delivery], *, delay_s: int) -> None:
        raise RuntimeError("HUSH")

    room.transport.failures = {"c1": UnavailableError()}
    room.deliveries.send = broken  # type: ignore[method-assign]  # a fault that no port knows
    records = [record("r0", [], body="no json"), record("r1", ["c1"]), record("r2", ["c2"])]
    answer = lambda_handler({"Records": records}, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "r0"}, {"itemIdentifier": "r1"}]}
    assert room.events("c2") == [FRAME]
    assert [(line["error"], line["attempt"]) for line in log.lines()] == [
        ("JSONDecodeError", "1"),
        ("RuntimeError", "1"),
    ]
