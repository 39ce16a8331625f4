"""Recovery is whole or refused: whatever has gone from the log, no reader is told that it missed nothing."""

import pytest

from shared.domain.publication import StreamPosition
from shared.services.append import Submission
from tests.unit.stack import MemoryStack, publication

CHANNEL = "room:a"


def stack_without(*gone: int, of: int = 5) -> tuple[MemoryStack, StreamPosition]:
    """Return a stack whose channel had so many publications, each by itself, less these; and where they begin."""
    stack = MemoryStack()
    for number in range(1, of + 1):
        appended = stack.append.execute(CHANNEL, [Submission(publication(f"m{number}"))])
    segments = stack.store.segments[CHANNEL, stack.store.streams[CHANNEL].epoch]
    # The end is asked first, as by a reader; the broom comes between that and the reading.
    newest = segments[of]
    for offset in gone:
        del segments[offset]
    stack.store.newest = lambda _channel, _epoch, _count=1: [newest]  # type: ignore[method-assign, assignment]
    return stack, StreamPosition(appended.epoch, 0)


def test_what_is_all_there_is_recovered() -> None:
    stack, start = stack_without()
    recovered = stack.history.recover(CHANNEL, start)
    assert (recovered.whole, recovered.page.more) == (True, False)
    assert [p["offset"] for p in recovered.page.publications] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("gone", [(1,), (3,), (5,), (4, 5), (1, 2, 3, 4, 5)])
def test_a_recovery_with_a_hole_is_refused_wherever_it_is(gone: tuple[int, ...]) -> None:
    stack, start = stack_without(*gone)
    recovered = stack.history.recover(CHANNEL, start)
    assert (recovered.whole, recovered.page.publications) == (False, [])
    assert recovered.position.offset == 5


def test_a_page_that_is_full_before_the_hole_is_a_gapless_beginning() -> None:
    stack, start = stack_without(4)
    one = stack.history.read(CHANNEL, start, limit=1, reverse=False)[1].size_bytes
    recovered = stack.history.recover(CHANNEL, start, max_bytes=2 * one)
    assert (recovered.whole, recovered.page.more) == (True, True)
    assert [p["offset"] for p in recovered.page.publications] == [1, 2]


def test_a_page_with_no_room_for_any_says_so_only_of_what_is_there() -> None:
    for gone, whole in (((), True), ((1,), False)):
        stack, start = stack_without(*gone)
        recovered = stack.history.recover(CHANNEL, start, max_bytes=1)
        assert (recovered.whole, recovered.page.more, recovered.page.publications) == (whole, whole, [])
