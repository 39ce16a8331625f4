"""The lanes' side of publishing: append, tell the bus; give back what can't be done now, bury what never can."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from shared.domain.conflate import conflate
from shared.domain.correlation import about, correlation_id
from shared.domain.segment import SEGMENT_MAX_PUBLICATIONS
from shared.errors import DependencyError, InternalError, TidewireError
from shared.namespaces import Namespaces
from shared.ports import Broadcast, EventBus, LaneRecord, LaneRecords, Metrics, Trail
from shared.services.append import SEGMENT_MAX_BYTES, Append, Submission, size_of
from shared.services.receipts import Receipts

# A record that fails by itself, not for a busy store, is buried after this many tries: it blocks its channel meanwhile.
# Waits for the store are tries as well, so at the last it has to fail by itself twice, one after the other.
TRIES: Final = 3
_DELAY_MAX_S: Final = 15
# Holding a batch back for the next to be fuller pays above this (docs/adr/0017-what-costs.md).
PACED_FROM_PER_S: Final = 20


@dataclass(frozen=True, slots=True)
class PublishWorker:
    """Every step may be repeated.

    Attributes:
        executor: Has a thread for each channel of a batch: most of the time is spent waiting for answers.
        sleep: Of seconds.
    """

    namespaces: Namespaces
    append: Append
    bus: EventBus
    records: LaneRecords
    receipts: Receipts
    metrics: Metrics
    executor: Executor
    sleep: Callable[[float], None]
    on_failure: Callable[[str, Exception], None] = field(repr=False)
    trail: Trail

    def work(self, records: Sequence[LaneRecord], has_time: Callable[[], bool] = lambda: True) -> list[str]:
        """Handle a batch as long as there is time; return the ids of the records to be handed out again.

        When one of a channel has to wait, its later ones wait as well (their order would break); other channels go on.
        """
        channels: dict[str, list[LaneRecord]] = {}
        failed: list[str] = []
        for record in records:
            if record.publication is None:
                failed += self._unreadable(record)
            else:
                channels.setdefault(record.channel, []).append(record)
        for left in self.executor.map(partial(self._channel, has_time), channels, channels.values()):
            if left:
                self._postpone(left)
                failed += [record.record_id for record in left]
        self._pace(channels, has_time)
        return failed

    def _channel(
        self, has_time: Callable[[], bool], channel: str, waiting: Sequence[LaneRecord]
    ) -> Sequence[LaneRecord]:
        """Store a channel's records in their order; return those that have to wait."""
        segments = deque(_segments(waiting))
        doubted: list[LaneRecord] | None = None
        while segments and has_time():
            segment = segments.popleft()
            try:
                with about(_ids(segment)):
                    self._store(channel, segment)
            except Exception as error:  # told to on_failure, and the queue keeps the records
                by_itself = _by_itself(error)
                if by_itself and len(segment) > 1:
                    # One of them fails: it is found by taking each alone. What was stored is known again.
                    segments.extendleft([record] for record in reversed(segment))
                    continue
                self.on_failure(channel, error)
                hopeless = by_itself and segment[0].tries >= TRIES
                if hopeless and doubted is segment and self._buried(segment[0]):
                    continue
                segments.appendleft(segment)
                if not hopeless or doubted is segment:
                    break
                doubted = segment
        return [record for segment in segments for record in segment]

    def _store(self, channel: str, records: Sequence[LaneRecord]) -> None:
        submissions = [Submission(r.publication, r.uncertain) for r in records if r.publication is not None]
        appended = self.append.execute(channel, submissions)
        events = [entry.to_event(channel, appended.epoch) for entry in appended.ordered]
        if self.namespaces.of(channel).conflation == "latest":
            events = conflate(events)
        # Repeats are told again: whoever stored them first may have died before telling.
        self.bus.put([Broadcast(channel, events), *self.receipts.stored(channel, appended.epoch, appended.ordered)])
        self.metrics.count("PublicationsAppended", len(records) - appended.repeats)
        if appended.repeats:
            self.metrics.count("DuplicatesDropped", appended.repeats)
        self.trail.step(
            "stored", _ids(records), way=records[0].lane, offset=appended.offsets[0], repeats=appended.repeats
        )

    def _unreadable(self, record: LaneRecord) -> list[str]:
        """No publication can come of it, so none has to wait for it."""
        if record.unreadable is not None:
            self.on_failure(record.channel, record.unreadable)
        if record.tries >= TRIES and self._buried(record):
            return []
        self._postpone([record])
        return [record.record_id]

    def _buried(self, record: LaneRecord) -> bool:
        """Put the record into the dead-letter queue and tell its sender; return whether it is there."""
        try:
            with about(_ids([record])):
                self.records.bury(record)
        except Exception as error:  # told to on_failure, and the lane keeps the record
            self.on_failure(record.channel, error)
            return False
        self.metrics.count("RecordsBuried")
        self.trail.step("buried", _ids([record]), always=True, tries=record.tries)
        if record.publication is not None:
            try:
                with about(_ids([record])):
                    self.receipts.failed(record.channel, record.publication, InternalError())
            except Exception as error:  # to hand the record out again would bury it again
                self.on_failure(record.channel, error)
        return True

    def _postpone(self, records: Sequence[LaneRecord]) -> None:
        # The visibility that the lane sets is for workers that die: who lives asks for less.
        delay_s = min(2 ** (max(record.tries for record in records) - 1), _DELAY_MAX_S)
        try:
            with about(_ids(records)):
                self.records.postpone(records, delay_s=delay_s)
        except Exception as error:  # they come back all the same, when the lane's own visibility ends
            self.on_failure(records[0].channel, error)
            self.metrics.count("PostponesFailed")

    def _pace(self, channels: Mapping[str, Sequence[LaneRecord]], has_time: Callable[[], bool]) -> None:
        """Keep busy channels for a while: a lane hands out no more of a channel before its batch has ended."""
        paces = [
            self.namespaces.of(channel).pace_ms
            for channel, records in channels.items()
            if len(records) < SEGMENT_MAX_PUBLICATIONS
            and records[0].lane != "high"  # whoever asks for it has no time to save money
            and self.append.rate_per_s(channel) > PACED_FROM_PER_S
        ]
        if (longest_ms := max(paces, default=0)) and has_time():
            self.sleep(longest_ms / 1000)


def _ids(records: Sequence[LaneRecord]) -> list[str]:
    return [
        correlation_id(record.channel, record.publication.user_id, record.publication.message_id)
        for record in records
        if record.publication is not None
    ]


def _by_itself(error: Exception) -> bool:
    """Tell whether a failure is the record's own: neither the store is busy, nor would it refuse any other."""
    return not (isinstance(error, DependencyError) or (isinstance(error, TidewireError) and error.temporary))


def _segments(records: Sequence[LaneRecord]) -> list[list[LaneRecord]]:
    """Split a channel's records into what is appended together.

    That is all of them (SQS hands out at most 10 of a FIFO queue), less what would not fit one event.
    """
    segments: list[list[LaneRecord]] = [[]]
    size = 0
    for record in records:
        record_bytes = size_of(record.publication) if record.publication else 0
        if segments[-1] and size + record_bytes > SEGMENT_MAX_BYTES:
            segments.append([])
            size = 0
        segments[-1].append(record)
        size += record_bytes
    return segments
