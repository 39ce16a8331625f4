"""What readers fetch: segments are paid for by size, so nobody fetches what is not asked for."""

from collections.abc import Iterator

import pytest

from shared import namespaces
from shared.adapters.memory import MemoryStreamStore
from shared.domain.publication import StreamPosition
from shared.domain.segment import Ring, Segment
from shared.ports import Stream
from shared.services.append import Append, Submission
from shared.services.history import History
from shared.services.streams import Streams
from tests.unit.stack import Clock, publication

CHANNEL = "room:1"


class CountingStore(MemoryStreamStore):
    """Counts the segments that were fetched by walking back or one by one, the streams' records, and walks by rings."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched = 0
        self.streams_read = 0
        self.walks = 0

    def stream(self, channel: str) -> Stream | None:
        self.streams_read += 1
        return super().stream(channel)

    def backward(self, channel: str, epoch: str, offset: int) -> Iterator[Segment]:
        for segment in super().backward(channel, epoch, offset):
            self.fetched += 1
            yield segment

    def rings(self, channel: str, epoch: str, offset: int) -> Iterator[Ring]:
        self.walks += 1
        fetched = self.fetched
        for ring in super().rings(channel, epoch, offset):
            self.fetched = fetched
            yield ring


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def history(store: CountingStore, clock: Clock) -> History:
    """History, in a process that knows nothing, of a channel with five segments of one publication."""
    append = Append(Streams(store, namespaces.parse(""), clock))
    for number in range(5):
        append.execute(CHANNEL, [Submission(publication(f"m{number}"))])
    store.streams_read = 0
    return History(Streams(store, namespaces.parse(""), clock))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_latest_few_cost_as_many_segments_as_hold_them(store: CountingStore, history: History, count: int) -> None:
    _, page = history.latest(CHANNEL, count)
    assert len(page.publications) == count
    assert store.fetched == count


def test_a_page_of_history_reads_the_streams_record_once(store: CountingStore, history: History) -> None:
    _, page = history.read(CHANNEL, None, limit=10, reverse=False)
    assert len(page.publications) == 5
    assert store.streams_read == 1


def test_asking_whether_a_stream_goes_further_reads_its_record_once_a_minute(
    store: CountingStore, history: History, clock: Clock
) -> None:
    for _ in range(6):
        assert history.behind(CHANNEL, StreamPosition("another", 0)) is not None
        assert store.streams_read == 1
        clock.pass_s(10)
    assert history.behind(CHANNEL, StreamPosition("another", 0)) is not None
    assert store.streams_read == 2


@pytest.mark.parametrize("used", [True, False])
def test_who_remembers_a_stream_that_another_process_has_ended_finds_the_new_one(used: bool) -> None:
    store, clock = CountingStore(), Clock()
    here, there = (Streams(store, namespaces.parse(""), clock) for _ in range(2))
    if used:
        Append(here).execute(CHANNEL, [Submission(publication("a"))])
    old = here.end(CHANNEL)
    there.purge(CHANNEL)
    reads = store.streams_read
    new = there.end(CHANNEL)
    assert old.stream.epoch != new.stream.epoch
    for _ in range(2):
        assert (here.end(CHANNEL), here.existing_end(CHANNEL)) == (new, new)
    assert store.streams_read == reads, "the seal has told it"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def busy(store: CountingStore, clock: Clock) -> Append:
    """The writer of a channel in which ten were published each second of the last minute."""
    append = Append(Streams(store, namespaces.parse(""), clock))
    for second in range(60):
        clock.pass_s(1)
        append.execute(CHANNEL, [Submission(publication(f"{second}.{n}", at_ms=clock.now_ms)) for n in range(10)])
    return append


@pytest.mark.parametrize(("age_s", "at_most"), [(0, 1), (10, 3), (50, 11)])
def test_a_record_is_looked_for_no_further_back_than_it_was_taken(
    store: CountingStore, busy: Append, clock: Clock, age_s: int, at_most: int
) -> None:
    late = publication("late", at_ms=clock.now_ms - age_s * 1000)
    another_process = Append(busy.streams)
    assert another_process.execute(CHANNEL, [Submission(late)]).repeats == 0
    assert store.fetched <= at_most


def test_a_writer_reads_nothing_of_what_it_has_put_itself(store: CountingStore, busy: Append, clock: Clock) -> None:
    late = publication("late", at_ms=clock.now_ms - 50_000)
    assert busy.execute(CHANNEL, [Submission(late)]).repeats == 0
    assert store.fetched == 0


def test_a_batch_of_repeats_is_read_once(store: CountingStore, busy: Append, clock: Clock) -> None:
    repeats = [Submission(publication(f"59.{n}", at_ms=clock.now_ms), uncertain=True) for n in range(10)]
    appended = busy.execute(CHANNEL, repeats)
    assert [entry.offset for entry in appended.entries] == list(range(591, 601))
    assert store.fetched == 1


@pytest.mark.parametrize("again", ["first", "another"])
def test_a_client_that_says_retry_costs_few_reads_in_a_channel_of_a_hundred_a_second(
    store: CountingStore, clock: Clock, again: str
) -> None:
    """One read for each 64 publications of 5 minutes would outlast the worker."""
    append = Append(Streams(store, namespaces.parse(""), clock))
    append.execute(CHANNEL, [Submission(publication("first", at_ms=clock.now_ms))])
    for batch in range(2_900):
        clock.pass_s(0.1)
        append.execute(CHANNEL, [Submission(publication(f"{batch}.{n}", at_ms=clock.now_ms)) for n in range(10)])
    store.fetched = store.walks = 0
    repeat = Submission(publication(again, at_ms=clock.now_ms), uncertain=True)
    another_process = Append(append.streams)
    assert another_process.execute(CHANNEL, [repeat]).repeats == (again == "first")
    assert store.fetched <= 37
    assert store.walks == 1


def test_a_retry_in_a_quiet_channel_reads_no_page_of_its_log(store: CountingStore, busy: Append, clock: Clock) -> None:
    repeat = Submission(publication("another", at_ms=clock.now_ms), uncertain=True)
    assert busy.execute(CHANNEL, [repeat]).repeats == 0
    assert (store.fetched <= 14, store.walks) == (True, 0)


def test_what_one_retry_has_read_the_next_need_not(store: CountingStore, busy: Append, clock: Clock) -> None:
    for number in range(2):
        store.fetched = 0
        repeat = Submission(publication(f"another {number}", at_ms=clock.now_ms), uncertain=True)
        assert busy.execute(CHANNEL, [repeat]).repeats == 0
    assert store.fetched <= 1


def test_what_waited_in_a_quiet_channel_is_looked_for_step_by_step(store: CountingStore, clock: Clock) -> None:
    append = Append(Streams(store, namespaces.parse(""), clock))
    for number in range(100):
        append.execute(CHANNEL, [Submission(publication(f"m{number}", at_ms=clock.now_ms))])
        clock.pass_s(60)
    store.fetched = 0
    half_an_hour_ago = publication("m70", at_ms=clock.now_ms - 30 * 60_000)
    assert append.execute(CHANNEL, [Submission(half_an_hour_ago, uncertain=True)]).offsets == (71,)
    assert (store.fetched <= 6, store.walks) == (True, 0), "five rings of six minutes, and what was found"
