"""Sockets that publish and sockets that hear, and when what was published has reached all whom it is for."""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from bench.results import NotMeasuredError
from tests.integration.client import dev_token
from tests.torture.wire import Wire

DEADLINE_S: Final = 30


class Audience:
    """So many connections on each of some groups of channels."""

    def __init__(self, url: str, each: int) -> None:
        self._url, self._each = url, each
        self._missing: dict[str, int] = {}
        self._complete: dict[str, asyncio.Future[int]] = {}

    async def come(self, opened: AsyncExitStack, groups: Sequence[Sequence[str]]) -> None:
        """Connect them and subscribe them, each to one group."""
        for channels in groups:
            for number in range(self._each):
                await self.connect(opened, f"reader-{number}", channels)

    async def connect(self, opened: AsyncExitStack, user_id: str, channels: Sequence[str] = ()) -> Wire:
        """Connect somebody; it is closed with ``opened``."""
        wire = await Wire.open(self._url, self._heard)
        opened.push_async_callback(wire.close)
        subscribe = [{"channel": channel} for channel in channels]
        token = await asyncio.to_thread(dev_token, self._url, user_id)
        [reply] = await wire.ask({"type": "hello", "protocol": 1, "token": token, "subscribe": subscribe})
        if reply is None or "result" not in reply:
            raise NotMeasuredError(f"hello: {reply}")
        return wire

    async def publish(self, publisher: Wire, channels: Sequence[str], kind: Mapping[str, Any]) -> list[float]:
        """Publish into each channel, all in one batch; return the milliseconds until each had reached everybody."""
        message_ids = [secrets.token_hex(8) for _ in channels]
        complete = [asyncio.get_running_loop().create_future() for _ in channels]
        self._missing.update(dict.fromkeys(message_ids, self._each))
        self._complete.update(zip(message_ids, complete, strict=True))
        frames = [
            {"type": "publish", "channel": channel, "name": "said", "data": "x" * 100, "message_id": message_id, **kind}
            for channel, message_id in zip(channels, message_ids, strict=True)
        ]
        sent_ns = time.perf_counter_ns()
        replies = await publisher.ask(*frames)
        if refused := [reply for reply in replies if reply is None or "result" not in reply]:
            raise NotMeasuredError(f"publish: {refused[0]}")
        try:
            async with asyncio.timeout(DEADLINE_S):
                return [(await one - sent_ns) / 1e6 for one in complete]
        except TimeoutError:
            raise NotMeasuredError(f"some did not come within {DEADLINE_S} s; is the machine busy?") from None

    def _heard(self, frame: Any) -> None:
        if frame["type"] != "event" or frame["message_id"] not in self._missing:
            return
        self._missing[frame["message_id"]] -= 1
        if not self._missing[frame["message_id"]]:
            del self._missing[frame["message_id"]]
            self._complete.pop(frame["message_id"]).set_result(time.perf_counter_ns())
