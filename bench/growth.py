"""What a delivery takes, in time and in dollars, while subscribers, channels and publications grow tenfold."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from typing import Final

from bench.audience import Audience
from bench.ledger.deployment import Deployment, Taken, deployed
from bench.ledger.steps import Client, Room
from bench.results import Plot, Report, Row, percentile
from localstack.stack import LocalStack
from shared.domain.prices import PRICES

SIZES: Final = (1, 10, 100)  # 1,000 connections take the emulator and moto minutes to come
SUBSCRIBERS: Final = "subscribers of a channel"
CHANNELS: Final = "channels, each published to once"
RATE: Final = "publications a second in a channel"
WARM_UP: Final = 5
ROUNDS: Final = 10
WARM_UP_S: Final = 3
RATE_S: Final = 10
PUBLISHERS: Final = 4  # a user may publish 50 a second into a channel
# A worker takes about so long for a batch; what comes meanwhile waits, and goes together.
BATCH_MS: Final = 50
PAUSE_MS: Final = 2_000  # no rate limit is come close to
_USD: Final = {price.metric: price.usd_per_million for price in PRICES}


def run(stack: LocalStack) -> Report:
    """Measure how long deliveries take on the local stack."""
    measures = {SUBSCRIBERS: _to_many, CHANNELS: _to_channels, RATE: _at_rate}
    taken_ms = {
        what: {size: percentile(asyncio.run(measure(stack.url, size)), 50) for size in SIZES}
        for what, measure in measures.items()
    }
    rows = [
        Row(f"{what}: {size:,}", {"p50": p50, "for each delivery": p50 / (size if what == SUBSCRIBERS else 1)})
        for what, by_size in taken_ms.items()
        for size, p50 in by_size.items()
    ]
    return Report(
        name="growth",
        title="Publish to the last delivery, as it grows tenfold",
        setting="From when a publication is sent to when its last subscriber has it, milliseconds; `normal`. One "
        "subscriber, one channel, one publication at a time, where nothing else is said",
        rows=rows,
        plot=Plot("curve", "how many", "p50 of publish to the last delivery, ms", taken_ms, log="xy"),
    )


def run_cost() -> Report:
    """Count what deliveries are billed, with the deployed handlers in this process."""
    with deployed() as deployment:
        measures = {SUBSCRIBERS: _cost_of_many, CHANNELS: _cost_of_channels, RATE: _cost_at_rate}
        taken = {what: {size: measure(deployment, size) for size in SIZES} for what, measure in measures.items()}
    usd = {what: {size: _usd(one) for size, one in by_size.items()} for what, by_size in taken.items()}
    rows = [
        Row(
            f"{what}: {size:,}",
            {
                "USD a million deliveries": usd[what][size],
                "write units": one.units["DynamoDbWriteUnits"],
                "read units": one.units["DynamoDbReadUnits"],
                "invocations": one.units["LambdaRequests"],
                "WebSocket messages": one.units["WebSocketMessages"],
            },
        )
        for what, by_size in taken.items()
        for size, one in by_size.items()
    ]
    return Report(
        name="growth_cost",
        title="What a delivery is billed, as it grows tenfold",
        setting="For each delivery, from the publisher's frame on; 250 bytes, `normal`; units of the deployed handlers "
        "at list prices, without Lambda's time",
        rows=rows,
        plot=Plot("curve", "how many", "USD a million deliveries", usd, log="xy"),
    )


async def _to_many(url: str, subscribers: int) -> list[float]:
    return await _one_by_one(Audience(url, subscribers), _channels(1))


async def _to_channels(url: str, count: int) -> list[float]:
    return await _one_by_one(Audience(url, 1), _channels(count))


async def _one_by_one(audience: Audience, channels: list[str]) -> list[float]:
    async with AsyncExitStack() as opened:
        await audience.come(opened, [[channel] for channel in channels])
        publisher = await audience.connect(opened, "publisher")
        taken_ms = [await audience.publish(publisher, channels, {}) for _ in range(WARM_UP + ROUNDS)]
    return [ms for one in taken_ms[WARM_UP:] for ms in one]


async def _at_rate(url: str, rate: int) -> list[float]:
    """Publish at a rate, at most ten batches a second."""
    batch, taken = max(1, rate // 10), []
    async with AsyncExitStack() as opened:
        audience, channels = Audience(url, 1), _channels(1)
        await audience.come(opened, [channels])
        publishers = [await audience.connect(opened, f"publisher-{number}") for number in range(PUBLISHERS)]
        begun_s = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range((WARM_UP_S + RATE_S) * rate // batch):
                await asyncio.sleep(begun_s + number * batch / rate - time.perf_counter())
                publisher = publishers[number % PUBLISHERS]
                taken.append(group.create_task(audience.publish(publisher, channels * batch, {})))
    return [ms for task in taken[WARM_UP_S * rate // batch :] for ms in task.result()]


def _channels(count: int) -> list[str]:
    return [f"room:bench-{secrets.token_hex(6)}" for _ in range(count)]


def _cost_of_many(deployment: Deployment, subscribers: int) -> Taken:
    room = Room(deployment)
    room.need(subscribers=subscribers)
    return room.single().over(subscribers)


def _cost_of_channels(deployment: Deployment, count: int) -> Taken:
    publishers = {deployment.new_id("room:", 20): Client.new(deployment) for _ in range(count)}
    for channel, publisher in publishers.items():
        Client.new(deployment).connect(channel)
        publisher.connect()

    def publish() -> None:
        for channel, publisher in publishers.items():
            publisher.publish(channel)
        deployment.settle()

    for _ in range(2):  # each is known to its process
        publish()
        deployment.pass_ms(PAUSE_MS)
    return deployment.measure(publish).over(count)


def _cost_at_rate(deployment: Deployment, rate: int, duration_ms: int = 2_000) -> Taken:
    room = Room(deployment)
    room.need(subscribers=1, publishers=-(-rate // 10))

    def publish() -> None:
        sent = 0
        for at_ms in range(BATCH_MS, duration_ms + 1, BATCH_MS):
            while sent < at_ms * rate // 1_000:
                room.publishers[sent % len(room.publishers)].publish(room.channel)
                sent += 1
            deployment.settle()
            deployment.pass_ms(BATCH_MS)

    return deployment.measure(publish).over(duration_ms * rate // 1_000)


def _usd(taken: Taken) -> float:
    return sum(_USD.get(metric, 0) * units for metric, units in taken.units.items())
