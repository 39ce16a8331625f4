"""Publish what comes together: in order, and with a tenth of the calls to a lane or to the log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from shared.errors import InternalError, TidewireError
from shared.ports import LANE_BATCH_MAX, Lane
from shared.services.append import SEGMENT_MAX_BYTES, size_of
from shared.services.publish import Admitted, Published, Publishing

Way = tuple[Lane | None, str]  # a lane, or past the lanes into a channel


@dataclass(slots=True)
class PublishBatch:
    """The publications of one batch of frames. Those that go the same way and follow each other go up to ten at a time.

    Once one of a channel fails that may succeed later, the later ones of that channel fail with it: they would overtake
    it if they were tried.

    Attributes:
        check: Raises where they may not go any more: until the last is admitted it can take a while.
    """

    publishing: Publishing
    check: Callable[[], object] = lambda: None
    _way: Way | None = None  # of those that wait
    _waiting: list[tuple[int, Admitted]] = field(default_factory=list)
    _waiting_bytes: int = 0
    _held: dict[str, TidewireError] = field(default_factory=dict)
    _outcomes: dict[int, Published | Exception] = field(default_factory=dict)

    def add(self, place: int, channel: str | None, admit: Callable[[], Admitted]) -> None:
        """Take the next one; what became of it is known when all are finished.

        Args:
            place: Its place among the frames.
            channel: Where it has an order; ``None`` is a place without one.
            admit: Admits it, or raises.
        """
        try:
            self._check(channel)
            admitted = admit()
            if channel is None:
                if self._way and not self._way[0]:
                    self.send()  # no lane is between them: so that it does not overtake what stands before it
                self.check()
                self._outcomes[place] = self.publishing.deliver(admitted)
            else:
                self._wait(place, admitted)
        except Exception as error:  # among the outcomes
            self._fail(place, channel, error)
        if len(self._waiting) == LANE_BATCH_MAX:
            self.send()

    def finish(self) -> dict[int, Published | Exception]:
        """Return what became of each, by its place."""
        self.send()
        return self._outcomes

    def send(self) -> None:
        """Let go what waits."""
        if self._way is None:
            return
        (lane, channel), self._way = self._way, None
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        together = [one for _, one in waiting]
        outcomes: Sequence[Published | Exception]
        try:
            self.check()
            outcomes = self.publishing.enqueue(lane, together) if lane else self.publishing.express(channel, together)
        except TidewireError as error:  # among the outcomes, as the next
            outcomes = [error] * len(waiting)
        except Exception as error:
            outcomes = [error, *[InternalError()] * (len(waiting) - 1)]  # a fault is to be logged once
        for (place, one), outcome in zip(waiting, outcomes, strict=True):
            if isinstance(outcome, Exception):
                self._fail(place, one.channel, outcome)
            else:
                self._outcomes[place] = outcome

    def _wait(self, place: int, admitted: Admitted) -> None:
        way = (admitted.lane, "" if admitted.lane else admitted.channel)
        size = 0 if admitted.lane else size_of(admitted.publication)  # lanes know their own limit
        if way != self._way or self._waiting_bytes + size > SEGMENT_MAX_BYTES:
            self.send()
            self._check(admitted.channel)
        self._way = way
        self._waiting.append((place, admitted))
        self._waiting_bytes += size

    def _check(self, channel: str | None) -> None:
        if channel in self._held:
            raise self._held[channel]

    def _fail(self, place: int, channel: str | None, error: Exception) -> None:
        self._outcomes[place] = error
        told = error if isinstance(error, TidewireError) else InternalError()
        if channel is not None and told.temporary:
            self._held.setdefault(channel, told)
