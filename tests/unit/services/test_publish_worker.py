"""The worker: order within a channel, failures that stay in their channel, repeats that are told again."""

from shared.domain.segment import Segment
from shared.errors import UnavailableError
from shared.ports import Broadcast, LaneRecord
from tests.unit.stack import MemoryStack, publication


def record(record_id: str, channel: str, size: int = 1) -> LaneRecord:
    item = publication(record_id)
    object.__setattr__(item, "data", "x" * size)
    return LaneRecord(record_id, channel, item, uncertain=False)


def fail_for(stack: MemoryStack, throttled: str) -> None:
    append = stack.store.append

    def failing(channel: str, epoch: str, segment: Segment) -> None:
        if channel == throttled:
            raise UnavailableError
        append(channel, epoch, segment)

    stack.store.append = failing  # type: ignore[method-assign]  # a fault for one channel


def test_one_event_per_channel_and_batch() -> None:
    stack = MemoryStack()
    assert stack.worker.work([record("1", "room:a"), record("2", "room:b"), record("3", "room:a")]) == []
    assert [(b.channel, [f["message_id"] for f in b.frames]) for b in stack.bus.broadcasts] == [
        ("room:a", ["1", "3"]),
        ("room:b", ["2"]),
    ]


def test_a_failure_keeps_its_channels_later_records_and_no_others() -> None:
    stack = MemoryStack()
    fail_for(stack, "room:a")
    records = [record("1", "room:a"), record("2", "room:b"), record("3", "room:a")]
    assert stack.worker.work(records) == ["1", "3"]
    assert len(stack.failures) == 1


def test_a_record_stored_by_a_worker_that_died_is_told_by_the_next() -> None:
    stack = MemoryStack()
    first = record("1", "room:a")

    class DeadBus:
        def put(self, broadcasts: list[Broadcast]) -> None:
            raise UnavailableError

    bus = stack.worker.bus
    object.__setattr__(stack.worker, "bus", DeadBus())
    assert stack.worker.work([first]) == ["1"]
    object.__setattr__(stack.worker, "bus", bus)
    again = LaneRecord("1", "room:a", first.publication, uncertain=True)
    assert stack.worker.work([again, record("2", "room:a")]) == []
    assert [(f["message_id"], f["offset"]) for f in stack.bus.broadcasts[0].frames] == [("1", 1), ("2", 2)]


def test_what_would_not_fit_one_event_becomes_several() -> None:
    stack = MemoryStack()
    assert stack.worker.work([record(str(n), "room:a", size=24_000) for n in range(10)]) == []
    assert [len(b.frames) for b in stack.bus.broadcasts] == [8, 2]
    assert [f["offset"] for b in stack.bus.broadcasts for f in b.frames] == list(range(1, 11))
