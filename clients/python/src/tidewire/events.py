"""A channel's events one by one: what ``async for`` takes."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, Self
from weakref import WeakSet

from tidewire.errors import TidewireError, closed
from tidewire.frames import Event

# Who takes none for so long is told, rather than that memory runs out, or that some are dropped unseen.
WAITING_MAX: Final = 10_000


class Iterators:
    """Those of one channel. Whoever has let go of one, as by leaving its loop, has ended it."""

    def __init__(self) -> None:
        self._all: WeakSet[Events] = WeakSet()
        self._taken: set[Events] = set()  # somebody waits for the next event: maybe a task that nobody else knows of

    def __iter__(self) -> "Iterator[Events]":
        return iter(list(self._all))

    def add(self, events: "Events") -> None:
        """It has begun."""
        self._all.add(events)

    def discard(self, events: "Events") -> None:
        """It has ended."""
        self._all.discard(events)

    async def wait(self, events: "Events", news: asyncio.Event) -> None:
        """Wait for news for one of them."""
        self._taken.add(events)
        try:
            await news.wait()
        finally:
            self._taken.discard(events)


class Events:
    """An iterator. Events that come before they are taken wait, up to 10,000 of them.

    Args:
        own: Of the channel: it is in it until it ends.
        subscribe: Subscribes to the channel, if it is not yet.
    """

    def __init__(self, own: Iterators, subscribe: Callable[[], Awaitable[Any]]) -> None:
        self._own, self._subscribe = own, subscribe
        self._waiting: deque[Event] = deque()
        self._end: TidewireError | None = None
        self._news = asyncio.Event()
        self._began = False
        own.add(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Return the next event.

        Raises:
            TidewireError: The server has refused the channel, or ended the client; or ``limit_reached``: more than
                10,000 waited, and those that follow are lost to this iterator.
        """
        if not self._began and self._end is None:
            try:
                await self._subscribe()
            except TidewireError as error:
                self.end(error)
            self._began = True
        while not self._waiting:
            if self._end is not None:
                if self._end.kind == "closed":
                    raise StopAsyncIteration
                raise self._end
            self._news.clear()
            await self._own.wait(self, self._news)
        return self._waiting.popleft()

    def close(self) -> None:
        """Take no more."""
        self._waiting.clear()
        self.end(closed("no more is taken"))

    # The channel's side.

    def put(self, event: Event) -> None:
        """One has come."""
        if len(self._waiting) >= WAITING_MAX:
            self.end(TidewireError(1010, "limit_reached", f"more than {WAITING_MAX} events waited to be taken"))
            return
        self._waiting.append(event)
        self._news.set()

    def end(self, error: TidewireError) -> None:
        """No more will come."""
        self._own.discard(self)
        self._end = self._end or error
        self._news.set()
