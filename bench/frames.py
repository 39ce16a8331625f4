"""How many WebSocket messages a busy channel's subscribers are sent for each publication, and how long those take.

Each message that API Gateway sends is billed; what is published shortly after one another can share one. Beside it:
channels with one publication a second, alone, and while the busy one is.
"""

import asyncio
import json
import secrets
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.results import Bar, NotMeasuredError, Report, Row, percentile
from localstack.stack import LocalStack
from tests.integration.client import dev_token

PUBLISHERS: Final = 5  # one user may publish 50 a second in a channel: none comes near that
SUBSCRIBERS: Final = 5
BUSY_PER_S: Final = 50
QUIET_PER_S: Final = 1
QUIET_CHANNELS: Final = 5  # each with its own second: more samples in the same time
WARM_UP: Final = 5
SETTLE_S: Final = 5
MEASURED_S: Final = 20
DATA: Final = "x" * 250
MESSAGES_BAR: Final = 0.2
P50_BAR_MS: Final = 120
_LATE_S: Final = 20


@dataclass(slots=True)
class _Channel:
    """What is published in one channel, and how it comes to its subscribers.

    Attributes:
        sent_ns: When each was sent, by its number.
        messages: Of each WebSocket message with events, whose it was, their numbers, and when it came.
        news: Set with each of them.
    """

    name: str = field(default_factory=lambda: f"room:bench-frames-{secrets.token_hex(4)}")
    sent_ns: list[int] = field(default_factory=list)
    messages: list[tuple[int, list[int], int]] = field(default_factory=list)
    subscribers: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def subscribe(self, url: str, opened: AsyncExitStack) -> None:
        """Open one more connection that hears it."""
        address = f"{url.replace('http', 'ws', 1)}/v1/ws"
        socket = await connect(address, proxy=None, compression=None, ping_interval=None, max_size=None)
        opened.push_async_callback(socket.close)
        token = dev_token(url, f"subscriber-{self.subscribers}")
        hello = {"type": "hello", "id": 1, "protocol": 1, "token": token, "subscribe": [{"channel": self.name}]}
        await socket.send(json.dumps(hello))
        if "error" in (reply := json.loads(await socket.recv())):
            raise NotMeasuredError(f"hello: {reply}")
        opened.callback(asyncio.create_task(self._read(socket, self.subscribers)).cancel)
        self.subscribers += 1

    async def _read(self, socket: ClientConnection, subscriber: int) -> None:
        try:
            async for message in socket:
                now_ns, value = time.perf_counter_ns(), json.loads(message)
                frames = value if isinstance(value, list) else [value]
                if numbers := [frame["data"]["number"] for frame in frames if frame["type"] == "event"]:
                    self.messages.append((subscriber, numbers, now_ns))
                    self.news.set()
        except ConnectionClosed:
            return  # what is missing then is noticed

    async def publish(self, publisher: httpx.AsyncClient) -> None:
        """Send the next one; return when it is acknowledged."""
        publication = {"channel": self.name, "name": "said", "data": {"number": len(self.sent_ns), "text": DATA}}
        self.sent_ns.append(time.perf_counter_ns())
        answer = await publisher.post("/v1/publish", json=publication)
        if answer.is_error:
            raise NotMeasuredError(f"publish: {answer.text}")

    async def publish_steadily(
        self, publishers: list[httpx.AsyncClient], per_s: int, seconds: int, wait_s: float
    ) -> range:
        """Publish by the clock, in turn; return the numbers, when all of them are acknowledged."""
        begun_s, first = asyncio.get_running_loop().time() + wait_s, len(self.sent_ns)
        async with asyncio.TaskGroup() as group:
            for turn in range(per_s * seconds):
                await asyncio.sleep(begun_s + turn / per_s - asyncio.get_running_loop().time())
                group.create_task(self.publish(publishers[turn % len(publishers)]))
        return range(first, len(self.sent_ns))

    async def heard(self, numbers: range) -> None:
        """Return when every subscriber has these."""
        async with asyncio.timeout(_LATE_S):
            # A push may come twice.
            while len({(whose, number) for whose, got, _ in self.messages for number in self._of(got, numbers)}) < (
                len(numbers) * self.subscribers
            ):
                self.news.clear()
                await self.news.wait()

    def per_publication(self, numbers: range) -> float:
        """Return how many messages brought these to a subscriber, for each of them."""
        shares = sum(len(self._of(got, numbers)) / len(got) for _, got, _ in self.messages)
        return shares / (len(numbers) * self.subscribers)

    def taken_ms(self, numbers: range) -> list[float]:
        """Return how long each of these took to each subscriber."""
        return [
            (came_ns - self.sent_ns[number]) / 1e6
            for _, got, came_ns in self.messages
            for number in self._of(got, numbers)
        ]

    @staticmethod
    def _of(got: list[int], numbers: range) -> list[int]:
        return [number for number in got if number in numbers]


def run(stack: LocalStack) -> Report:
    """Measure quiet channels, then a busy one with a quiet one beside it."""
    try:
        quiet, busy, beside = asyncio.run(_measure(stack.url))
    except (TimeoutError, ExceptionGroup) as error:
        raise NotMeasuredError(f"not all came in time: {error}; is the machine busy?") from error
    return Report(
        name="frames",
        title="WebSocket messages for each publication delivered",
        setting=(
            f"{PUBLISHERS} publishers, {SUBSCRIBERS} subscribers, {len(DATA)} bytes, {MEASURED_S} s after {SETTLE_S} s"
            " to warm up; publish to delivery in milliseconds"
        ),
        rows=[quiet, busy, beside],
        bars=[
            Bar(f"messages for a publication at {BUSY_PER_S} a second:", busy.values["messages each"], MESSAGES_BAR),
            Bar(
                f"p50 at {BUSY_PER_S} a second above that at {QUIET_PER_S}, ms:",
                busy.values["p50"] - quiet.values["p50"],
                P50_BAR_MS,
            ),
        ],
    )


async def _measure(url: str) -> tuple[Row, Row, Row]:
    """Return what became of a publication a second, of fifty, and of one a second beside those."""
    quiet, busy, beside = [_Channel() for _ in range(QUIET_CHANNELS)], _Channel(), _Channel()
    async with AsyncExitStack() as opened:
        publishers = [
            await opened.enter_async_context(
                httpx.AsyncClient(
                    base_url=url,
                    headers={"Authorization": f"Bearer {dev_token(url, f'publisher-{number}')}"},
                    timeout=30,
                )
            )
            for number in range(PUBLISHERS)
        ]
        for channel in (*quiet, busy, beside):
            for _ in range(SUBSCRIBERS):
                await channel.subscribe(url, opened)
            for _ in range(WARM_UP):
                await channel.publish(publishers[0])
        alone = await _steadily([(channel, QUIET_PER_S) for channel in quiet], publishers, MEASURED_S)
        both = [(busy, BUSY_PER_S), (beside, QUIET_PER_S)]
        await _steadily(both, publishers, SETTLE_S)
        together = await _steadily(both, publishers, MEASURED_S)
    return (
        _row(f"{QUIET_PER_S} a second", zip(quiet, alone, strict=True)),
        _row(f"{BUSY_PER_S} a second", [(busy, together[0])]),
        _row(f"{QUIET_PER_S} a second beside it", [(beside, together[1])]),
    )


async def _steadily(
    rates: list[tuple[_Channel, int]], publishers: list[httpx.AsyncClient], seconds: int
) -> list[range]:
    """Publish in each channel at its rate; return the numbers, when every subscriber has them."""
    publishing = [  # not all of them at the same moment
        channel.publish_steadily(publishers, per_s, seconds, turn / len(rates) / per_s)
        for turn, (channel, per_s) in enumerate(rates)
    ]
    published = await asyncio.gather(*publishing)
    for (channel, _), numbers in zip(rates, published, strict=True):
        await channel.heard(numbers)
    return published


def _row(name: str, measured: Iterable[tuple[_Channel, range]]) -> Row:
    channels = list(measured)
    each = [channel.per_publication(numbers) for channel, numbers in channels]
    taken_ms = [ms for channel, numbers in channels for ms in channel.taken_ms(numbers)]
    percentiles = {f"p{percent}": percentile(taken_ms, percent) for percent in (50, 90, 99)}
    return Row(name, {"messages each": sum(each) / len(each), **percentiles, "max": max(taken_ms)})
