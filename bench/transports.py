"""How long a publication takes to a session on each transport, beside a WebSocket."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

from bench.latency import connected, percentiles
from bench.results import Report, Row, percentile
from localstack.stack import LocalStack
from tests.integration.client import dev_token
from tests.torture.http_wire import HttpWire
from tests.torture.wire import Wire

WARM_UP: Final = 10
SAMPLES: Final = 100
RATE_PER_S: Final = 4
TRANSPORTS: Final = ("websocket", "sse", "stream", "long_poll", "short_poll")


def run(stack: LocalStack) -> Report:
    """Measure each transport after the other."""
    taken_ms = {transport: asyncio.run(_measure(stack.url, transport)) for transport in TRANSPORTS}
    beside_ms = percentile(taken_ms["websocket"], 50)
    rows = [_row(transport, samples, beside_ms) for transport, samples in taken_ms.items()]
    setting = f"`express`, {RATE_PER_S} a second, {SAMPLES} samples, milliseconds; short polls every 200 ms"
    plot = percentiles("transport", rows)
    return Report("transports", "Publish to delivery by transport", setting, rows, plot=plot)


def _row(transport: str, samples: list[float], beside_ms: float) -> Row:
    values = {f"p{percent}": percentile(samples, percent) for percent in (50, 90, 99)}
    return Row(transport, {**values, "p50 beside WebSocket": values["p50"] / beside_ms})


async def _measure(url: str, transport: str) -> list[float]:
    channel, came = f"room:bench-{transport}", dict[str, asyncio.Future[int]]()

    def on_push(frame: Any) -> None:
        if frame["type"] == "event" and (future := came.get(frame["message_id"])) and not future.done():
            future.set_result(time.perf_counter_ns())

    async with AsyncExitStack() as opened:
        publisher = await connected(url, "publisher", opened)
        reader = await _opened(url, transport, on_push)
        opened.push_async_callback(reader.close)
        hello = {"type": "hello", "protocol": 1, "token": dev_token(url, "reader"), "subscribe": [{"channel": channel}]}
        await reader.ask(hello)
        taken_ms = []
        for _ in range(WARM_UP + SAMPLES):
            message_id = secrets.token_hex(8)
            coming = came[message_id] = asyncio.get_running_loop().create_future()
            sent_ns = time.perf_counter_ns()
            await publisher.publish(channel, 0, message_id=message_id, priority="express")
            async with asyncio.timeout(30):
                taken_ms.append((await coming - sent_ns) / 1e6)
            await asyncio.sleep(max(0.0, 1 / RATE_PER_S - (time.perf_counter_ns() - sent_ns) / 1e9))
    return taken_ms[WARM_UP:]


async def _opened(url: str, transport: str, on_push: Callable[[Any], None]) -> Wire | HttpWire:
    open_ = Wire.open if transport == "websocket" else partial(HttpWire.open, transport=transport)  # type: ignore[arg-type]
    return await open_(url, on_push)
