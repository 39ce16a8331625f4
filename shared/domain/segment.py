"""Segments of a stream's log, and the tail from which the next one grows (docs/data-model.md, "Streams").

The put of a segment *is* the allocation of its offsets: there is no counter. So a segment carries all that the writer
of the next one needs to know: where it ends, the last offset of each priority, and a ring of what was published last.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from shared.domain.publication import PRIORITIES, Entry, Publication, fingerprint

SEGMENT_MAX_PUBLICATIONS: Final = 10
RING_SIZE: Final = 64
# What is older is looked for by nobody, unless it waited for as long in its lane: without it a quiet channel's segment
# takes one write unit, not two. It is a minute more than a repeat is known (shared/services/append.py).
RING_KEPT_S: Final = 360
_RING_ENTRY = struct.Struct(">8sH")  # fingerprint, age in seconds at the segment's time
_AGE_MAX_S: Final = 0xFFFF
# What nobody is served from any more stands for this long: whoever has just read it as the end may put behind it.
KEPT_AFTER_S: Final = 60
NO_TAILS: Final = (0,) * len(PRIORITIES)


@dataclass(frozen=True, slots=True)
class Ring:
    """Fingerprints of the last publications, oldest first; the last one's offset is the stream's end.

    Attributes:
        marks: ``(fingerprint, appended_at_s)`` pairs, at most 64: those of the last 6 minutes, and one before.
        end: Offset of the last mark.
    """

    marks: tuple[tuple[bytes, int], ...] = ()
    end: int = 0

    @property
    def start(self) -> int:
        """Offset before the first mark."""
        return self.end - len(self.marks)

    def find(self, mark: bytes, not_before_s: int) -> int | None:
        """Return the offset of the newest publication with this fingerprint appended at or after ``not_before_s``."""
        for index in range(len(self.marks) - 1, -1, -1):
            found, at_s = self.marks[index]
            if found == mark and at_s >= not_before_s:
                return self.end - (len(self.marks) - 1 - index)
        return None

    def reaches(self, since_s: int) -> bool:
        """Tell whether all that was appended at or after ``since_s`` is here."""
        return len(self.marks) >= self.end or (bool(self.marks) and self.marks[0][1] < since_s)

    def extended(self, publications: Sequence[Publication], at_s: int) -> "Ring":
        """Return the ring after these were appended."""
        new = tuple((fingerprint(p.user_id, p.message_id), at_s) for p in publications)
        old = sum(1 for _ in takewhile(lambda mark: mark[1] < at_s - RING_KEPT_S, self.marks))
        # One of the old ones stays: it tells that all that was appended behind it is here.
        return Ring((self.marks[max(old - 1, 0) :] + new)[-RING_SIZE:], self.end + len(publications))

    def to_bytes(self, at_s: int) -> bytes:
        """Pack it: 10 bytes a mark, its time as the age at ``at_s``, 18 hours at most."""
        return b"".join(
            _RING_ENTRY.pack(mark, min(max(at_s - marked_at_s, 0), _AGE_MAX_S)) for mark, marked_at_s in self.marks
        )

    @classmethod
    def from_bytes(cls, packed: bytes, *, at_s: int, end: int) -> "Ring":
        """Read what :meth:`to_bytes` wrote."""
        return cls(tuple((mark, at_s - age_s) for mark, age_s in _RING_ENTRY.iter_unpack(packed)), end)


@dataclass(frozen=True, slots=True)
class Segment:
    """1 to 10 publications that were appended together; without publications, a seal.

    A seal stands where the next segment would stand: whoever tries to append to an ended stream runs into it.

    Attributes:
        first: Offset of the first publication.
        tails_before: Last offset of each priority before this segment, in the order of ``PRIORITIES``.
        ring: As it is *after* this segment.
        appended_at_ms: When, Unix milliseconds, by the writer's clock.
        expires_at_s: From then on TTL may delete it; never sooner than what stands before it in the stream. So as long
            as a stream's newest segment is served, nothing has ever stood behind it.
    """

    first: int
    publications: tuple[Publication, ...]
    tails_before: tuple[int, ...]
    ring: Ring
    appended_at_ms: int
    expires_at_s: int

    @property
    def last(self) -> int:
        """Offset of the last publication."""
        return self.first + len(self.publications) - 1

    @property
    def seal(self) -> bool:
        """Whether the stream ends here for good."""
        return not self.publications

    def served(self, now_s: int) -> bool:
        """Tell whether readers still get what it holds. TTL deletes late, up to days.

        Source: docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
        """
        return now_s < self.expires_at_s - KEPT_AFTER_S

    def entries(self) -> list[Entry]:
        """Return the publications with their places."""
        tails, entries = list(self.tails_before), []
        for offset, publication in enumerate(self.publications, self.first):
            lane = PRIORITIES.index(publication.priority)
            entries.append(Entry(publication, offset, tails[lane]))
            tails[lane] = offset
        return entries

    def tail(self) -> "Tail":
        """Return where the next segment begins."""
        tails = list(self.tails_before)
        for entry in self.entries():
            tails[PRIORITIES.index(entry.publication.priority)] = entry.offset
        return Tail(self.last, tuple(tails), self.ring, self.expires_at_s)


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a stream, as far as the next writer needs it.

    Attributes:
        expires_at_s: Of the last segment.
    """

    end: int = 0
    tails: tuple[int, ...] = NO_TAILS
    ring: Ring = Ring()
    expires_at_s: int = 0

    def grow(self, publications: Sequence[Publication], *, now_ms: int, expires_at_s: int) -> Segment:
        """Return the segment that would stand next; without publications, the seal.

        It expires at ``expires_at_s``, or with the one before it if that is later.
        """
        return Segment(
            first=self.end + 1,
            publications=tuple(publications),
            tails_before=self.tails,
            ring=self.ring.extended(publications, now_ms // 1000),
            appended_at_ms=now_ms,
            expires_at_s=max(self.expires_at_s, expires_at_s),
        )
