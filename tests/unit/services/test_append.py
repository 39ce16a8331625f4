"""The log's promise: offsets contiguous and unique, no id twice, whatever writers do to one another."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import namespaces
from shared.adapters.memory import MemoryStreamStore
from shared.domain.publication import PRIORITIES, Entry, Publication
from shared.domain.segment import Ring, Segment, Tail
from shared.errors import ContentionError
from shared.ports import Stream, StreamConflictError
from shared.services.append import Append, Submission
from shared.services.history import History
from shared.services.streams import Streams
from tests.unit.stack import Clock, MemoryStack, lane_record, publication

CHANNEL = "room:a"


def all_entries(store: MemoryStreamStore, channel: str = CHANNEL) -> list[tuple[int, str]]:
    """Return (offset, message id) of everything in the channel's current stream."""
    epoch = store.streams[channel].epoch
    return [
        (entry.offset, entry.publication.message_id)
        for segment in store.forward(channel, epoch, 1)
        for entry in segment.entries()
    ]


def submit(append: Append, *ids: str, uncertain: bool = False, at_ms: int = 1_800_000_000_000) -> list[int]:
    done = append.execute(CHANNEL, [Submission(publication(i, at_ms=at_ms), uncertain) for i in ids])
    return [entry.offset for entry in done.entries]


def test_offsets_begin_at_one_and_go_on() -> None:
    stack = MemoryStack()
    assert submit(stack.append, "a", "b") == [1, 2]
    assert submit(stack.append, "c") == [3]


def test_prev_offset_counts_within_a_priority() -> None:
    stack = MemoryStack()
    lanes = ["normal", "low", "normal", "high", "low", "normal"]
    entries: list[Entry] = []
    for index, lane in enumerate(lanes):
        item = publication(str(index), priority=lane)  # type: ignore[arg-type]
        entries += stack.append.execute(CHANNEL, [Submission(item)]).entries
    assert [(e.offset, e.prev_offset) for e in entries] == [(1, 0), (2, 0), (3, 1), (4, 0), (5, 2), (6, 3)]


def test_a_repeat_is_answered_with_its_first_place() -> None:
    stack = MemoryStack()
    submit(stack.append, "a", "b", "c")
    assert submit(stack.append, "b", "d", uncertain=True) == [2, 4]
    assert [i for _, i in all_entries(stack.store)] == ["a", "b", "c", "d"]


def test_one_id_twice_in_a_batch_is_stored_once() -> None:
    stack = MemoryStack()
    assert submit(stack.append, "a", "b", "a") == [1, 2, 1]


def test_the_same_id_of_another_user_is_another_publication() -> None:
    stack = MemoryStack()
    submit(stack.append, "a")
    done = stack.append.execute(CHANNEL, [Submission(publication("a", user_id="bob"))])
    assert done.entries[0].offset == 2


def test_a_repeat_behind_more_than_a_ring_is_found_in_the_log() -> None:
    stack = MemoryStack()
    submit(stack.append, "first")
    for index in range(300):
        submit(stack.append, f"m{index}")
    assert submit(stack.append, "first", uncertain=True) == [1]
    assert submit(stack.append, "m150", uncertain=True) == [152]


def test_a_late_record_is_looked_for_without_being_called_uncertain() -> None:
    """It waited in its lane while 300 others passed: its own first try may be among them."""
    stack = MemoryStack()
    accepted_at_ms = stack.clock.now_ms
    submit(stack.append, "slow", at_ms=accepted_at_ms)
    for index in range(300):
        stack.clock.pass_s(0.2)
        submit(stack.append, f"m{index}", at_ms=stack.clock.now_ms)
    assert submit(stack.append, "slow", at_ms=accepted_at_ms) == [1]


def test_a_record_that_waited_for_an_hour_is_known_again() -> None:
    """Its first try was appended, and the queue was never told; then the store, or whoever redrives, took its time."""
    stack = MemoryStack()
    taken_at_ms = stack.clock.now_ms
    submit(stack.append, "slow", at_ms=taken_at_ms)
    for index in range(300):
        stack.clock.pass_s(12)
        submit(stack.append, f"m{index}", at_ms=stack.clock.now_ms)
    assert submit(stack.append, "slow", uncertain=True, at_ms=taken_at_ms) == [1]


@pytest.mark.parametrize(("after_s", "offset"), [(300, 1), (306, 2)])
def test_an_id_may_be_used_again_after_five_minutes_and_what_clocks_differ_by(after_s: int, offset: int) -> None:
    stack = MemoryStack()
    submit(stack.append, "a")
    stack.clock.pass_s(after_s)
    assert submit(stack.append, "a", uncertain=True, at_ms=stack.clock.now_ms) == [offset]


@pytest.mark.parametrize("others", [0, 100])
def test_a_repeat_is_known_by_when_it_was_taken_however_long_its_lane_took(others: int) -> None:
    stack = MemoryStack()
    submit(stack.append, "a")
    for number in range(others):
        submit(stack.append, f"m{number}")
    stack.clock.pass_s(280)
    taken_at_ms = stack.clock.now_ms
    stack.clock.pass_s(30)
    assert submit(stack.append, "a", uncertain=True, at_ms=taken_at_ms) == [1]


def test_a_writer_whose_memory_is_stale_learns_the_end_from_who_was_faster() -> None:
    stack = MemoryStack()
    other = Append(stack.streams)
    submit(stack.append, "a")
    for index in range(20):
        submit(other, f"o{index}")
    assert submit(stack.append, "b") == [22]


class Overtaken(MemoryStreamStore):
    """Others append ten each time before a writer can, and what writers ask is counted.

    Attributes:
        times: How often, before the writer has its turn.
    """

    def __init__(self) -> None:
        super().__init__()
        self.times = 0
        self.calls: Counter[str] = Counter()

    def append(self, channel: str, epoch: str, segment: Segment) -> None:
        self.calls["append"] += 1
        if self.times:
            self.times -= 1
            newest = super().newest(channel, epoch)
            others = [publication(f"o{self.times}-{number}", user_id="bob") for number in range(10)]
            tail = newest[0].tail() if newest else Tail()
            now_ms = segment.appended_at_ms
            super().append(channel, epoch, tail.grow(others, now_ms=now_ms, expires_at_s=segment.expires_at_s))
        super().append(channel, epoch, segment)

    def newest(self, channel: str, epoch: str, count: int = 1) -> Sequence[Segment]:
        self.calls["newest"] += 1
        self.calls["segments with the end"] += count
        return super().newest(channel, epoch, count)

    def holding(self, channel: str, epoch: str, offset: int) -> Segment | None:
        self.calls["holding"] += 1
        return super().holding(channel, epoch, offset)


@pytest.mark.parametrize("times", [0, 1, 2, 3, 8])
def test_a_writer_that_is_overtaken_reads_the_end_seldom_and_what_it_has_searched_never_again(times: int) -> None:
    store = Overtaken()
    streams = Streams(store, namespaces.parse(""), Clock())
    append = Append(streams)
    for number in range(300):
        submit(append, f"m{number}")
    store.calls.clear()
    store.times = times
    assert submit(Append(streams), "late") == [301 + 10 * times]
    assert (store.calls["newest"], store.calls["holding"]) == (1 + times // 3, 5)


@pytest.mark.parametrize(("behind", "rings"), [(3, 0), (16, 0), (20, 1), (40, 5)])
def test_a_writer_far_behind_searches_what_it_has_missed_alone(behind: int, rings: int) -> None:
    """Most of it lies in the segments that come with the end."""
    store = Overtaken()
    append = Append(Streams(store, namespaces.parse(""), Clock()))
    other = Append(append.streams)
    for number in range(30):
        submit(append, *(f"{number}-{index}" for index in range(10)))
    assert submit(append, "a") == [301]
    for number in range(30, 30 + behind):
        submit(other, *(f"{number}-{index}" for index in range(10)))
    store.calls.clear()
    assert submit(append, "b") == [302 + 10 * behind]
    assert (store.calls["newest"], store.calls["holding"]) == (1, rings)


def test_a_writer_beside_busier_ones_reads_the_end_before_it_tries() -> None:
    store, clock = Overtaken(), Clock()
    append = Append(Streams(store, namespaces.parse(""), clock))
    other = Append(append.streams)

    def cost(message_id: str, *, others: int) -> tuple[int, int]:
        clock.pass_s(0.4)
        for number in range(others):
            submit(other, *(f"{message_id}-{number}-{index}" for index in range(10)))
        store.calls.clear()
        submit(append, message_id)
        return store.calls["newest"], store.calls["append"]

    assert cost("a", others=0) == (1, 1), "it knows nothing"
    assert cost("b", others=0) == (0, 1), "it is alone"
    assert cost("c", others=10) == (1, 4), "it learns, then it reads"
    assert cost("d", others=10) == (1, 1), "it knows better"
    assert store.calls["segments with the end"] == 11, "as many as they have probably put, and the end"
    assert cost("e", others=0) == (1, 1), "they have gone"
    assert cost("f", others=0) == (0, 1)
    assert cost("g", others=2) == (0, 3)


def test_a_repeat_that_was_appended_while_its_writer_was_overtaken_is_found() -> None:
    store = Overtaken()
    append = Append(Streams(store, namespaces.parse(""), Clock()))
    other = Append(append.streams)
    submit(append, "a")
    submit(other, "b")
    for number in range(200):
        submit(other, f"m{number}")
    store.times = 2
    assert submit(append, "b") == [2]
    assert submit(append, "c") == [223]


def test_a_purge_stops_writers_that_remember_the_old_stream() -> None:
    stack = MemoryStack()
    submit(stack.append, "a")
    old = stack.store.streams[CHANNEL].epoch
    stack.streams.purge(CHANNEL)
    done = stack.append.execute(CHANNEL, [Submission(publication("b"))])
    assert stack.store.streams[CHANNEL].epoch != old
    assert (done.epoch, done.entries[0].offset) == (f"1-{stack.store.streams[CHANNEL].epoch}", 1)


def test_a_stream_that_time_has_deleted_is_not_counted_on() -> None:
    stack = MemoryStack()
    submit(stack.append, "a")
    old = stack.store.streams[CHANNEL].epoch
    stack.store.segments[CHANNEL, old].clear()
    stack.clock.pass_s(601)
    assert submit(stack.append, "b", at_ms=stack.clock.now_ms) == [1]
    assert stack.store.streams[CHANNEL].epoch != old


DAY = "[defaults]\nhistory_ttl_s = 86400"
TEN_MINUTES = "[defaults]\nhistory_ttl_s = 600"


def expired(stack: MemoryStack) -> list[int]:
    """Return the offsets at which TTL may delete something of the current stream."""
    epoch, now_s = stack.store.streams[CHANNEL].epoch, stack.clock() // 1000
    return [first for first, item in stack.store.segments[CHANNEL, epoch].items() if item.expires_at_s <= now_s]


def sweep(stack: MemoryStack, *offsets: int) -> None:
    """Delete what stands there in the current stream, as TTL does: AWS promises no order."""
    epoch = stack.store.streams[CHANNEL].epoch
    for offset in offsets:
        del stack.store.segments[CHANNEL, epoch][offset]


def test_no_offset_is_used_again_when_ttl_deletes_the_newest_first() -> None:
    stack = MemoryStack(DAY)
    for number in range(1, 21):
        submit(stack.append, f"m{number}")
    old = stack.store.streams[CHANNEL].epoch
    stack.clock.pass_s(86_400 + 600)
    sweep(stack, 20, 19, 18)
    assert submit(stack.append, "new", at_ms=stack.clock.now_ms) == [1]
    assert stack.store.streams[CHANNEL].epoch != old


def test_no_offset_is_used_again_when_history_is_to_be_kept_for_less_time() -> None:
    stack = MemoryStack(DAY)
    submit(stack.append, "m1")
    shorter = Append(Streams(stack.store, namespaces.parse(TEN_MINUTES), stack.clock))
    submit(shorter, "m2")
    stack.clock.pass_s(3600)
    sweep(stack, *expired(stack))
    assert submit(shorter, "m3", at_ms=stack.clock.now_ms) == [3]


def test_a_stream_of_which_nothing_is_served_is_sealed_behind_its_end() -> None:
    stack = MemoryStack(TEN_MINUTES)
    submit(stack.append, "a", "b")
    old = stack.store.streams[CHANNEL].epoch
    stack.clock.pass_s(599)
    assert stack.streams.end(CHANNEL).stream.epoch == old
    stack.clock.pass_s(1)
    assert stack.streams.end(CHANNEL).stream.epoch != old
    assert stack.store.segments[CHANNEL, old][3].seal


def redriven(stack: MemoryStack) -> Publication:
    """Return a publication that was stored as the first of three, and has gone from the log since, by itself."""
    taken = replace(publication("first", at_ms=stack.clock.now_ms), receipt=True)
    stack.append.execute(CHANNEL, [Submission(taken)])
    stack.clock.pass_s(500)
    submit(stack.append, "second", "third", at_ms=stack.clock.now_ms)
    stack.clock.pass_s(200)
    sweep(stack, *expired(stack))
    return taken


def test_a_repeat_of_what_has_gone_stands_where_it_stood_and_has_nothing_to_tell() -> None:
    stack = MemoryStack(TEN_MINUTES)
    gone = redriven(stack)
    items = [gone, publication("second", at_ms=stack.clock.now_ms), publication("new", at_ms=stack.clock.now_ms)]
    done = stack.append.execute(CHANNEL, [Submission(item) for item in items])
    assert [done.position(index).offset for index in range(3)] == [1, 2, 4]
    assert [entry.offset for entry in done.entries] == [2, 4]
    assert done.repeats == 2


def test_a_redriven_record_that_has_gone_from_the_log_is_done_with() -> None:
    stack = MemoryStack(TEN_MINUTES)
    assert stack.worker.work([lane_record(redriven(stack), CHANNEL)]) == []
    assert (stack.records.buried, stack.failures) == ([], [])
    assert [frame for broadcast in stack.bus.broadcasts for frame in broadcast.frames] == []
    assert stack.metrics.values["DuplicatesDropped"] == [1]


class Chronicle(MemoryStreamStore):
    """Remembers what was put where, whatever is deleted afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.put: list[tuple[str, int]] = []

    def append(self, channel: str, epoch: str, segment: Segment) -> None:
        super().append(channel, epoch, segment)
        self.put += [(epoch, entry.offset) for entry in segment.entries()]


step = st.tuples(
    st.sampled_from([10, 640, 700, 4_000, 87_000]),  # seconds that pass
    st.lists(st.integers(0, 10), max_size=3),  # which of what has expired is deleted
    st.sampled_from([600, 3_600, 86_400]),  # how long history is kept now
)


@settings(max_examples=200, deadline=None)
@given(st.lists(step, min_size=5, max_size=20))
def test_whatever_ttl_deletes_and_however_long_history_is_kept_no_place_is_taken_twice(
    steps: list[tuple[int, list[int], int]],
) -> None:
    stack, store = MemoryStack(), Chronicle()
    stack.store = store
    for number, (seconds, deleted, ttl_s) in enumerate(steps):
        streams = Streams(store, namespaces.parse(f"[defaults]\nhistory_ttl_s = {ttl_s}"), stack.clock)
        submit(Append(streams), f"m{number}", at_ms=stack.clock.now_ms)
        stack.clock.pass_s(seconds)
        for index in deleted:
            if gone := expired(stack):
                sweep(stack, gone[index % len(gone)])
        end = streams.position(streams.end(CHANNEL))
        recovered = History(streams).recover(CHANNEL, replace(end, offset=0))
        offsets = [event["offset"] for event in recovered.page.publications]
        assert offsets == (list(range(1, end.offset + 1)) if recovered.whole else [])
    assert max(Counter(store.put).values()) == 1


@settings(max_examples=150, deadline=None)
@given(
    bursts=st.lists(
        st.tuples(st.sampled_from([0, 1, 30, 299, 301, 359, 361, 3_000]), st.integers(1, 70)), min_size=1, max_size=12
    ),
    picks=st.lists(st.tuples(st.integers(0, 800), st.integers(0, 300)), min_size=1, max_size=4),
    waited_s=st.sampled_from([0, 50, 61, 299, 650, 5_000]),
)
def test_a_repeat_is_known_however_quiet_the_channel_was_and_however_long_it_waited(
    bursts: list[tuple[int, int]], picks: list[tuple[int, int]], waited_s: int
) -> None:
    stack, taken_ms = MemoryStack(), list[int]()
    for gap_s, count in bursts:
        stack.clock.pass_s(gap_s)
        for start in range(0, count, 10):
            some = range(start, min(start + 10, count))
            submit(stack.append, *(f"m{len(taken_ms) + n}" for n in range(len(some))), at_ms=stack.clock())
            taken_ms += [stack.clock()] * len(some)
    stack.clock.pass_s(waited_s)
    for writer in (Append(stack.streams), stack.append):  # another process, and the one that has put all of it
        for pick, later_s in picks:
            number = pick % len(taken_ms)
            at_ms = min(taken_ms[number] + later_s * 1000, stack.clock())
            submission = Submission(publication(f"m{number}", at_ms=at_ms), uncertain=True)
            assert writer.execute(CHANNEL, [submission]).offsets == (number + 1,)
            end = stack.streams.end(CHANNEL).tail.end
            new = Submission(publication(f"new {end}", at_ms=at_ms), uncertain=True)
            assert writer.execute(CHANNEL, [new]).offsets == (end + 1,)


class Interrupted(MemoryStreamStore):
    """Before the first put that is asked of it, something else happens."""

    meanwhile: Callable[[], object] | None = None

    def append(self, channel: str, epoch: str, segment: Segment) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        super().append(channel, epoch, segment)


def test_a_writer_that_read_the_end_of_a_stream_in_its_last_moment_runs_into_the_seal() -> None:
    """Had TTL deleted that end at once, the seal would stand elsewhere, and what is acknowledged would be lost."""
    stack = MemoryStack(TEN_MINUTES)
    stack.streams = Streams(store := Interrupted(), stack.namespaces, stack.clock)
    stack.store, stack.append = store, Append(stack.streams)
    for number in range(1, 4):
        submit(stack.append, f"m{number}")
    stack.clock.pass_s(599)

    def expire() -> None:
        stack.clock.pass_s(30)
        sweep(stack, *expired(stack))
        submit(Append(stack.streams), "others", at_ms=stack.clock.now_ms)

    store.meanwhile = expire
    assert submit(stack.append, "late", at_ms=stack.clock.now_ms) == [2]
    assert [i for _, i in all_entries(store)] == ["others", "late"]


def test_a_stream_that_grows_while_it_is_being_sealed_lives_on() -> None:
    clock, store = Clock(), Interrupted()
    streams = Streams(store, namespaces.parse(TEN_MINUTES), clock)
    submit(Append(streams), "a")
    before = streams.end(CHANNEL)
    clock.pass_s(601)
    faster = before.tail.grow([publication("b")], now_ms=clock(), expires_at_s=streams.expires_at_s(CHANNEL))
    store.meanwhile = lambda: store.append(CHANNEL, before.stream.epoch, faster)
    after = streams.end(CHANNEL)
    assert (after.stream.epoch, after.tail.end) == (before.stream.epoch, 2)


def test_an_empty_stream_that_was_never_used_is_not_lost() -> None:
    stack = MemoryStack()
    opened = stack.streams.end(CHANNEL).stream.epoch
    stack.clock.pass_s(100_000)
    submit(stack.append, "a", at_ms=stack.clock.now_ms)
    assert stack.store.streams[CHANNEL].epoch == opened


def test_endless_contention_is_told_as_such() -> None:
    class AlwaysTaken(MemoryStreamStore):
        def append(self, channel: str, epoch: str, segment: Segment) -> None:
            others = (publication("another", user_id="bob"),)
            ring = Ring(end=segment.first - 1).extended(others * segment.first, 1_800_000_000)
            raise StreamConflictError(replace(segment, publications=others, ring=replace(ring, end=segment.first)))

    append = Append(Streams(AlwaysTaken(), namespaces.parse(""), Clock()))
    with pytest.raises(ContentionError):
        submit(append, "a", at_ms=0)


class CrashedError(BaseException):
    """The writer's process ends here."""


class SteppedStore(MemoryStreamStore):
    """Lets one writer at a time take one step: the test says whose turn it is, and who dies before or after it."""

    def _step(self, work: Callable[[], Any]) -> Any:
        writer = threading.current_thread()
        assert isinstance(writer, Writer)
        writer.paused.release()
        writer.turn.acquire()
        if writer.fate == "dies before":
            raise CrashedError
        try:
            return work()
        finally:
            if writer.fate == "dies after":
                raise CrashedError

    def stream(self, channel: str) -> Stream | None:
        result: Stream | None = self._step(lambda: super(SteppedStore, self).stream(channel))
        return result

    def open(self, channel: str, stream: Stream, *, replaces: Stream | None) -> Stream:
        result: Stream = self._step(lambda: super(SteppedStore, self).open(channel, stream, replaces=replaces))
        return result

    def append(self, channel: str, epoch: str, segment: Segment) -> None:
        self._step(lambda: super(SteppedStore, self).append(channel, epoch, segment))

    def newest(self, channel: str, epoch: str, count: int = 1) -> Sequence[Segment]:
        result: Sequence[Segment] = self._step(lambda: super(SteppedStore, self).newest(channel, epoch, count))
        return result


class Writer(threading.Thread):
    """A process that appends one batch after another, until it dies."""

    def __init__(self, store: MemoryStreamStore, batches: list[list[str]]) -> None:
        super().__init__(daemon=True)
        self.writer = Append(Streams(store, namespaces.parse(""), Clock()))
        self.batches = batches
        self.turn, self.paused = threading.Semaphore(0), threading.Semaphore(0)
        self.fate = "lives"
        self.ended = False
        self.acknowledged: dict[str, int] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for batch in self.batches:
                items = [Submission(publication(i, priority=PRIORITIES[len(i) % 4]), True) for i in batch]
                done = self.writer.execute(CHANNEL, items)
                self.acknowledged |= {i: e.offset for i, e in zip(batch, done.entries, strict=True)}
        except CrashedError:
            self.fate = "died"
        except BaseException as error:
            self.error = error
        finally:
            self.ended = True
            self.paused.release()

    def step(self, fate: str) -> None:
        """Let it do one thing; return when it stands before the next, or has ended."""
        self.fate = fate
        self.turn.release()
        self.paused.acquire()


ids = st.sampled_from(["a", "b", "cc", "dd", "eee", "fff", "gggg", "hhhh"])
work = st.lists(st.lists(ids, min_size=1, max_size=5), min_size=1, max_size=3)


@settings(max_examples=200, deadline=None)
@given(works=st.lists(work, min_size=2, max_size=5), data=st.data())
def test_many_writers_that_die_anywhere_leave_one_gapless_stream(
    works: list[list[list[str]]], data: st.DataObject
) -> None:
    store = SteppedStore()
    writers = [Writer(store, batches) for batches in works]
    for writer in writers:
        writer.start()
        writer.paused.acquire()
    while alive := [writer for writer in writers if not writer.ended]:
        fate = data.draw(st.sampled_from(["lives"] * 8 + ["dies before", "dies after"]))
        data.draw(st.sampled_from(alive)).step(fate)
    assert [writer.error for writer in writers if writer.error] == []
    entries = all_entries(store) if CHANNEL in store.streams else []
    assert [offset for offset, _ in entries] == list(range(1, len(entries) + 1))
    assert [i for i, count in Counter(i for _, i in entries).items() if count > 1] == []
    for writer in writers:
        assert writer.acknowledged.items() <= {i: offset for offset, i in entries}.items()
