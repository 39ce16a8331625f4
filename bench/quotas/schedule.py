"""Publications' way to many connections in virtual time: the deployed fan-out, pacer, breaker, retries and shards.

Simulated are API Gateway's quota, the delivery queue, Lambda, and how long each takes (see the constants).
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from bench.quotas.account import LAMBDA_CONCURRENCY, REQUESTS_PER_S
from bench.quotas.virtual_time import VirtualTime
from infra.stage import StageConfig
from shared import namespaces
from shared.adapters.memory import (
    MemoryConnectionStore,
    MemoryLookQueue,
    MemoryMetrics,
    MemoryPresenceStore,
    MemoryStreamStore,
    MemoryTelling,
    MemoryTrail,
)
from shared.adapters.pusher import IN_FLIGHT_MAX
from shared.domain.breaker import CircuitBreaker
from shared.domain.connection import Interest
from shared.domain.gate import Gate
from shared.domain.rate import Pacer
from shared.errors import ConnectionGoneError, ThrottledError
from shared.ports import Broadcast, Delivery, Shard
from shared.services.attendance import Attendance
from shared.services.fan_out import SHARD_MAX_SUBSCRIBERS, SHARDS_MAX, FanOut
from shared.services.history import History
from shared.services.in_order import InOrder
from shared.services.streams import Streams

# Assumed, none was measured on AWS: from an event or a queued task to its function's first call, warm; one call of
# ``@connections``.
START_S: Final = 0.05
CALL_S: Final = 0.02
_EXECUTOR: Final = ThreadPoolExecutor(1)  # takes out who has gone, and nobody goes


@dataclass(frozen=True, slots=True)
class Scenario:
    """Who listens, and what else goes on.

    Attributes:
        channels: Each is published to once, all at the same moment.
        subscribers: Of each channel.
        inbound_per_s: What clients' frames take of the account's requests meanwhile.
    """

    channels: int
    subscribers: int
    inbound_per_s: int = 0


@dataclass(slots=True)
class Seen:
    """What came of it.

    Attributes:
        delivered: Connections that have the publication.
        delivered_s: When the last one had it, or was told ``lagged``.
        lagged: Those told where to ask for it instead.
        given_up: Those told nothing: they find the gap by themselves.
        peak_per_s: Calls that API Gateway took in the busiest second, inbound traffic not counted.
        throttled: Calls that it refused.
        functions: At a time, at most.
    """

    delivered: int = 0
    delivered_s: float = 0
    lagged: int = 0
    given_up: int = 0
    peak_per_s: int = 0
    throttled: int = 0
    functions: int = 0


class _Subscribers(MemoryConnectionStore):
    """Numbers in place of items: channel ``c`` has connections ``c/0`` to ``c/n``, spread over shards that are full."""

    def __init__(self, now_ms: Callable[[], int], subscribers: int) -> None:
        super().__init__(now_ms)
        self._subscribers = subscribers
        self._shards = 1
        while self._shards < SHARDS_MAX and subscribers > SHARD_MAX_SUBSCRIBERS * self._shards:
            self._shards *= 2

    def subscribers(
        self, channel: str, shard: int = 0, *, at_most: int | None = None, interest: Interest | None = None
    ) -> Shard:
        del interest
        here = [f"{channel}/{number}" for number in range(shard, self._subscribers, self._shards)]
        return Shard(here[:at_most], self._shards if shard == 0 else 1)

    def grow(self, channel: str, shards: int) -> None:
        """They have grown already."""


class _Gateway:
    """Takes so many calls in any second, less than AWS, whose bucket lets a burst through as well."""

    def __init__(self, time: VirtualTime, seen: Seen, inbound_per_s: int) -> None:
        self._time, self._seen, self._left_per_s = time, seen, REQUESTS_PER_S - inbound_per_s
        self._taken: deque[float] = deque()

    def push_all(
        self, connection_ids: Sequence[str], messages: Sequence[bytes], gate: Gate | None = None
    ) -> list[Exception | None]:
        """As the pusher does it: each call at its turn of the pacer, and so many at a time."""
        assert gate is not None
        answers_s: deque[float] = deque(maxlen=IN_FLIGHT_MAX)
        outcomes: list[Exception | None] = []
        for _ in connection_ids:
            if len(answers_s) == IN_FLIGHT_MAX:
                self._time.sleep_until(answers_s[0])
            self._time.sleep_until(self._time.now_s() + gate.pacer.turn())
            answers_s.append(self._time.now_s() + CALL_S)
            outcomes.append(self._call(messages[0]))
            gate.breaker.record(failed=False)  # 429 is no failure
        self._time.sleep_until(answers_s[-1])
        return outcomes

    def _call(self, message: bytes) -> Exception | None:
        now_s, seen = self._time.now_s(), self._seen
        while self._taken and self._taken[0] <= now_s - 1:
            self._taken.popleft()
        if len(self._taken) >= self._left_per_s:
            seen.throttled += 1
            return ThrottledError("too many requests")
        self._taken.append(now_s)
        seen.peak_per_s = max(seen.peak_per_s, len(self._taken))
        if b'"lagged"' in message:
            seen.lagged += 1
        else:
            seen.delivered += 1
        seen.delivered_s = now_s + CALL_S
        return None

    def last_active_ms(self, connection_id: str) -> int | None:
        """Nobody asks here."""
        raise ConnectionGoneError(connection_id)

    def close(self, connection_id: str) -> None:
        """Nobody is closed here."""
        raise ConnectionGoneError(connection_id)


class _Functions:
    """Environments of ``fan_out``, each with a pacer of its own; what finds none free waits."""

    def __init__(
        self, time: VirtualTime, count: int, make: Callable[[], FanOut], started: Callable[[int], None]
    ) -> None:
        self._time, self._count, self._make, self._started = time, count, make, started
        self._idle: list[FanOut] = []
        self._made = 0
        self._waiting: deque[Callable[[FanOut], object]] = deque()

    def invoke(self, work: Callable[[FanOut], object]) -> None:
        self._waiting.append(work)
        self._next()

    def _next(self) -> None:
        if not self._waiting or (not self._idle and self._made == self._count):
            return
        if not self._idle:
            self._made += 1
            self._idle.append(self._make())
        fan_out, work = self._idle.pop(), self._waiting.popleft()
        self._started(1)

        def run() -> None:
            work(fan_out)
            self._started(-1)
            self._idle.append(fan_out)
            self._next()

        self._time.at(self._time.now_s() + START_S, run)


class Schedule:
    """One run. Events go to a function each, the delivery queue's tasks to ``push_concurrency`` of them."""

    def __init__(self, stage: StageConfig, scenario: Scenario, *, seed: int = 1) -> None:
        self.seen = Seen()
        self._time, self._scenario = VirtualTime(), scenario
        self._random = Random(seed)  # nosec B311 # jitter, the same in each run
        self._gateway = _Gateway(self._time, self.seen, scenario.inbound_per_s)
        self._subscribers = _Subscribers(self._time.now_ms, scenario.subscribers)
        self._metrics = MemoryMetrics()
        self._function_per_s = stage.push_rate_per_s // stage.push_concurrency  # as infra/constructs/fan_out_bus.py
        self._running = 0
        queued = stage.push_concurrency
        self._queue = _Functions(self._time, queued, self._fan_out, self._count)
        self._events = _Functions(self._time, LAMBDA_CONCURRENCY - queued, self._fan_out, self._count)

    def run(self) -> Seen:
        """Publish, and return when nothing is left to do."""
        for number in range(self._scenario.channels):
            broadcast = Broadcast(f"{number}", [_frame(f"{number}")])
            self._events.invoke(lambda fan_out, broadcast=broadcast: fan_out.deliver(broadcast))  # type: ignore[misc]
        self._time.run(tasks_max=LAMBDA_CONCURRENCY)
        given_up = sum(self._metrics.values["DeliveriesGivenUp"])
        self.seen.given_up = int(given_up)
        return self.seen

    def send(self, deliveries: Sequence[Delivery], *, delay_s: int) -> None:
        """Take what is left of a delivery, as the delivery queue does."""
        for delivery in deliveries:

            def arrive(delivery: Delivery = delivery) -> None:
                self._queue.invoke(lambda fan_out: fan_out.resume(delivery))

            self._time.at(self._time.now_s() + delay_s, arrive)

    def _count(self, more: int) -> None:
        self._running += more
        self.seen.functions = max(self.seen.functions, self._running)

    def _in_order(self) -> InOrder:
        """Return what nobody needs: no subscriber is positioned."""
        now_ms = self._time.now_ms
        history = History(Streams(MemoryStreamStore(), namespaces.parse(""), now_ms))
        telling = MemoryTelling(self._subscribers, now_ms)
        return InOrder(telling, history, _EXECUTOR, lambda _s: None, now_ms, _raise)

    def _fan_out(self) -> FanOut:
        now_ms = self._time.now_ms
        attendance = Attendance(
            MemoryPresenceStore(now_ms), self._subscribers, MemoryLookQueue(), self._metrics, now_ms
        )
        return FanOut(
            connections=self._subscribers,
            transport=self._gateway,
            deliveries=self,
            gate=Gate(CircuitBreaker(now_ms), Pacer(self._function_per_s, self._time.now_s)),
            executor=_EXECUTOR,
            metrics=self._metrics,
            now_ms=now_ms,
            on_failure=_raise,
            attendance=attendance,
            trail=MemoryTrail(),
            in_order=self._in_order(),
            uniform=self._random.uniform,
        )


def _frame(channel: str) -> dict[str, Any]:
    return {"type": "event", "channel": channel, "epoch": "1-a", "offset": 1, "data": "x" * 250}


def _raise(_channel: str, error: Exception) -> None:
    raise error
