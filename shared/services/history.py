"""Read streams: what a reader missed (whole, or not at all), the latest publications, pages of history."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any, Final

from shared.domain.publication import Entry, StreamPosition
from shared.domain.segment import Segment
from shared.ports import StreamStore
from shared.protocol.encode import to_json
from shared.services.streams import StreamEnd, Streams

# Publications of one result take at most this, so that the reply around them stays under 32,000 bytes.
PAGE_MAX_BYTES: Final = 30_000


@dataclass(frozen=True, slots=True)
class Page:
    """Publications, as ``event`` pushes without their type, and whether there are more."""

    publications: list[dict[str, Any]]
    more: bool
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """The answer to "what did I miss?".

    Attributes:
        whole: The page is everything since, or its gapless beginning.
    """

    position: StreamPosition
    whole: bool
    page: Page


NOTHING: Final = Page([], False, 0)


@dataclass(frozen=True, slots=True)
class History:
    """Reads of channels' streams."""

    streams: Streams

    @property
    def _store(self) -> StreamStore:
        return self.streams.store

    def recover(self, channel: str, since: StreamPosition, *, max_bytes: int = PAGE_MAX_BYTES) -> Recovered:
        """Return everything after ``since``, or its gapless beginning, or refuse: never a part with a hole in it."""
        end = self.streams.end(channel)
        position = self.streams.position(end)
        missed = end.tail.end - since.offset
        if since.epoch != position.epoch or not 0 <= missed <= self._recovery_limit(channel):
            return Recovered(position, False, NOTHING)
        if not missed:
            return Recovered(position, True, NOTHING)
        entries = _gapless(self._kept_after(channel, end, since.offset), since.offset + 1)
        page = _fit(entries, channel, position.epoch, missed, max_bytes)
        if not page.more and len(page.publications) < missed:
            return Recovered(position, False, NOTHING)
        return Recovered(position, True, page)

    def latest(self, channel: str, count: int, *, max_bytes: int = PAGE_MAX_BYTES) -> tuple[StreamPosition, Page]:
        """Return the newest ``count`` publications in ascending order: fewer if they don't fit."""
        end = self.streams.end(channel)
        # Not one entry beyond ``count`` is looked at: most subscribe without history, and reading is paid for by size.
        entries = islice(self._kept_before(channel, end, end.tail.end + 1), count)
        page = _fit(entries, channel, self._epoch(end), count, max_bytes)
        return self.streams.position(end), Page(page.publications[::-1], False, page.size_bytes)

    def read(
        self, channel: str, since: StreamPosition | None, *, limit: int, reverse: bool
    ) -> tuple[StreamPosition, Page]:
        """Return a page of what is kept: after ``since`` ascending, or before it descending.

        A reader whose ``since`` is of another epoch gets nothing but the position, and sees by it that it starts over.
        A channel that never was is an empty stream.
        """
        end = self.streams.existing_end(channel)
        if end is None:
            return StreamPosition(self.streams.wire_epoch(""), 0), NOTHING
        position = self.streams.position(end)
        if since is not None and since.epoch != position.epoch:
            return position, NOTHING
        if reverse:
            entries = self._kept_before(channel, end, since.offset if since else end.tail.end + 1)
        else:
            entries = self._kept_after(channel, end, since.offset if since else 0)
        return position, _fit(entries, channel, position.epoch, limit, PAGE_MAX_BYTES)

    def between(self, channel: str, end: StreamEnd, after: int, last: int) -> list[Entry]:
        """Return what is kept after one offset up to another."""
        return list(takewhile(lambda entry: entry.offset <= last, self._kept_after(channel, end, after)))

    def behind(self, channel: str, known: StreamPosition) -> StreamPosition | None:
        """Return the stream's end if it goes further than ``known``, or is another stream's."""
        end = self.streams.existing_end(channel)
        position = self.streams.position(end) if end else StreamPosition(self.streams.wire_epoch(""), 0)
        return position if position != known else None

    def _kept_after(self, channel: str, end: StreamEnd, offset: int) -> Iterator[Entry]:
        oldest = self._oldest(channel, end)
        start = max(offset + 1, oldest)
        for segment in self._store.forward(channel, end.stream.epoch, start):
            if self._served(segment):
                yield from (entry for entry in segment.entries() if start <= entry.offset <= end.tail.end)

    def _kept_before(self, channel: str, end: StreamEnd, offset: int) -> Iterator[Entry]:
        oldest = self._oldest(channel, end)
        if offset <= 1:
            return
        segments = self._store.backward(channel, end.stream.epoch, min(offset - 1, end.tail.end))
        for segment in takewhile(self._served, segments):
            for entry in reversed(segment.entries()):
                if entry.offset < oldest:
                    return
                if entry.offset < offset and entry.offset <= end.tail.end:
                    yield entry

    def _served(self, segment: Segment) -> bool:
        return segment.served(self.streams.now_ms() // 1000)

    def _oldest(self, channel: str, end: StreamEnd) -> int:
        return max(1, end.tail.end - self.streams.namespaces.of(channel).history_count + 1)

    def _recovery_limit(self, channel: str) -> int:
        return self.streams.namespaces.of(channel).recovery_limit

    def _epoch(self, end: StreamEnd) -> str:
        return self.streams.wire_epoch(end.stream.epoch)


def _gapless(entries: Iterable[Entry], first: int) -> Iterator[Entry]:
    """Yield entries as long as each stands right behind the one before it, the first at ``first``."""
    return (entry for _, entry in takewhile(lambda pair: pair[0] == pair[1].offset, enumerate(entries, first)))


def _fit(entries: Iterable[Entry], channel: str, epoch: str, limit: int, max_bytes: int) -> Page:
    """Take entries up to ``limit`` and ``max_bytes``."""
    publications: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        event = entry.to_event(channel, epoch)
        del event["type"]
        event_bytes = len(to_json(event)) + 1
        if len(publications) == limit or size + event_bytes > max_bytes:
            return Page(publications, True, size)
        publications.append(event)
        size += event_bytes
    return Page(publications, False, size)
