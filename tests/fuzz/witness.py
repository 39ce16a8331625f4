"""An honest pair beside it: what one publishes, the other is to be handed, once and in order, all the while."""

import asyncio
import itertools
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tidewire import Tidewire, TidewireError

CHANNEL: Final = "room:honest"
_EVERY_S: Final = 0.25
_LAST_WITHIN_S: Final = 60


@dataclass(slots=True)
class Testimony:
    """What the pair has seen.

    Attributes:
        acknowledged: Numbers that were taken.
        refused: Why others were not.
        handed: Numbers as they came.
        latencies_ms: From publishing to being handed over.
    """

    acknowledged: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    handed: list[int] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is refused, lost, doubled or out of order."""
        return not self.refused and self.handed == self.acknowledged


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
        for number in itertools.count():
            published_s[number] = time.perf_counter()
            try:
                await publisher.channel(CHANNEL).publish("said", {"number": number})
                seen.acknowledged.append(number)
            except TidewireError as error:
                seen.refused.append(f"{number}: {error}")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _EVERY_S)
                break
        try:
            async with asyncio.timeout(_LAST_WITHIN_S), everything:
                await everything.wait_for(lambda: len(seen.handed) >= len(seen.acknowledged))
        except TimeoutError:
            seen.refused.append("not all of it came")
        hearing.cancel()
    return seen
