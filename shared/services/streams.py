"""Streams and their ends: which stream a channel has, where it ends, and when a new one begins."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from shared.domain.publication import StreamPosition
from shared.domain.segment import Segment, Tail
from shared.errors import ContentionError
from shared.namespaces import Namespaces
from shared.ports import Stream, StreamConflictError, StreamStore

# Younger segments than this are never deleted, so a stream used for less can't be lost: its first one is on its way.
_LOSS_AGE_MS: Final = 600_000
_OPEN_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The current stream of a channel and where it ends."""

    stream: Stream
    tail: Tail


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

    def wire_epoch(self, epoch: str) -> str:
        """Return the epoch as clients see it."""
        return f"{self.generation}-{epoch}"

    def position(self, end: StreamEnd) -> StreamPosition:
        """Return the position of the stream's end, as clients see it."""
        return StreamPosition(self.wire_epoch(end.stream.epoch), end.tail.end)

    def existing_end(self, channel: str) -> StreamEnd | None:
        """As :meth:`end`, but open nothing: ``None`` if the channel never had a stream."""
        stream = self.store.stream(channel)
        return self._end(channel, stream) if stream else None

    def end(self, channel: str) -> StreamEnd:
        """Return the current stream and its end; open a stream where there is none.

        Raises:
            ContentionError: The stream was replaced again and again meanwhile.
        """
        return self._end(channel, self.store.stream(channel) or self._open(channel, replaces=None))

    def mark_used(self, channel: str, stream: Stream) -> Stream:
        """Note, before a stream's first segment is put, that an empty stream from now on is a lost one."""
        if stream.used_at_ms is not None:
            return stream
        return self.store.open(channel, replace(stream, used_at_ms=self.now_ms()), replaces=stream)

    def purge(self, channel: str) -> None:
        """End the channel's stream: a seal stops its writers, and a new epoch begins."""
        for _ in range(_OPEN_TRIES):
            stream = self.store.stream(channel)
            if stream is None:
                return
            newest = self.store.newest(channel, stream.epoch)
            try:
                if newest is None or not newest.seal:
                    self._put_seal(channel, stream, newest.tail() if newest else Tail())
            except StreamConflictError:
                continue  # somebody appended just now: seal behind that
            self._open(channel, replaces=stream)
            return
        raise ContentionError("the channel is too busy to be purged", retry_after_ms=1000)

    def expires_at_s(self, channel: str) -> int:
        """Return until when a segment appended now is kept."""
        return self.now_ms() // 1000 + self.namespaces.of(channel).history_ttl_s

    def _end(self, channel: str, stream: Stream) -> StreamEnd:
        for _ in range(_OPEN_TRIES):
            newest = self.store.newest(channel, stream.epoch)
            if newest is not None and not newest.seal:
                return StreamEnd(stream, newest.tail())
            if newest is None:
                if not self._lost(stream):
                    return StreamEnd(stream, Tail())
                self._seal(channel, stream)
            stream = self._open(channel, replaces=stream)
        raise ContentionError("the stream keeps being replaced", retry_after_ms=1000)

    def _lost(self, stream: Stream) -> bool:
        return stream.used_at_ms is not None and self.now_ms() - stream.used_at_ms > _LOSS_AGE_MS

    def _seal(self, channel: str, stream: Stream) -> None:
        try:
            self._put_seal(channel, stream, Tail())
        except StreamConflictError as conflict:
            if not conflict.segment.seal:
                raise ContentionError("the stream came back", retry_after_ms=100) from None

    def _put_seal(self, channel: str, stream: Stream, tail: Tail) -> None:
        seal = tail.grow((), now_ms=self.now_ms(), expires_at_s=self.expires_at_s(channel))
        self.store.append(channel, stream.epoch, seal)

    def _open(self, channel: str, *, replaces: Stream | None) -> Stream:
        fresh = Stream(epoch=secrets.token_urlsafe(8))
        return self.store.open(channel, fresh, replaces=replaces)


def conflict_end(end: StreamEnd, segment: Segment) -> StreamEnd:
    """Return the end that a writer learns from what stands in its way."""
    return StreamEnd(end.stream, segment.tail())
