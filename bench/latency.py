"""How long a publication takes from one socket to another, through every hop, when little is going on."""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from bench.results import Bar, NotMeasuredError, Plot, Report, Row, percentile
from localstack.stack import LocalStack
from tests.integration.client import Client, dev_token

WARM_UP: Final = 30
SAMPLES: Final = 200
RATE_PER_S: Final = 5
NORMAL_P50_BAR_MS: Final = 60

# What a publish request says, for each way that a publication can take.
WAYS: Final[Mapping[str, Mapping[str, Any]]] = {
    "express": {"priority": "express"},
    "high": {"priority": "high"},
    "normal": {"priority": "normal"},
    "low": {"priority": "low"},
    "ephemeral": {"ephemeral": True},
}


def run(stack: LocalStack) -> Report:
    """Measure each way after the other on a stack that does nothing else."""
    rows = [_row(way, asyncio.run(measure(stack.url, way))) for way in WAYS]
    normal = next(row for row in rows if row.name == "normal")
    return Report(
        name="latency",
        title="Publish to delivery, milliseconds",
        setting=f"One publisher, one subscriber, {RATE_PER_S} publications a second, after {WARM_UP} to warm up",
        rows=rows,
        bars=[Bar("p50 of `normal`, ms:", normal.values["p50"], NORMAL_P50_BAR_MS)],
        plot=percentiles("way", rows),
    )


async def measure(url: str, way: str, *, samples: int = SAMPLES, rate_per_s: float = RATE_PER_S) -> list[float]:
    """Return the milliseconds that each publication took, those of the warm-up left out."""
    channel, run_id = f"room:bench-{way}", secrets.token_hex(4)
    async with AsyncExitStack() as opened:
        publisher, reader = [await connected(url, name, opened) for name in ("publisher", "reader")]
        await reader.ask("subscribe", channel=channel)

        async def delivered(message_id: str) -> int:
            try:
                await reader.wait_for(lambda: message_id in {event["message_id"] for event in reader.events(channel)})
            except TimeoutError:
                raise TimeoutError(f"{way}: {message_id} did not come in time") from None
            return time.perf_counter_ns()

        async def publish(number: int) -> float:
            message_id = f"{run_id}-{number}"
            sent_ns = time.perf_counter_ns()
            asking = publisher.publish(channel, {"number": number}, message_id=message_id, **WAYS[way])
            delivered_ns, _ = await asyncio.gather(delivered(message_id), asking)
            return (delivered_ns - sent_ns) / 1e6

        # One after the other: functions start cold, and all at once they would start once for each.
        for number in range(WARM_UP):
            await publish(number)
        begun_s = asyncio.get_running_loop().time()
        publishing = []
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(samples):
                    # By the clock, whatever the one before does: a slow one must not keep the next one waiting.
                    await asyncio.sleep(begun_s + number / rate_per_s - asyncio.get_running_loop().time())
                    publishing.append(group.create_task(publish(WARM_UP + number)))
        except ExceptionGroup as failures:
            raise NotMeasuredError(f"{way}: {failures.exceptions[0]}; is the machine busy?") from failures
    return [task.result() for task in publishing]


async def connected(url: str, user_id: str, opened: AsyncExitStack) -> Client:
    """Return a client that has said hello; it is closed with ``opened``."""
    client = await Client.open(url)
    opened.push_async_callback(client.close)
    await client.hello(dev_token(url, user_id))
    return client


def percentiles(what: str, rows: Sequence[Row]) -> Plot:
    """Return the picture of how long each takes."""
    series = {name: {row.name: row.values[name] for row in rows} for name in ("p50", "p90", "p99")}
    return Plot("bars", what, "publish to delivery, ms", series)


def _row(way: str, taken_ms: list[float]) -> Row:
    values = {f"p{percent}": percentile(taken_ms, percent) for percent in (50, 90, 99)}
    return Row(way, {"samples": len(taken_ms), **values, "max": max(taken_ms)})
