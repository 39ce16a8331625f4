"""The worker: order within a channel, failures that stay in their channel, repeats that are told again."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from shared.adapters.memory import MemoryLaneRecords
from shared.domain.segment import Segment
from shared.errors import ContentionError, DependencyError, UnavailableError
from shared.ports import Broadcast, LaneRecord
from shared.services.receipts import Receipts
from tests.unit.stack import MemoryStack, lane_record, publication


def record(record_id: str, channel: str = "room:a", *, size: int = 1, tries: int = 1) -> LaneRecord:
    item = replace(publication(record_id), data="x" * size)
    return lane_record(item, channel, record_id=record_id, tries=tries)


def fail_for(stack: MemoryStack, fails: Callable[[str, Segment], bool], error: Exception) -> None:
    append = stack.store.append

    def failing(channel: str, epoch: str, segment: Segment) -> None:
        if fails(channel, segment):
            raise error
        append(channel, epoch, segment)

    stack.store.append = failing  # type: ignore[method-assign]  # a fault on purpose


def told(stack: MemoryStack) -> list[tuple[str, list[str]]]:
    return [(b.channel, [frame["message_id"] for frame in b.frames]) for b in stack.bus.broadcasts]


class DeadBus:
    def put(self, broadcasts: Sequence[Broadcast]) -> None:
        raise UnavailableError


class BrokenRecords(MemoryLaneRecords):
    def bury(self, record: LaneRecord) -> None:
        raise UnavailableError

    def postpone(self, records: Sequence[LaneRecord], *, delay_s: int) -> None:
        raise ValueError


def test_one_event_per_channel_and_batch() -> None:
    stack = MemoryStack()
    assert stack.worker.work([record("1"), record("2", "room:b"), record("3")]) == []
    assert told(stack) == [("room:a", ["1", "3"]), ("room:b", ["2"])]


def test_a_failure_keeps_its_channels_later_records_and_no_others() -> None:
    stack = MemoryStack()
    fail_for(stack, lambda channel, _: channel == "room:a", UnavailableError())
    assert stack.worker.work([record("1"), record("2", "room:b"), record("3", tries=3)]) == ["1", "3"]
    assert len(stack.failures) == 1
    assert [(r.record_id, delay_s) for r, delay_s in stack.records.postponed] == [("1", 4), ("3", 4)]


@pytest.mark.parametrize("error", [UnavailableError(), ContentionError(), DependencyError()])
def test_what_is_not_its_records_fault_buries_nothing_however_long(error: Exception) -> None:
    stack = MemoryStack()
    fail_for(stack, lambda *_: True, error)
    assert stack.worker.work([record("1", tries=99)]) == ["1"]
    assert stack.records.buried == []
    assert stack.records.postponed[0][1] == 15


def test_a_record_stored_by_a_worker_that_died_is_told_by_the_next() -> None:
    stack = MemoryStack()
    first = record("1")

    assert replace(stack.worker, bus=DeadBus()).work([first]) == ["1"]
    assert stack.worker.work([replace(first, tries=2, uncertain=True), record("2")]) == []
    frames = [frame for b in stack.bus.broadcasts for frame in b.frames]
    assert [(f["message_id"], f["offset"]) for f in frames] == [("1", 1), ("2", 2)]


def test_what_would_not_fit_one_event_becomes_several() -> None:
    stack = MemoryStack()
    assert stack.worker.work([record(str(n), size=24_000) for n in range(10)]) == []
    assert [len(b.frames) for b in stack.bus.broadcasts] == [8, 2]
    assert [f["offset"] for b in stack.bus.broadcasts for f in b.frames] == list(range(1, 11))


def test_what_can_not_be_read_is_buried_and_nothing_waits_for_it() -> None:
    stack = MemoryStack()
    poison = lane_record(None, "", record_id="poison")
    assert stack.worker.work([poison, record("1")]) == ["poison"]
    assert told(stack) == [("room:a", ["1"])]
    assert stack.worker.work([replace(poison, tries=3)]) == []
    assert [r.record_id for r in stack.records.buried] == ["poison"]


def test_a_record_that_fails_by_itself_is_found_buried_and_told() -> None:
    stack = MemoryStack()
    fail_for(stack, lambda _, segment: any(p.message_id == "2" for p in segment.publications), ValueError())
    records = [record("1"), record("2"), record("3")]
    object.__setattr__(records[1].publication, "receipt", True)
    assert stack.worker.work(records) == ["2", "3"]
    again = [replace(r, tries=2) for r in records[1:]]
    assert stack.worker.work(again) == ["2", "3"]
    again = [replace(r, tries=3) for r in again]
    assert stack.worker.work(again) == []
    assert [r.record_id for r in stack.records.buried] == ["2"]
    receipt = {"type": "receipt", "channel": "room:a", "message_id": "2", "status": "failed"}
    frames = [frame for b in stack.bus.broadcasts for frame in b.frames]
    assert [frame.get("offset", frame.get("status")) for frame in frames] == [1, "failed", 2]
    assert receipt.items() <= frames[1].items()


def test_a_record_that_waited_long_and_fails_once_is_not_buried() -> None:
    stack = MemoryStack()
    errors = iter([ValueError(), ValueError()])  # the batch's, and the record's alone

    def once(_channel: str, segment: Segment) -> bool:
        if segment.publications[0].message_id == "1" and (error := next(errors, None)):
            raise error
        return False

    fail_for(stack, once, ValueError())
    assert stack.worker.work([record("1", tries=50), record("2", tries=50)]) == []
    assert stack.records.buried == []
    assert [message_id for _, ids in told(stack) for message_id in ids] == ["1", "2"]


def test_a_record_that_there_is_no_time_to_try_again_is_not_buried() -> None:
    stack = MemoryStack()
    fail_for(stack, lambda *_: True, ValueError())
    left = iter([True, False])
    assert stack.worker.work([record("1", tries=50)], lambda: next(left)) == ["1"]
    assert stack.records.buried == []


def test_a_record_whose_sender_can_not_be_told_is_buried_once_and_the_later_ones_go_on() -> None:
    stack = MemoryStack()
    fail_for(stack, lambda _, segment: segment.publications[0].message_id == "1", ValueError())
    worker = replace(stack.worker, receipts=Receipts(DeadBus()))
    poison = lane_record(replace(publication("1"), receipt=True), tries=3)
    assert worker.work([poison, record("2"), record("3", "room:b")]) == []
    assert [r.record_id for r in stack.records.buried] == ["1"]
    assert told(stack) == [("room:a", ["2"]), ("room:b", ["3"])]
    assert "UnavailableError" in [type(error).__name__ for error in stack.failures]


def test_a_record_that_can_not_be_buried_waits_with_the_later_ones_and_other_channels_go_on() -> None:
    stack = MemoryStack()
    fail_for(stack, lambda _, segment: segment.publications[0].message_id == "1", ValueError())
    worker = replace(stack.worker, records=BrokenRecords())
    unreadable = lane_record(None, "", record_id="poison", tries=3)
    assert worker.work([unreadable, record("1", tries=3), record("2"), record("3", "room:b")]) == ["poison", "1", "2"]
    assert told(stack) == [("room:b", ["3"])]
    assert stack.metrics.values["PostponesFailed"] == [1, 1]
    assert "RecordsBuried" not in stack.metrics.values


def test_a_busy_store_is_asked_for_a_whole_batch_again_not_for_each_record() -> None:
    stack = MemoryStack()
    asked: list[int] = []

    def first_time(_channel: str, segment: Segment) -> bool:
        asked.append(len(segment.publications))
        return len(asked) == 1

    fail_for(stack, first_time, UnavailableError())
    records = [record("1"), record("2"), record("3")]
    assert stack.worker.work(records) == ["1", "2", "3"]
    assert stack.worker.work([replace(r, tries=2) for r in records]) == []
    assert asked == [3, 3]


def test_what_there_is_no_time_for_is_handed_back_in_time() -> None:
    stack = MemoryStack()
    left = iter([True, False, False])
    records = [record("1"), record("2", "room:b"), record("3"), record("4", "room:c")]
    assert stack.worker.work(records, lambda: next(left)) == ["2", "4"]
    assert told(stack) == [("room:a", ["1", "3"])]
    assert [(r.record_id, delay_s) for r, delay_s in stack.records.postponed] == [("2", 1), ("4", 1)]


def test_a_receipt_goes_to_its_publisher() -> None:
    stack = MemoryStack()
    asks = lane_record(replace(publication("1", user_id="ann"), receipt=True))
    stack.worker.work([asks, record("2")])
    assert [(b.channel, [f["type"] for f in b.frames]) for b in stack.bus.broadcasts] == [
        ("room:a", ["event", "event"]),
        ("user:ann", ["receipt"]),
    ]
    assert stack.bus.broadcasts[1].frames[0]["position"]["offset"] == 1


def test_conflation_tells_the_last_of_each_name() -> None:
    stack = MemoryStack('[namespaces.room]\nconflation = "latest"')
    items = [replace(publication(str(n)), name=name) for n, name in enumerate(["x", "y", "x", "x"], 1)]
    stack.worker.work([lane_record(item, record_id=item.message_id) for item in items])
    (only,) = stack.bus.broadcasts
    assert [(f["offset"], f["prev_offset"], f.get("covers_from")) for f in only.frames] == [(2, 0, 1), (4, 2, 3)]


def test_who_has_no_time_left_does_not_pace() -> None:
    stack = MemoryStack("[namespaces.room]\npace_ms = 200")
    for n in range(6):
        stack.worker.work([record(f"{n}-{k}") for k in range(10)])
    stack.slept_s.clear()
    left = iter([True, False])
    assert stack.worker.work([record("last")], lambda: next(left)) == []
    assert stack.slept_s == []


def test_high_is_never_held_back() -> None:
    stack = MemoryStack("[namespaces.room]\npace_ms = 200")
    for n in range(6):
        stack.worker.work([record(f"{n}-{k}") for k in range(10)])
    stack.slept_s.clear()
    stack.worker.work([replace(record("last"), lane="high")])
    assert stack.slept_s == []
    stack.worker.work([record("last but one"), replace(record("another", "room:b"), lane="high")])
    assert stack.slept_s == [0.2]


@pytest.mark.parametrize(("count", "last", "slept"), [(30, 9, []), (50, 9, [0.2]), (50, 10, [])])
def test_pacing_holds_back_busy_channels_whose_batches_could_be_fuller(
    count: int, last: int, slept: list[float]
) -> None:
    stack = MemoryStack("[namespaces.room]\npace_ms = 200")
    for n in range(0, count, 10):
        stack.worker.work([record(str(n + k)) for k in range(10)])
    stack.slept_s.clear()
    stack.worker.work([record(f"last {k}") for k in range(last)])
    assert stack.slept_s == slept
