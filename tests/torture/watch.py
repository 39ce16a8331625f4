"""What the run itself sees of publications: how many are under way, and which can be repeated. Not for the checker."""

import asyncio
import heapq
import itertools
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.torture.journal import Journal

Event = Mapping[str, Any]
Message = tuple[str, str, str]  # channel, user, message id

# The promise is 5 minutes; a repeat is on its way for a while.
REPEATABLE_S: Final = 240
_KEPT: Final = 2_000
_HELD_BACK_EVERY: Final = 25


class Watch:
    """Every publication of a run.

    Attributes:
        under_way: Acknowledged, and not handed to its whole audience yet.
        settled: How many were acknowledged or given up.
        ends: The furthest offset that was handed to anybody, by channel.
        recent: Publications that were handed to somebody, the latest last.
    """

    def __init__(self, audience: int = 1) -> None:
        """Make one; ``audience`` is how many have to be handed a publication until it is not under way any more."""
        self._audience = audience
        self.under_way: set[Message] = set()
        self.ends: Counter[str] = Counter()
        self.recent: deque[Event] = deque(maxlen=_KEPT)
        self.handed = 0
        self.acknowledged = 0
        self.settled = 0
        self._seen: Counter[Message] = Counter()
        self._held_back: dict[str, deque[Event]] = {}
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    async def settled_more(self, count: int) -> None:
        """Return when so many more are settled: what goes wrong keeps pace with what goes on, however slow that is."""
        await self.settled_in_all(self.settled + count)

    async def settled_in_all(self, count: int) -> None:
        """Return when so many are settled, which may be now."""
        if self.settled < count:
            future = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (count, next(self._numbers), future))
            await future

    def was_settled(self, channel: str, user: str, message_id: str, *, acknowledged: bool) -> None:
        """A publisher has got its answer, or has given up."""
        self.settled += 1
        self.acknowledged += acknowledged
        while self._waiting and self._waiting[0][0] <= self.settled:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)
        if acknowledged and self._seen[channel, user, message_id] < self._audience:
            self.under_way.add((channel, user, message_id))

    def was_handed(self, event: Event) -> None:
        """A subscriber's application has got it."""
        self.handed += 1
        message = event["channel"], event["sender"]["user_id"], event["message_id"]
        self.ends[event["channel"]] = max(self.ends[event["channel"]], event["offset"])
        self._seen[message] += 1
        if self._seen[message] >= self._audience:
            self.under_way.discard(message)
        if self._seen[message] > 1:
            return
        self.recent.append(event)
        if len(self._seen) % _HELD_BACK_EVERY == 0:
            self._held_back.setdefault(event["sender"]["user_id"], deque()).append(event)

    def to_repeat(self, user: str, *, after: int, now_ms: int) -> Event | None:
        """Return one of the user's publications with more than ``after`` behind it in its channel, if there is any."""
        waiting = self._held_back.get(user)
        while waiting:
            event = waiting[0]
            if now_ms - event["published_at_ms"] > REPEATABLE_S * 1000:
                waiting.popleft()  # too late to be told from a new one
            elif self.ends[event["channel"]] - event["offset"] > after:
                return waiting.popleft()
            else:
                return None
        return None


@dataclass(frozen=True, slots=True)
class Scene:
    """What all clients of a phase share.

    Attributes:
        url: Origin of the edge.
    """

    url: str
    journal: Journal
    watch: Watch
    seed: int
