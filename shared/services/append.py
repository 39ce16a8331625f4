"""Append publications to a channel's stream: each id once, offsets without holes, many writers at a time."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.domain.publication import Entry, Publication, StreamPosition, fingerprint
from shared.domain.segment import RING_SIZE, SEGMENT_MAX_PUBLICATIONS, Ring
from shared.errors import ContentionError
from shared.ports import Stream, StreamConflictError
from shared.protocol.encode import to_json
from shared.services.streams import StreamEnd, Streams, conflict_end

IDEMPOTENCY_WINDOW_S: Final = 300
# An event on the bus may take 256 KB (docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html): the
# publications of one segment, which are one event, stay below that with the fields around them.
SEGMENT_MAX_BYTES: Final = 200_000
# How long a writer trusts the end that it remembers: far below the 10 minutes that every segment is kept.
END_TRUST_MS: Final = 60_000
_ENDS_REMEMBERED: Final = 1_000
_TRIES: Final = 100
_LEARNT_ENDS: Final = 2
_RATE_WINDOW_S: Final = 2  # 64 marks in a ring: rates up to 32 a second can be told
_CLOCK_MARGIN_S: Final = 5  # writers' clocks differ
# Further back than so many rings, about 1,700 publications, the log is read in pages. A ring by itself costs a unit and
# a round trip, a page up to 256 units: a busy channel's batches, which all have to look a bit back, can't afford those.
_RINGS_ALONE: Final = 36
# Asked for at multiples of this, the next search finds again what this one has read. The ring of a segment that holds
# one of them reaches back to before the one below: it has 64 marks, and ends at most 9 behind.
_RING_STEP: Final = 48
_RINGS_REMEMBERED: Final = 1_000  # about 8 KB each
# A writer that reads how far others have gone on has to look through that too: it reads so much of it at once, 1 MB at
# most, and the rest ring by ring.
_SEGMENTS_ALONG: Final = 16


@dataclass(frozen=True, slots=True)
class Submission:
    """A publication on its way into the log.

    Attributes:
        uncertain: It may have been appended before it was taken: its client says that it is a repeat.
    """

    publication: Publication
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Appended:
    """Where the submissions stand now, in the order in which they were given; repeats stand where they stood.

    Attributes:
        offsets: The place of each.
        entries: What stands there. A repeat may be all that is left: what has gone from the log since has no entry, and
            nobody need be told of it.
        repeats: How many of them were repeats.
    """

    epoch: str
    offsets: tuple[int, ...]
    entries: tuple[Entry, ...]
    repeats: int = 0

    @property
    def ordered(self) -> list[Entry]:
        """What stands there, each once, in the stream's order."""
        entries = {entry.offset: entry for entry in self.entries}
        return [entries[offset] for offset in sorted(entries)]

    def position(self, index: int) -> StreamPosition:
        """Return the place of one submission."""
        return StreamPosition(self.epoch, self.offsets[index])


@dataclass(frozen=True, slots=True)
class _Known:
    """What a writer has found out about its submissions.

    Attributes:
        up_to: None of the others stands in the stream up to this offset. What lies there never changes.
        offsets: Where those stand that are in the stream, by their fingerprints.
    """

    epoch: str = ""
    up_to: int = 0
    offsets: Mapping[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Remembered:
    """The end of a stream as this process put it.

    Attributes:
        others_per_s: How many publications a second others had appended since it put the one before.
    """

    end: StreamEnd
    at_ms: int
    others_per_s: float


@dataclass(slots=True)
class Append:
    """The writer of streams. One object per process: it remembers where streams end."""

    streams: Streams
    _ends: OrderedDict[str, _Remembered] = field(default_factory=OrderedDict)
    _rings: OrderedDict[tuple[str, str, int], Ring] = field(
        default_factory=OrderedDict
    )  # of segments, which never change

    def execute(self, channel: str, submissions: Sequence[Submission]) -> Appended:
        """Append at most 10 publications as one segment, less those whose id is in the stream already.

        Idempotent for 5 minutes per channel, user and message id, from when the server takes one to when it takes its
        repeat.

        Raises:
            ContentionError: Other writers were always faster.
        """
        if not 0 < len(submissions) <= SEGMENT_MAX_PUBLICATIONS:
            raise ValueError("a segment holds 1 to 10 publications")
        end = self._end(channel)
        known, learnt = _Known(), 0
        for _ in range(_TRIES):
            self._keep(channel, end.stream.epoch, end.tail.ring)
            known = self._known(channel, end, submissions, known)
            fresh = _first_of_each(s.publication for s in submissions if _mark(s.publication) not in known.offsets)
            if not fresh:
                return self._answer(channel, end, submissions, known.offsets, {})
            try:
                placed = self._put(channel, end, fresh)
            except StreamConflictError as conflict:
                # The loser learns the winner's end from the failure; one that lags far behind reads the newest. Then
                # it learns again: to read takes longer than to try, and in that time others are faster once more.
                learnt = 0 if conflict.segment.seal or learnt == _LEARNT_ENDS else learnt + 1
                end = conflict_end(end, conflict.segment) if learnt else self._read_end(channel, end.stream)
            else:
                return self._answer(channel, end, submissions, known.offsets, placed)
        raise ContentionError("too many writers in this channel", retry_after_ms=200)

    def rate_per_s(self, channel: str) -> float:
        """Return how many publications a second this process saw appended lately; 0 where it remembers none."""
        remembered = self._remembered(channel)
        since_s = self.streams.now_ms() // 1000 - _RATE_WINDOW_S
        marks = remembered.end.tail.ring.marks if remembered else ()
        return sum(at_s >= since_s for _, at_s in marks) / _RATE_WINDOW_S

    def _put(self, channel: str, end: StreamEnd, fresh: Sequence[Publication]) -> dict[bytes, Entry]:
        # Should the stream have been replaced meanwhile, its seal stands in the way below.
        stream = self.streams.mark_used(channel, end.stream)
        now_ms = self.streams.now_ms()
        segment = end.tail.grow(fresh, now_ms=now_ms, expires_at_s=self.streams.expires_at_s(channel))
        self.streams.store.append(channel, end.stream.epoch, segment)
        self._remember(channel, end, StreamEnd(stream, segment.tail()))
        return {_mark(entry.publication): entry for entry in segment.entries()}

    def _known(self, channel: str, end: StreamEnd, submissions: Sequence[Submission], before: _Known) -> _Known:
        """Return which are in the stream already. What was known ``before`` is not looked for again."""
        if before.epoch != end.stream.epoch:
            before = _Known(end.stream.epoch)
        known = dict(before.offsets)
        unsure: dict[bytes, int] = {}
        for submission in submissions:
            mark = _mark(submission.publication)
            if mark in known:
                continue
            # All counts from when the publication was taken. That may be long ago, where a lane had to wait for its
            # store, or was redriven. Since then, this very record may have been appended; up to the window's length
            # before, another with its id.
            taken_s = submission.publication.published_at_ms // 1000 - _CLOCK_MARGIN_S
            oldest_s = taken_s - IDEMPOTENCY_WINDOW_S
            offset = end.tail.ring.find(mark, oldest_s)
            if offset is not None:
                known[mark] = offset
                continue
            since_s = oldest_s if submission.uncertain else taken_s
            if not end.tail.ring.reaches(since_s) and end.tail.ring.start > before.up_to:
                unsure[mark] = min(since_s, unsure.get(mark, since_s))
        if unsure:
            known |= self._search(channel, end, unsure, before.up_to)
        return _Known(end.stream.epoch, end.tail.end, known)

    def _search(self, channel: str, end: StreamEnd, marks: Mapping[bytes, int], known_to: int) -> dict[bytes, int]:
        """Look for them in the log, ring by ring, each back to its own time, none further than ``known_to``."""
        found: dict[bytes, int] = {}
        oldest_s = min(marks.values())
        for ring in self._older_rings(channel, end):
            for mark in marks.keys() - found.keys():
                if (offset := ring.find(mark, marks[mark])) is not None:
                    found[mark] = offset
            if len(found) == len(marks) or ring.reaches(oldest_s) or ring.start <= known_to:
                break
        return found

    def _older_rings(self, channel: str, end: StreamEnd) -> Iterator[Ring]:
        """Yield what goes on below the end's ring. Two of them may overlap, which does no harm."""
        store, epoch = self.streams.store, end.stream.epoch
        ring, reads = end.tail.ring, 0
        while ring.start > 0:
            for offset in _places_below(ring):
                older = self._rings.get((channel, epoch, offset))
                if older is None or older.start >= ring.start:
                    if reads == _RINGS_ALONE:
                        yield from store.rings(channel, epoch, ring.start)
                        return
                    reads += 1
                    segment = store.holding(channel, epoch, offset)
                    if segment is None:
                        return
                    older = segment.ring
                    self._keep(channel, epoch, older)
                if older.start < ring.start:
                    ring = older
                    yield ring
                    break

    def _keep(self, channel: str, epoch: str, ring: Ring) -> None:
        """Remember a segment's ring if the segment holds a place at which rings are asked for, or ends close behind."""
        behind = ring.end % _RING_STEP
        if behind < SEGMENT_MAX_PUBLICATIONS:
            self._rings[channel, epoch, ring.end - behind] = ring
            if len(self._rings) > _RINGS_REMEMBERED:
                self._rings.popitem(last=False)

    def _answer(
        self,
        channel: str,
        end: StreamEnd,
        submissions: Sequence[Submission],
        known: Mapping[bytes, int],
        placed: dict[bytes, Entry],
    ) -> Appended:
        places = {**known} | {mark: entry.offset for mark, entry in placed.items()}
        offsets = tuple(places[_mark(submission.publication)] for submission in submissions)
        entries = {entry.offset: entry for entry in placed.values()}
        entries |= self._stored(channel, end, set(offsets) - entries.keys())
        return Appended(
            epoch=self.streams.wire_epoch(end.stream.epoch),
            offsets=offsets,
            entries=tuple(entries[offset] for offset in offsets if offset in entries),
            repeats=len(submissions) - len(placed),
        )

    def _stored(self, channel: str, end: StreamEnd, offsets: Iterable[int]) -> dict[int, Entry]:
        """Read what stands at these offsets, each segment once."""
        entries: dict[int, Entry] = {}
        for offset in offsets:
            if offset not in entries:
                segment = self.streams.store.holding(channel, end.stream.epoch, offset)
                entries |= {entry.offset: entry for entry in segment.entries()} if segment else {}
        return entries

    def _end(self, channel: str) -> StreamEnd:
        """Return the end that is remembered, unless others have probably gone on further than could be learnt."""
        remembered = self._remembered(channel)
        if remembered is None:
            return self.streams.end(channel)
        since_s = (self.streams.now_ms() - remembered.at_ms) / 1000
        # Their publications, that is: each may be a segment of its own, and to read costs no more than to learn once.
        others = remembered.others_per_s * since_s
        if others > _LEARNT_ENDS:
            return self._read_end(channel, remembered.end.stream, others)
        return remembered.end

    def _read_end(self, channel: str, stream: Stream, others: float = float("inf")) -> StreamEnd:
        """Read the end of a stream to which others have probably put so many, and of their segments the last few."""
        segments = min(1 + others / SEGMENT_MAX_PUBLICATIONS, _SEGMENTS_ALONG)
        end = self.streams.end_of(channel, stream, segments=int(segments))
        for ring in end.older:
            self._keep(channel, end.stream.epoch, ring)
        return end

    def _remembered(self, channel: str) -> _Remembered | None:
        remembered = self._ends.get(channel)
        trusted = remembered is not None and self.streams.now_ms() - remembered.at_ms < END_TRUST_MS
        return remembered if trusted else None

    def _remember(self, channel: str, before: StreamEnd, end: StreamEnd) -> None:
        """Remember the end that was just put behind the one ``before``."""
        now_ms, others_per_s = self.streams.now_ms(), 0.0
        last = self._ends.get(channel)
        if last is not None and last.end.stream.epoch == end.stream.epoch:
            others_per_s = (before.tail.end - last.end.tail.end) * 1000 / max(now_ms - last.at_ms, 1)
        self._ends.pop(channel, None)  # it goes to the end in one step, since threads share it
        self._ends[channel] = _Remembered(end, now_ms, others_per_s)
        if len(self._ends) > _ENDS_REMEMBERED:
            self._ends.popitem(last=False)


def size_of(publication: Publication) -> int:
    """Return how much of ``SEGMENT_MAX_BYTES`` it takes."""
    return len(to_json(publication.to_record()))


def _places_below(ring: Ring) -> tuple[int, ...]:
    """Return at which offsets to ask for a ring that goes on below this one; the last of them always has one.

    Where the channel was quiet, rings are shorter than the steps between the places that others ask for as well.
    """
    shared = -(-ring.start // _RING_STEP) * _RING_STEP
    return (shared, ring.start) if len(ring.marks) == RING_SIZE else (ring.start,)


def _mark(publication: Publication) -> bytes:
    return fingerprint(publication.user_id, publication.message_id)


def _first_of_each(publications: Iterable[Publication]) -> list[Publication]:
    first: dict[bytes, Publication] = {}
    for publication in publications:
        first.setdefault(_mark(publication), publication)
    return list(first.values())
