"""Tell a channel's positioned subscribers what is published: in order, each publication once, or not at all any more.

One at a time tells a shard, and notes how far. What it finds missing in front of its own it reads in the log. Who can't
be told is taken out at once: a later publication would hide from its client that it lacks one.
"""

import random
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.publication import StreamPosition
from shared.domain.telling import ALIVE_S, Positioned
from shared.errors import UnavailableError
from shared.ports import Telling
from shared.protocol.centrifugo.replies import as_text
from shared.protocol.limits import HISTORY_MAX_LIMIT
from shared.services.history import History

# Who has died with the turn keeps others from it no longer.
_TURN_MS: Final = ALIVE_S * 1000
# A turn is a push to each and two writes. Whoever waits longer than this altogether does so in the delivery queue.
_PAUSES_S: Final = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64)

_NOWHERE: Final = StreamPosition("", 0)

Frame = Mapping[str, Any]
# Pushes these frames to these connections; returns those that may be there and did not take them.
Push = Callable[[Sequence[str], Sequence[Frame]], Collection[str]]


@dataclass(frozen=True, slots=True)
class _Events:
    """Publications by their offsets; all up to ``top`` that a subscriber at a start needs, or it is not among these."""

    by_offset: Mapping[int, Frame]
    top: int

    def behind(self, start: int) -> list[Frame] | None:
        """Return all behind a start, or ``None`` if some are not there."""
        wanted = range(start + 1, self.top + 1)
        return [self.by_offset[n] for n in wanted] if all(n in self.by_offset for n in wanted) else None


@dataclass(frozen=True, slots=True)
class InOrder:
    """Tells positioned subscribers.

    Attributes:
        on_failure: Is told of a channel where it could not be noted that somebody has been told.
    """

    telling: Telling
    history: History
    executor: Executor
    sleep: Callable[[float], None]
    now_ms: Callable[[], int]
    on_failure: Callable[[str, Exception], None]
    uniform: Callable[[float, float], float] = random.uniform

    def tell(self, channel: str, shard: int, events: Sequence[Frame], push: Push) -> Sequence[str]:
        """Have a shard be told all up to these, or with none to the end of the log; return who can't be any more.

        Raises:
            UnavailableError: It is always somebody else's turn.
        """
        holder = secrets.token_urlsafe(12)
        last = max((event["offset"] for event in events), default=None)
        for pause_s in (*_PAUSES_S, None):
            turn = self.telling.take(channel, shard, holder=holder, until_ms=self.now_ms() + _TURN_MS)
            if turn.taken:
                break
            at = turn.position
            if last is not None and at and at.epoch == events[0]["epoch"] and at.offset >= last:
                return ()  # somebody has told them what came before together with these
            if pause_s is None:
                raise UnavailableError("others are telling this channel", retry_after_ms=1000)
            self.sleep(self.uniform(pause_s / 2, pause_s))
        told: StreamPosition | None = None
        try:
            told, lost = self._tell(channel, shard, turn.position, events, push)
        finally:
            self.telling.end(channel, shard, holder=holder, position=told)
        return lost

    def _tell(
        self, channel: str, shard: int, at: StreamPosition | None, events: Sequence[Frame], push: Push
    ) -> tuple[StreamPosition | None, Sequence[str]]:
        subscribers = self.telling.positioned(channel, shard)
        if not subscribers:
            return None, ()
        target = self._target(channel, events)
        if at is not None and at.epoch == target.epoch and at.offset > target.offset:
            target = at
        starts = {one: _start(one, at, target.epoch) for one in subscribers}
        known = self._known(channel, target, events, [start for start in starts.values() if start is not None])
        lost: list[Positioned] = [one for one, start in starts.items() if start is None]
        alike = {(start, one.fossil) for one, start in starts.items() if start is not None and start < known.top}
        for start, fossil in alike:
            group = [one for one in subscribers if (starts[one], one.fossil) == (start, fossil)]
            frames = known.behind(start)
            failed = {one.connection_id for one in group}
            if frames is not None:
                failed = set(push([one.connection_id for one in group], as_text(frames) if fossil else frames))
            lost += [one for one in group if one.connection_id in failed]
            told = [one for one in group if one.connection_id not in failed and one.since is not None]
            self._mark_told(channel, shard, told)
        for _ in self.executor.map(lambda one: self.telling.stop(channel, shard, one), lost):
            pass  # what it raises is raised here: who is not out must not be told anything later
        return StreamPosition(target.epoch, known.top), [one.connection_id for one in lost]

    def _target(self, channel: str, events: Sequence[Frame]) -> StreamPosition:
        if not events:
            return self.history.read(channel, _NOWHERE, limit=0, reverse=False)[0]
        return StreamPosition(events[0]["epoch"], max(event["offset"] for event in events))

    def _known(self, channel: str, target: StreamPosition, events: Sequence[Frame], starts: Sequence[int]) -> _Events:
        """Return what is to be told: these events where they are enough, else what the log has, to its end."""
        by_offset = {event["offset"]: event for event in events if event["epoch"] == target.epoch}
        # Who is further behind is to recover: that has the same limit.
        floor = target.offset - HISTORY_MAX_LIMIT
        lowest = min((start for start in starts if start >= floor), default=target.offset)
        if all(offset in by_offset for offset in range(lowest + 1, target.offset + 1)):
            return _Events(by_offset, target.offset)
        logged = {event["offset"]: event for event in self._logged(channel, StreamPosition(target.epoch, lowest))}
        return _Events(logged, max((target.offset, *logged)))

    def _logged(self, channel: str, since: StreamPosition) -> Iterator[Frame]:
        while True:
            _, page = self.history.read(channel, since, limit=HISTORY_MAX_LIMIT, reverse=False)
            for publication in page.publications:
                since = StreamPosition(since.epoch, publication["offset"])
                yield {"type": "event", **publication}
            if not page.more:
                return

    def _mark_told(self, channel: str, shard: int, told: Sequence[Positioned]) -> None:
        def mark(one: Positioned) -> Exception | None:
            try:
                self.telling.mark_told(channel, shard, one)
            except Exception as error:  # it is told the same again next time: better than all the others, too
                return error
            return None

        errors = [error for error in self.executor.map(mark, told) if error]
        for error in {type(error): error for error in errors}.values():  # hundreds may have the same
            self.on_failure(channel, error)


def _start(one: Positioned, at: StreamPosition | None, epoch: str) -> int | None:
    """Return up to where it has been told; ``None``: of this stream that is not known."""
    place = (one.since or at) if one.started else None
    return place.offset if place is not None and place.epoch == epoch else None
