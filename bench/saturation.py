"""How many publications a second come through the local stack at most, by way, and how long they take then."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, Final

from bench.audience import Audience
from bench.latency import WAYS
from bench.results import Plot, Report, Row, percentile
from localstack.stack import LocalStack

PUBLISHERS: Final = (1, 2, 4, 8, 16)
BATCH: Final = 10
EVERY_S: Final = 0.11  # a connection may send 100 requests a second: shared/services/limits.py
CHANNELS: Final = 2  # of each publisher, which takes turns: a user may publish 50 a second into one
WARM_UP_S: Final = 1.5
MEASURED_S: Final = 4.0
RISES: Final = 1.05  # by less it is as good as before


def run(stack: LocalStack) -> Report:
    """Have more and more publish, by each way, until no more comes through."""
    rows, series = [], dict[str, dict[int, float]]()
    for way, kind in WAYS.items():
        best = Row(way, {"a second": 0.0})
        series[way] = {}
        for publishers in PUBLISHERS:
            a_second, taken_ms = asyncio.run(_measure(stack.url, kind, publishers))
            series[way][publishers] = a_second
            rises = a_second > RISES * best.values["a second"]
            if a_second > best.values["a second"]:
                percentiles = {f"p{percent} ms": percentile(taken_ms, percent) for percent in (50, 90, 99)}
                best = Row(way, {"a second": a_second, "publishers": publishers, **percentiles})
            if not rises:
                break
        rows.append(best)
    return Report(
        name="saturation",
        title="Publications a second that come through at most",
        setting=f"Each publisher sends a batch of {BATCH} every {EVERY_S * 1000:g} ms at the earliest, when the one "
        f"before has arrived, into channels of its own. {MEASURED_S:g} s each, after {WARM_UP_S:g} to warm up",
        rows=rows,
        plot=Plot("curve", "publishers", "publications a second", series, log="x"),
    )


async def _measure(url: str, kind: Mapping[str, Any], publishers: int) -> tuple[float, list[float]]:
    """Return the publications a second that came through, and the milliseconds that each took."""
    audience, taken_ms = Audience(url, 1), list[tuple[float, float]]()
    channels = [[f"room:bench-{secrets.token_hex(6)}" for _ in range(CHANNELS)] for _ in range(publishers)]
    async with AsyncExitStack() as opened:
        await audience.come(opened, channels)
        wires = [await audience.connect(opened, f"publisher-{number}") for number in range(publishers)]
        begun_s = time.perf_counter()

        async def keep_publishing(number: int) -> None:
            turns = itertools.cycle(channels[number])
            while time.perf_counter() - begun_s < WARM_UP_S + MEASURED_S:
                due_s = time.perf_counter() + EVERY_S
                batch = await audience.publish(wires[number], [next(turns)] * BATCH, kind)
                taken_ms.extend((time.perf_counter() - begun_s, one) for one in batch)
                await asyncio.sleep(due_s - time.perf_counter())

        await asyncio.gather(*map(keep_publishing, range(publishers)))
    measured = [one for at_s, one in taken_ms if WARM_UP_S <= at_s < WARM_UP_S + MEASURED_S]
    return len(measured) / MEASURED_S, measured
