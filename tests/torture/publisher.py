"""Publishers that do not give up: what is not acknowledged is sent again, until it is too old to be told from new."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from shared.domain.publication import Priority
from tests.torture.journal import digest
from tests.torture.watch import Event, Scene, Watch
from tests.torture.wire import Frame, NotConnectedError, Reply, Wire, error_code

# docs/protocol.md: an id is known for 5 minutes. The last repeat is on its way for a while.
GIVE_UP_S: Final = 280
_BACKOFF_S: Final = (0.2, 5.0)
_BATCHES_AT_A_TIME: Final = 2
_BATCH_MAX: Final = 30
_WEIGHTS: Final[dict[Priority, int]] = {"express": 25, "high": 25, "normal": 25, "low": 25}
_EPHEMERAL_SHARE: Final = 0.02
_BUSIEST_SHARE: Final = 0.2
# So many must have come after a publication before it is repeated once more.
HELD_BACK: Final = 1_000


@dataclass(slots=True)
class Pace:
    """How fast all publishers together go: so many a second, and no further ahead of the subscribers than that.

    They begin slowly: workers that are not there yet take a second of processor each to start.
    """

    watch: Watch
    rate_per_s: float
    ahead_max: int
    warm_after: int
    _next_s: float = field(default_factory=time.monotonic)

    async def take(self, count: int) -> None:
        """Return when ``count`` more may go."""
        while len(self.watch.under_way) > self.ahead_max:
            await asyncio.sleep(0.05)  # what happens to publications is an event to nobody here
        now_s = time.monotonic()
        warmth = min(1, max(0.1, self.watch.settled / self.warm_after))
        self._next_s = max(self._next_s, now_s - 1) + count / (self.rate_per_s * warmth)
        await asyncio.sleep(max(0, self._next_s - now_s))


@dataclass(slots=True)
class Outgoing:
    """A publication on its way."""

    channel: str
    message_id: str
    priority: Priority
    data: Any
    batch: int
    index: int
    sent_at_ms: int = 0
    tries: int = 0

    def frame(self) -> Frame:
        """Return the request."""
        frame = {
            "type": "publish",
            "channel": self.channel,
            "name": "said",
            "data": self.data,
            "message_id": self.message_id,
            "priority": self.priority,
        }
        return frame | ({"retry": True} if self.tries else {})


class Publisher:
    """One user, one connection at a time, several batches under way."""

    def __init__(
        self,
        user: str,
        token: str,
        channels: Sequence[str],
        scene: Scene,
        *,
        weights: Mapping[Priority, int] = _WEIGHTS,
    ) -> None:
        self.user = user
        self.retries = 0
        self.late_repeats = 0
        self._token, self._channels = token, channels
        self._url, self._journal, self._watch = scene.url, scene.journal, scene.watch
        self._dice = random.Random(f"{scene.seed} {user}")
        self._priorities, self._weights = list(weights), list(weights.values())
        self._wire: Wire | None = None
        self._ready = asyncio.Event()

    async def run(self, count: int, pace: Pace) -> None:
        """Publish ``count`` publications; return when each is acknowledged or given up."""
        places = asyncio.Semaphore(_BATCHES_AT_A_TIME)

        async def deliver(batch: list[Outgoing]) -> None:
            try:
                await self._deliver(batch)
            finally:
                places.release()

        connection = asyncio.create_task(self._stay_connected())
        try:
            async with asyncio.TaskGroup() as group:
                begun = 0
                while begun < count:
                    batch = self._batch(begun, min(count - begun, self._dice.randint(1, _BATCH_MAX)))
                    begun += len(batch)
                    await pace.take(len(batch))
                    await places.acquire()
                    group.create_task(deliver(batch))
                    if (old := self._watch.to_repeat(self.user, after=HELD_BACK, now_ms=_now_ms())) is not None:
                        group.create_task(self._repeat(old))
        finally:
            connection.cancel()
            with suppress(asyncio.CancelledError):
                await connection
            if self._wire is not None:
                self._wire.cut()

    def cut(self, *, half_open: bool) -> bool:
        """Lose the connection; return whether there was one."""
        if self._wire is None or self._wire.closed.is_set():
            return False
        if half_open:
            self._wire.abandon()
        else:
            self._wire.cut()
        return True

    def _batch(self, number: int, size: int) -> list[Outgoing]:
        """Make publications of one channel and priority, as an application does that has more than one thing to say."""
        # One channel has much more in it than the others.
        channel = self._channels[0] if self._dice.random() < _BUSIEST_SHARE else self._dice.choice(self._channels)
        [priority] = self._dice.choices(self._priorities, self._weights)
        return [
            Outgoing(channel, f"{number + index}", priority, {"text": self._text()}, number, index)
            for index in range(size)
        ]

    def _text(self) -> str:
        return f"{self._dice.getrandbits(32):x}" * self._dice.randint(0, 40)

    async def _stay_connected(self) -> None:
        failures = 0
        while True:
            try:
                self._wire = await Wire.open(self._url, _ignore)
                reply = await self._wire.request(type="hello", protocol=1, token=self._token)
                if reply is None or "error" in reply:
                    self._wire.cut()
                    raise NotConnectedError
            except NotConnectedError:
                failures += 1
            else:
                failures = 0
                self._ready.set()
                await self._wire.closed.wait()
                self._ready.clear()
            await asyncio.sleep(self._backoff_s(failures))

    async def _deliver(self, batch: list[Outgoing]) -> None:
        """Send a batch, and what of it is not acknowledged again and again."""
        failures, sent_at_ms = 0, 0
        while batch:
            await self._ready.wait()
            wire = self._wire
            assert wire is not None
            frames = []
            sent_at_ms = sent_at_ms or _now_ms()
            for outgoing in batch:
                outgoing.sent_at_ms = sent_at_ms
                frames.append(outgoing.frame())
                outgoing.tries += 1
            if self._dice.random() < _EPHEMERAL_SHARE:
                frames.append({**frames[0], "ephemeral": True, "message_id": f"e{batch[0].message_id}"})
            replies = await wire.ask(*frames)
            left = []
            for outgoing, reply in zip(batch, replies, strict=False):  # the ephemeral one's is of no interest
                if not self._settle(outgoing, reply, wire):
                    left.append(outgoing)
            batch = left
            if batch:
                failures += 1
                self.retries += len(batch)
                await asyncio.sleep(self._backoff_s(failures))

    def _settle(self, outgoing: Outgoing, reply: Reply, wire: Wire) -> bool:
        """Write down what became of it; return whether that is the end of it."""
        if reply is not None and "result" in reply:
            self._write(outgoing, reply["result"].get("position"), acknowledged=True)
            return True
        code = error_code(reply)
        if code == 1004:
            wire.cut()  # the server does not know this connection any more
        elif 1000 <= code < 2000:
            raise AssertionError(f"a publish is at fault: {reply}")
        if _now_ms() - outgoing.sent_at_ms > GIVE_UP_S * 1000:
            self._write(outgoing, None, acknowledged=False)
            return True
        return False

    def _write(self, outgoing: Outgoing, position: Any, *, acknowledged: bool) -> None:
        self._journal.write(
            "published",
            channel=outgoing.channel,
            user=self.user,
            message_id=outgoing.message_id,
            priority=outgoing.priority,
            digest=digest(outgoing.data),
            acknowledged=acknowledged,
            position=position,
            sent_at_ms=outgoing.sent_at_ms,
            batch=outgoing.batch,
            index=outgoing.index,
            acknowledged_at_ms=_now_ms() if acknowledged else None,
        )
        self._watch.was_settled(outgoing.channel, self.user, outgoing.message_id, acknowledged=acknowledged)

    async def _repeat(self, event: Event) -> None:
        """Publish once more what was acknowledged long ago, as a client does that never heard of it.

        Half of them by ``express``: the lanes' own queue would drop a repeat before the log is ever asked, and the
        reply tells the place, which has to be the old one.
        """
        frame = {
            "type": "publish",
            "channel": event["channel"],
            "name": event["name"],
            "data": event["data"],
            "message_id": event["message_id"],
            "priority": "express" if self._dice.random() < 0.5 else event["priority"],
            "retry": True,
        }
        await self._ready.wait()
        assert self._wire is not None
        reply = await self._wire.request(**frame)
        if reply is None or "error" in reply:
            return  # it was acknowledged before: nothing is owed
        self.late_repeats += 1
        self._journal.write(
            "published",
            channel=event["channel"],
            user=self.user,
            message_id=event["message_id"],
            priority=event["priority"],
            digest=digest(event["data"]),
            acknowledged=True,
            position=reply["result"].get("position"),
            sent_at_ms=event["published_at_ms"],
            batch=-1,
            index=0,
            acknowledged_at_ms=_now_ms(),
        )

    def _backoff_s(self, failures: int) -> float:
        return self._dice.uniform(0, min(_BACKOFF_S[1], _BACKOFF_S[0] * 2**failures))


def _ignore(_frame: Frame) -> None:
    """Publishers are subscribed to nothing but their personal and the broadcast channel."""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
