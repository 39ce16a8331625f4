"""An honest pair beside it: what one publishes, the other is to be handed, once and in order, all the while."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

from tidewire import Tidewire

CHANNEL: Final = "room:honest"
_EVERY_S: Final = 0.25
_LAST_WITHIN_S: Final = 60


@dataclass(slots=True)
class Testimony:
    """What the pair has seen.

    Attributes:
        handed: Numbers as they came.
        latencies_ms: From publishing to being handed over.
    """

    published: int = 0
    handed: list[int] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is lost, doubled or out of order."""
        return self.handed == list(range(self.published))


async def witness(url: str, publisher_token: str, subscriber_token: str, stop: asyncio.Event) -> Testimony:
    """Publish until ``stop`` is set; return what came when all has come, or a minute later."""
    seen, published_s = Testimony(), dict[int, float]()
    everything = asyncio.Condition()

    async def hear(channel: Any) -> None:
        async for event in channel.events():
            number = event.data["number"]
            seen.handed.append(number)
            seen.latencies_ms.append((time.perf_counter() - published_s[number]) * 1000)
            async with everything:
                everything.notify_all()

    async with (
        Tidewire(url, lambda _fresh: publisher_token, transports=["websocket"]) as publisher,
        Tidewire(url, lambda _fresh: subscriber_token, transports=["websocket"]) as subscriber,
    ):
        heard = subscriber.channel(CHANNEL)
        await heard.subscribe()
        hearing = asyncio.create_task(hear(heard))
        while not stop.is_set():
            published_s[seen.published] = time.perf_counter()
            await publisher.channel(CHANNEL).publish("said", {"number": seen.published})
            seen.published += 1
            try:
                await asyncio.wait_for(stop.wait(), _EVERY_S)
            except TimeoutError:
                continue
        try:
            async with asyncio.timeout(_LAST_WITHIN_S), everything:
                await everything.wait_for(lambda: len(seen.handed) >= seen.published)
        except TimeoutError:
            pass  # that is for the reader of the testimony to see
        hearing.cancel()
    return seen
