"""The lanes' consumer: what failed goes back, with what comes behind it in the same channel."""

from typing import Any

import pytest

from functions.publish_worker.handler import lambda_handler
from shared.adapters.sqs import sqs_text
from shared.domain.segment import Segment
from shared.errors import UnavailableError
from tests.unit.conftest import Log
from tests.unit.functions.conftest import Context, lane_event
from tests.unit.stack import MemoryStack, publication

pytestmark = pytest.mark.usefixtures("services")


def record(record_id: str, channel: str, *, message_id: str | None = None, count: int = 1) -> dict[str, Any]:
    """Return what SqsLaneQueue sends, as Lambda is handed it."""
    body = {"channel": channel, "publication": publication(message_id or record_id).to_record()}
    return lane_event(record_id, sqs_text(body), count=count)


def work(*records: dict[str, Any], remaining_ms: int = 5_000) -> list[str]:
    """Return the ids that the answer hands back."""
    answer = lambda_handler({"Records": list(records)}, Context(remaining_ms))
    assert answer.keys() == {"batchItemFailures"}
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def fail_in(stack: MemoryStack, broken: str) -> None:
    append = stack.store.append

    def failing(channel: str, epoch: str, segment: Segment) -> None:
        if channel == broken:
            raise UnavailableError
        append(channel, epoch, segment)

    stack.store.append = failing  # type: ignore[method-assign]  # a fault in one channel


def test_what_went_well_is_in_the_stream_and_on_the_bus(stack: MemoryStack) -> None:
    assert work(record("r1", "room:a"), record("r2", "room:b"), record("r3", "room:a")) == []
    told = [(item.channel, [frame["offset"] for frame in item.frames]) for item in stack.bus.broadcasts]
    assert told == [("room:a", [1, 2]), ("room:b", [1])]


def test_only_the_channel_that_failed_goes_back(stack: MemoryStack, log: Log) -> None:
    fail_in(stack, "room:a")
    assert work(record("r1", "room:a"), record("r2", "room:b"), record("r3", "room:a")) == ["r1", "r3"]
    assert [item.channel for item in stack.bus.broadcasts] == ["room:b"]
    assert [(line["error"], line["namespace"]) for line in log.lines()] == [("UnavailableError", "room")]


def test_a_record_that_is_handed_out_again_is_stored_once(stack: MemoryStack) -> None:
    for count in (1, 2):
        assert work(record("r1", "room:a", message_id="m1", count=count)) == []
    assert [frame["offset"] for item in stack.bus.broadcasts for frame in item.frames] == [1, 1]


def test_a_record_that_nobody_can_read_goes_back_alone_and_is_buried_in_the_end(stack: MemoryStack) -> None:
    for count, goes_back in ((1, ["r2"]), (2, ["r2"]), (3, [])):
        assert work(lane_event("r2", "no json", count=count), record(f"m{count}", "room:a")) == goes_back
    assert [item.record_id for item in stack.records.buried] == ["r2"]
    assert [frame["offset"] for item in stack.bus.broadcasts for frame in item.frames] == [1, 2, 3]


def test_what_is_left_when_time_runs_out_goes_back(stack: MemoryStack) -> None:
    assert work(record("1", "room:a"), remaining_ms=2_000) == ["1"]
    assert stack.bus.broadcasts == []
