"""What a flood in one lane does to another: `high` beside 2,000 `low`, on another channel and on the same.

They come from one sender, a batch after the other, as those of an import do; and from five at once.
"""

import asyncio
import secrets
import statistics
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

from bench.latency import connected
from bench.results import Bar, Report, Row, percentile
from localstack.stack import LocalStack
from tests.integration.client import Client

FLOOD: Final = 2_000
PUBLISHERS: Final = 5  # one user's burst is 500; "one sender" takes turns
BATCH: Final = 100
IDLE_SAMPLES: Final = 40
RATE_PER_S: Final = 5
BAR: Final = 3.0
PLACES: Final = ("another channel", "the same channel")
SENDERS: Final = {"one sender": 1, "five at once": PUBLISHERS}
RUNS: Final = {"one sender": 5, "five at once": 3}
# Five senders' functions, beside all others and the emulator, keep two cores busy by themselves: how long `high` takes
# then is the scheduler's decision, not the lanes'. It is shown, and has no bar; fewer runs do.
WITH_BAR: Final = "one sender"


def run(stack: LocalStack) -> Report:
    """Measure `high` alone, then under the flood; some times for each number of senders, in channels of its own."""
    rows, bars = [], []
    for senders, at_once in SENDERS.items():
        runs = [asyncio.run(_measure(stack.url, at_once)) for _ in range(RUNS[senders])]
        for place in PLACES:
            idle = statistics.median(run[place][0] for run in runs)
            flooded = statistics.median(run[place][1] for run in runs)
            ratio = statistics.median(run[place][1] / run[place][0] for run in runs)
            values = {"runs": len(runs), "p95 idle": idle, "p95 in the flood": flooded, "ratio": ratio}
            rows.append(Row(f"{senders}, {place}", values))
            if senders == WITH_BAR:
                bars.append(Bar(f"p95 of `high` on {place}, times its idle value:", ratio, BAR))
    setting = f"{FLOOD:,} publications of `low`, `high` {RATE_PER_S} a second, milliseconds; median of the runs"
    return Report("flood", "High priority in a flood of low", setting, rows, bars)


async def _measure(url: str, at_once: int) -> dict[str, tuple[float, float]]:
    """Return (p95 idle, p95 in the flood) by place, milliseconds."""
    flooded, quiet = (f"room:flood-{secrets.token_hex(4)}" for _ in range(2))
    channels = dict(zip(PLACES, (quiet, flooded), strict=True))
    async with AsyncExitStack() as opened:
        probe, reader = [await connected(url, name, opened) for name in ("probe", "reader")]
        flooders = [await connected(url, f"flooder{n}", opened) for n in range(PUBLISHERS)]
        for channel in channels.values():
            await reader.ask("subscribe", channel=channel)
        idle = {place: await _probe(probe, reader, channel, IDLE_SAMPLES) for place, channel in channels.items()}
        turns = asyncio.Semaphore(at_once)
        flood = asyncio.gather(*(_flood(flooder, flooded, turns) for flooder in flooders))
        done = asyncio.create_task(_all_there(reader, flooded, FLOOD, flood))
        taken: dict[str, list[float]] = {place: [] for place in PLACES}
        while not done.done():
            for place, channel in channels.items():
                taken[place] += await _probe(probe, reader, channel, 1)
        await done
    return {place: (percentile(idle[place], 95), percentile(taken[place], 95)) for place in PLACES}


async def _probe(probe: Client, reader: Client, channel: str, samples: int) -> list[float]:
    """Publish `high` at a steady rate; return the milliseconds until each was there."""
    taken_ms = []
    for _ in range(samples):
        message_id = secrets.token_hex(8)
        sent_s = time.perf_counter()
        asking = asyncio.create_task(probe.publish(channel, 0, priority="high", message_id=message_id))
        await reader.wait_for(partial(_came, reader, channel, message_id))
        taken_ms.append((time.perf_counter() - sent_s) * 1000)
        await asking
        await asyncio.sleep(max(0.0, 1 / RATE_PER_S - (time.perf_counter() - sent_s)))
    return taken_ms


def _came(reader: Client, channel: str, message_id: str) -> bool:
    return any(event["message_id"] == message_id for event in reader.events(channel))


async def _flood(flooder: Client, channel: str, turns: asyncio.Semaphore) -> None:
    frame = {"type": "publish", "channel": channel, "name": "flood", "data": "x" * 100, "priority": "low"}
    for _ in range(FLOOD // PUBLISHERS // BATCH):
        async with turns:
            replies = await flooder.batch([frame] * BATCH)
        assert all("result" in reply for reply in replies), replies


async def _all_there(reader: Client, channel: str, count: int, flood: "asyncio.Future[list[None]]") -> None:
    await flood
    await reader.wait_for(
        lambda: sum(event["priority"] == "low" for event in reader.events(channel)) >= count, deadline_s=120
    )
