"""Segments: places without holes, and a tail from which another writer goes on as if it had been there all along."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.publication import PRIORITIES, Priority, Publication, fingerprint
from shared.domain.segment import NO_TAILS, RING_SIZE, Ring, Segment, Tail
from tests.unit.stack import publication

NOW_S = 1_800_000_000
EXPIRES_AT_S = NOW_S + 600

marks = st.binary(min_size=8, max_size=8)
batches = st.lists(st.lists(st.sampled_from(PRIORITIES), min_size=1, max_size=10), max_size=12)


def some(priorities: Sequence[Priority], start: int = 1) -> list[Publication]:
    return [publication(f"m{n}", priority=priority) for n, priority in enumerate(priorities, start)]


def grown(batches: Sequence[Sequence[Priority]]) -> list[Segment]:
    """Return the segments that one writer after the other appends, a second apart."""
    segments: list[Segment] = []
    tail = Tail()
    for index, priorities in enumerate(batches):
        at_ms = (NOW_S + index) * 1000
        segments.append(tail.grow(some(priorities, tail.end + 1), now_ms=at_ms, expires_at_s=EXPIRES_AT_S))
        tail = segments[-1].tail()
    return segments


def numbered(count: int, *, at_s: int = NOW_S) -> Ring:
    return Ring().extended(some(["normal"] * count), at_s)


class TestPlaces:
    @given(batches=batches)
    def test_offsets_have_no_holes_however_publications_are_batched(self, batches: list[list[Priority]]) -> None:
        offsets = [entry.offset for segment in grown(batches) for entry in segment.entries()]
        assert offsets == list(range(1, sum(map(len, batches)) + 1))

    @given(batches=batches)
    def test_prev_offset_is_the_last_of_the_same_priority(self, batches: list[list[Priority]]) -> None:
        last: dict[str, int] = {}
        for segment in grown(batches):
            for entry in segment.entries():
                priority = entry.publication.priority
                assert entry.prev_offset == last.get(priority, 0)
                last[priority] = entry.offset

    @given(batches=batches)
    def test_the_tail_knows_the_end_and_the_last_of_each_priority(self, batches: list[list[Priority]]) -> None:
        segments = grown(batches)
        everything = [priority for batch in batches for priority in batch]
        tail = segments[-1].tail() if segments else Tail()
        assert tail.end == len(everything)
        for priority, offset in zip(PRIORITIES, tail.tails, strict=True):
            found = [n for n, other in enumerate(everything, 1) if other == priority]
            assert offset == max(found, default=0)

    def test_a_stream_begins_at_one(self) -> None:
        segment = Tail().grow(some(["low", "high"]), now_ms=NOW_S * 1000, expires_at_s=EXPIRES_AT_S)
        assert (segment.first, segment.last, segment.tails_before) == (1, 2, NO_TAILS)
        assert segment.tail().tails == (0, 2, 0, 1)

    def test_a_seal_stands_behind_the_end_and_moves_nothing(self) -> None:
        tail = grown([["normal", "low"]])[0].tail()
        seal = tail.grow((), now_ms=NOW_S * 1000, expires_at_s=EXPIRES_AT_S)
        assert (seal.seal, seal.first, seal.last, seal.entries()) == (True, 3, 2, [])
        assert seal.tail() == tail


class TestExpiry:
    def test_no_segment_expires_before_one_that_stands_before_it(self) -> None:
        """The time that a channel's history is kept may be lowered, and writers' clocks differ."""
        tail = Tail().grow(some(["normal"]), now_ms=NOW_S * 1000, expires_at_s=EXPIRES_AT_S).tail()
        sooner = tail.grow(some(["normal"], 2), now_ms=NOW_S * 1000, expires_at_s=EXPIRES_AT_S - 1)
        later = sooner.tail().grow((), now_ms=NOW_S * 1000, expires_at_s=EXPIRES_AT_S + 1)
        assert (sooner.expires_at_s, later.expires_at_s) == (EXPIRES_AT_S, EXPIRES_AT_S + 1)

    def test_it_is_served_for_its_time_and_stands_for_a_minute_more(self) -> None:
        segment = Tail().grow(some(["normal"]), now_ms=NOW_S * 1000, expires_at_s=EXPIRES_AT_S)
        assert segment.served(EXPIRES_AT_S - 61)
        assert not segment.served(EXPIRES_AT_S - 60)


class TestRing:
    @given(
        ring=st.lists(st.tuples(marks, st.integers(NOW_S - 0xFFFF, NOW_S)), max_size=RING_SIZE),
        before=st.integers(0, 1000),
    )
    def test_it_unpacks_to_what_was_packed(self, ring: list[tuple[bytes, int]], before: int) -> None:
        packed = Ring(tuple(ring), before + len(ring))
        assert len(packed.to_bytes(NOW_S)) == 10 * len(ring)
        assert Ring.from_bytes(packed.to_bytes(NOW_S), at_s=NOW_S, end=packed.end) == packed

    def test_what_two_bytes_of_age_cannot_say_is_kept_as_the_nearest_that_they_can(self) -> None:
        ring = Ring(((b"old-mark", NOW_S - 0xFFFF - 1), (b"new-mark", NOW_S + 3)), 2)
        (_, old), (_, new) = Ring.from_bytes(ring.to_bytes(NOW_S), at_s=NOW_S, end=2).marks
        assert (old, new) == (NOW_S - 0xFFFF, NOW_S)

    @given(batches=batches)
    def test_every_publication_of_the_last_64_is_found_at_its_offset(self, batches: list[list[Priority]]) -> None:
        segments = grown(batches)
        ring = segments[-1].ring if segments else Ring()
        for offset in range(1, ring.end + 1):
            found = ring.find(fingerprint("ann", f"m{offset}"), not_before_s=0)
            assert found == (offset if offset > ring.end - RING_SIZE else None)

    def test_it_holds_64_and_the_end_goes_on(self) -> None:
        ring = numbered(70)
        assert (len(ring.marks), ring.end) == (64, 70)
        assert ring.find(fingerprint("ann", "m6"), 0) is None
        assert ring.find(fingerprint("ann", "m7"), 0) == 7

    def test_of_what_is_older_than_six_minutes_it_keeps_one(self) -> None:
        ring = numbered(3, at_s=NOW_S - 361).extended([publication("m4")], NOW_S - 360)
        assert len(ring.extended([publication("m5")], NOW_S - 1).marks) == 5
        later = ring.extended([publication("m5")], NOW_S)
        assert ([at_s - NOW_S for _, at_s in later.marks], later.end) == ([-361, -360, 0], 5)
        assert later.reaches(NOW_S - 360)
        assert not later.reaches(NOW_S - 361)
        assert later.find(fingerprint("ann", "m4"), 0) == 4
        assert len(later.extended([publication("m6")], NOW_S + 100_000).marks) == 2

    def test_what_is_too_old_is_not_found(self) -> None:
        ring = numbered(3, at_s=NOW_S)
        assert ring.find(fingerprint("ann", "m2"), NOW_S) == 2
        assert ring.find(fingerprint("ann", "m2"), NOW_S + 1) is None

    def test_of_two_the_newest_is_found(self) -> None:
        """An id may come again when its 5 minutes are over: the repeat of that one is meant."""
        again = numbered(3).extended([publication("m1")], NOW_S + 400)
        assert again.find(fingerprint("ann", "m1"), NOW_S) == 4

    def test_it_reaches_back_as_far_as_nothing_has_fallen_out_of_it(self) -> None:
        assert Ring().reaches(0)
        assert numbered(64).reaches(0)
        full = numbered(65, at_s=NOW_S)
        assert full.reaches(NOW_S + 1)
        assert not full.reaches(NOW_S)  # what fell out may be of the same second


class TestRoundTrip:
    @given(batches=batches, now_s=st.integers(NOW_S, NOW_S + 600))
    def test_a_stored_ring_serves_the_next_writer_as_the_first_one_did(
        self, batches: list[list[Priority]], now_s: int
    ) -> None:
        for segment in grown(batches):
            at_s = segment.appended_at_ms // 1000
            stored = Ring.from_bytes(segment.ring.to_bytes(at_s), at_s=at_s, end=segment.last)
            assert stored == segment.ring
            more = some(["normal"], segment.last + 1)
            assert stored.extended(more, now_s) == segment.ring.extended(more, now_s)
