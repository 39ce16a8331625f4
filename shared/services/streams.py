"""Streams and their ends: which stream a channel has, where it ends, and when a new one begins."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from shared.domain.publication import StreamPosition
from shared.domain.segment import KEPT_AFTER_S, Ring, Segment, Tail
from shared.errors import ContentionError
from shared.namespaces import Namespaces
from shared.ports import Stream, StreamConflictError, StreamStore

# Younger segments than this are never deleted, so a stream used for less can't be lost: its first one is on its way.
_LOSS_AGE_MS: Final = 600_000
_OPEN_TRIES: Final = 20
# How long a process trusts what it has read of a channel's stream: far below the 10 minutes that a segment is kept, and
# with it the seal at which whoever trusts too long finds out.
_TRUST_MS: Final = 60_000
_REMEMBERED: Final = 1_000


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The current stream of a channel and where it ends.

    Attributes:
        older: The rings of segments before the last, newest first, as far as they were read with it.
    """

    stream: Stream
    tail: Tail
    older: tuple[Ring, ...] = ()


@dataclass(frozen=True, slots=True)
class Streams:
    """Opens streams, finds their ends, replaces those that were sealed or that time has deleted.

    Attributes:
        generation: The stage's, raised after a restore, since a restored table would use offsets again.
    """

    store: StreamStore
    namespaces: Namespaces
    now_ms: Callable[[], int]
    generation: int = 1
    _known: OrderedDict[str, tuple[Stream, int]] = field(default_factory=OrderedDict)

    def wire_epoch(self, epoch: str) -> str:
        """Return the epoch as clients see it."""
        return f"{self.generation}-{epoch}"

    def position(self, end: StreamEnd) -> StreamPosition:
        """Return the position of the stream's end, as clients see it."""
        return StreamPosition(self.wire_epoch(end.stream.epoch), end.tail.end)

    def existing_end(self, channel: str) -> StreamEnd | None:
        """As :meth:`end`, but ``None`` for a channel that never had a stream.

        One that ended is replaced here too: only a seal makes sure that nobody puts anything behind it any more, and
        only a new epoch tells those who know it that it goes on no further.
        """
        stream = self._stream(channel)
        return self.end_of(channel, stream) if stream else None

    def end(self, channel: str) -> StreamEnd:
        """Return the current stream and its end; open a stream where there is none.

        Raises:
            ContentionError: The stream was replaced again and again meanwhile.
        """
        return self.end_of(channel, self._stream(channel) or self._open(channel, replaces=None))

    def end_of(self, channel: str, stream: Stream, *, segments: int = 1) -> StreamEnd:
        """As :meth:`end`, for a stream that was the channel's a moment ago: if it ended, of the one that came after.

        Reads the last ``segments`` of it at once, or as many as one read gives.
        """
        for _ in range(_OPEN_TRIES):
            last = self.store.newest(channel, stream.epoch, segments)
            newest = last[0] if last else None
            if newest is None and not self._lost(stream):
                return StreamEnd(stream, Tail())
            if newest is None or not newest.seal:
                # TTL deletes in no order: once it may, what is the newest now need not have been the stream's end.
                if newest is not None and newest.served(self.now_ms() // 1000):
                    return StreamEnd(stream, newest.tail(), tuple(segment.ring for segment in last[1:]))
                try:
                    self._put_seal(channel, stream, newest.tail() if newest else Tail())
                except StreamConflictError:
                    continue  # somebody was faster, with a seal or a segment: look again
            stream = self._open(channel, replaces=stream)
        raise ContentionError("the stream keeps being replaced", retry_after_ms=1000)

    def mark_used(self, channel: str, stream: Stream) -> Stream:
        """Note, before a stream's first segment is put, that an empty stream from now on is a lost one."""
        if stream.used_at_ms is not None:
            return stream
        return self._remember(
            channel, self.store.open(channel, replace(stream, used_at_ms=self.now_ms()), replaces=stream)
        )

    def purge(self, channel: str) -> None:
        """End the channel's stream: a seal stops its writers, and a new epoch begins."""
        for _ in range(_OPEN_TRIES):
            stream = self.store.stream(channel)
            if stream is None:
                return
            newest = next(iter(self.store.newest(channel, stream.epoch)), None)
            try:
                if newest is None or not newest.seal:
                    self._put_seal(channel, stream, newest.tail() if newest else Tail())
            except StreamConflictError:
                continue  # somebody appended just now: seal behind that
            self._open(channel, replaces=stream)
            return
        raise ContentionError("the channel is too busy to be purged", retry_after_ms=1000)

    def expires_at_s(self, channel: str) -> int:
        """Return when TTL may delete a segment appended now: it stands a little longer than it is served."""
        return self.now_ms() // 1000 + self.namespaces.of(channel).history_ttl_s + KEPT_AFTER_S

    def _lost(self, stream: Stream) -> bool:
        return stream.used_at_ms is not None and self.now_ms() - stream.used_at_ms > _LOSS_AGE_MS

    def _put_seal(self, channel: str, stream: Stream, tail: Tail) -> None:
        seal = tail.grow((), now_ms=self.now_ms(), expires_at_s=self.expires_at_s(channel))
        self.store.append(channel, stream.epoch, seal)

    def _open(self, channel: str, *, replaces: Stream | None) -> Stream:
        fresh = Stream(epoch=secrets.token_urlsafe(8))
        return self._remember(channel, self.store.open(channel, fresh, replaces=replaces))

    def _stream(self, channel: str) -> Stream | None:
        """Return the channel's stream, or the one that it had up to a minute ago: that one has a seal then."""
        known, at_ms = self._known.get(channel, (None, 0))
        if known is not None and self.now_ms() - at_ms < _TRUST_MS:
            return known
        stream = self.store.stream(channel)
        return self._remember(channel, stream) if stream else None

    def _remember(self, channel: str, stream: Stream) -> Stream:
        self._known.pop(channel, None)  # it goes to the end in one step, since threads share it
        self._known[channel] = stream, self.now_ms()
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return stream


def conflict_end(end: StreamEnd, segment: Segment) -> StreamEnd:
    """Return the end that a writer learns from what stands in its way."""
    return StreamEnd(end.stream, segment.tail())
