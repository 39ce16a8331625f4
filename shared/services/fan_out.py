"""Deliver a channel's pushes to its subscribers. Nobody's failure stops the others."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.centrifugo import is_centrifugo
from shared.domain.correlation import about, note, of_frames
from shared.domain.gate import Gate
from shared.errors import ConnectionGoneError, UnavailableError
from shared.ports import (
    Broadcast,
    ConnectionStore,
    ConnectionTransport,
    Delivery,
    DeliveryQueue,
    Metrics,
    Shard,
    Trail,
)
from shared.protocol.centrifugo.replies import BY_SERVER, as_text, for_server_side
from shared.protocol.encode import encode_frames
from shared.services.attendance import Attendance
from shared.services.in_order import InOrder

# After the last try the publication stays in the log, and the client finds the gap: prev_offset, sync, resubscribing.
MAX_ATTEMPTS: Final = 6
# From this try on, a connection that did not take the events is told `lagged` in their place: that fits where they do
# not, and leads the client to `history`.
LAGGED_FROM_ATTEMPT: Final = 2
_BACKOFF_MAX_S: Final = 60
_CONNECTIONS_PER_DELIVERY: Final = 500  # keeps a queue message with 10 large events under SQS's 1 MiB
# A shard with more subscribers is worth another function's help: a second at a function's part of the account's rate.
SHARD_MAX_SUBSCRIBERS: Final = 1_000
SHARDS_MAX: Final = 64

Frame = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FanOut:
    """One channel's pushes, many connections.

    Attributes:
        gate: Stands before the transport, and keeps this process's pushes to its part of the account's rate.
        on_failure: Is told of a channel's errors that nobody expects.
    """

    connections: ConnectionStore
    transport: ConnectionTransport
    deliveries: DeliveryQueue
    gate: Gate
    executor: Executor
    metrics: Metrics
    now_ms: Callable[[], int]
    on_failure: Callable[[str, Exception], None]
    attendance: Attendance
    trail: Trail
    in_order: InOrder
    uniform: Callable[[float, float], float] = random.uniform

    def deliver(self, broadcast: Broadcast) -> int:
        """Push to every subscriber, the shards of large channels by way of the delivery queue; return how many took it.

        Who can't be reached now is tried again later, from that queue. Who has gone is taken out.
        """
        ids = of_frames(broadcast.channel, broadcast.frames)
        with about(ids):
            return self._deliver(broadcast, ids)

    def _deliver(self, broadcast: Broadcast, ids: Sequence[str]) -> int:
        channel, frames, interest, but = broadcast.channel, broadcast.frames, broadcast.interest, broadcast.but
        if broadcast.connection_id is not None:
            return self._push(channel, frames, ids, [broadcast.connection_id], attempt=0)
        shard = self.connections.subscribers(channel, interest=interest)
        others = [
            Delivery(channel, frames, None, 0, shard=number, interest=interest, but=but)
            for number in range(1, shard.count)
        ]
        if others:
            self.deliveries.send(others, delay_s=0)
        self._grow(channel, shard.count, len(shard.connection_ids))
        return self._push_shard(channel, frames, ids, shard, 0, but=but, attempt=0)

    def deliver_to_few(self, broadcast: Broadcast, *, at_most: int) -> bool:
        """As :meth:`deliver`, unless there are more subscribers than that: then do nothing and return False."""
        shard = self.connections.subscribers(broadcast.channel, at_most=at_most + 1, interest=broadcast.interest)
        if shard.count > 1 or len(shard.connection_ids) > at_most:
            return False
        ids = of_frames(broadcast.channel, broadcast.frames)
        self._push_shard(broadcast.channel, broadcast.frames, ids, shard, 0, but=broadcast.but, attempt=0)
        return True

    def catch_up(self, channel: str, shard: int) -> None:
        """Have a shard's positioned subscribers be told what they lack, to the end of the log."""
        self._push_in_order(channel, (), (), shard, attempt=0)

    def resume(self, delivery: Delivery) -> int:
        """Push to a shard, or to the connections that are left; return how many took it."""
        ids = delivery.about or of_frames(delivery.channel, delivery.frames)
        with about(ids):
            return self._resume(delivery, ids)

    def _resume(self, delivery: Delivery, ids: Sequence[str]) -> int:
        channel, frames, attempt = delivery.channel, delivery.frames, delivery.attempt
        if delivery.connection_ids is not None:
            return self._push(channel, frames, ids, delivery.connection_ids, attempt=attempt)
        if delivery.positioned:
            return self._push_in_order(channel, frames, ids, delivery.shard, attempt=attempt)
        shard = self.connections.subscribers(channel, delivery.shard, interest=delivery.interest)
        self._grow(channel, delivery.shard + 1, len(shard.connection_ids))
        return self._push_shard(channel, frames, ids, shard, delivery.shard, but=delivery.but, attempt=attempt)

    def _grow(self, channel: str, shards: int, subscribers: int) -> None:
        if subscribers > SHARD_MAX_SUBSCRIBERS and shards < SHARDS_MAX:
            self.connections.grow(channel, 1 << shards.bit_length())

    def _push_shard(
        self,
        channel: str,
        frames: Sequence[Frame],
        ids: Sequence[str],
        shard: Shard,
        number: int,
        *,
        but: str | None,
        attempt: int,
    ) -> int:
        everybody = [one for one in shard.connection_ids if one != but]
        positioned = [one for one in everybody if one in shard.positioned]
        as_it_comes = [one for one in everybody if one not in shard.positioned]
        by_server = [one for one in as_it_comes if one in shard.by_server]
        delivered = 0
        if by_server:
            delivered = self._push(channel, for_server_side(frames), ids, by_server, attempt=attempt)
            as_it_comes = [one for one in as_it_comes if one not in shard.by_server]
        if as_it_comes or not everybody:
            delivered += self._push(channel, frames, ids, as_it_comes, attempt=attempt)
        if not positioned:
            return delivered
        events = [frame for frame in frames if "offset" in frame]
        others = [frame for frame in frames if "offset" not in frame]
        for fossil in (False, True) if others else ():
            some = [one for one in positioned if (one in shard.fossil) is fossil]
            if some:
                delivered += self._push(channel, as_text(others) if fossil else others, ids, some, attempt=attempt)
        return delivered + (self._push_in_order(channel, events, ids, number, attempt=attempt) if events else 0)

    def _push_in_order(
        self, channel: str, events: Sequence[Frame], ids: Sequence[str], shard: int, *, attempt: int
    ) -> int:
        delivered = 0

        def push(connection_ids: Sequence[str], frames: Sequence[Frame]) -> Sequence[str]:
            nonlocal delivered
            accepted, remaining = self._send(channel, frames, ids, connection_ids, attempt=attempt)
            delivered += accepted
            return remaining

        try:
            lost = self.in_order.tell(channel, shard, events, push)
        except UnavailableError:
            if attempt + 1 < MAX_ATTEMPTS:  # else the next publication brings these with it
                again = Delivery(channel, events, None, attempt + 1, shard=shard, positioned=True, about=ids)
                # Altogether longer than a turn: whoever has died with it is no reason to give up.
                self.deliveries.send([again], delay_s=2 ** (attempt + 1) + 1)
            return delivered
        if lost:
            lagged = {"type": "system", "event": "lagged", "channel": channel}
            self._push(channel, [lagged], ids, lost, attempt=LAGGED_FROM_ATTEMPT - 1)
        return delivered

    def _push(
        self, channel: str, frames: Sequence[Frame], ids: Sequence[str], connection_ids: Sequence[str], *, attempt: int
    ) -> int:
        # Not while it is half open: where nothing but ephemeral events passes, one of them has to be the trial.
        if self.gate.breaker.state == "open":
            frames = self._shed(frames)
        if not frames or not connection_ids:
            self.trail.step("not pushed", ids, why="nobody is there" if frames else "the breaker is open")
            return 0
        delivered, remaining = self._send(channel, frames, ids, connection_ids, attempt=attempt)
        if frames[0].get("event") == "lagged" and BY_SERVER in frames[0]:
            left = set(remaining)
            self._close(channel, [one for one in connection_ids if one not in left])
        self._later(channel, frames, ids, remaining, attempt + 1)
        return delivered

    def _send(
        self, channel: str, frames: Sequence[Frame], ids: Sequence[str], connection_ids: Sequence[str], *, attempt: int
    ) -> tuple[int, Sequence[str]]:
        """Push now; return how many took it, and who else may be there. Who has gone is taken out."""
        outcomes = self.transport.push_all(connection_ids, encode_frames(frames), self.gate)
        failed = [(c, error) for c, error in zip(connection_ids, outcomes, strict=True) if error]
        gone = [c for c, error in failed if isinstance(error, ConnectionGoneError)]
        remaining = [c for c, error in failed if not isinstance(error, ConnectionGoneError)]
        expected = (ConnectionGoneError, UnavailableError)
        self._tell(channel, [error for _, error in failed if not isinstance(error, expected)], ids)
        delivered = len(outcomes) - len(failed)
        self._measure(frames, delivered, len(gone), len(remaining))
        self.trail.step("pushed", ids, delivered=delivered, gone=len(gone), left=len(remaining), attempt=attempt)
        self._take_out(channel, gone)
        return delivered, remaining

    def _take_out(self, channel: str, connection_ids: Sequence[str]) -> None:
        # $disconnect is best effort on API Gateway: a 410 is how one learns of the rest.
        def take_out(connection_id: str) -> Exception | None:
            try:
                self.attendance.end(connection_id, found_in=channel)
            except Exception as error:  # the next push to it is told 410 again
                return error
            return None

        self._tell(channel, [error for error in self.executor.map(take_out, connection_ids) if error])

    def _close(self, channel: str, connection_ids: Sequence[str]) -> None:
        """Have clients come back that ask for nothing that they were not told of."""

        def close(connection_id: str) -> Exception | None:
            try:
                self.transport.close(connection_id)
            except ConnectionGoneError:
                return None
            except Exception as error:  # it ends by itself, after 2 hours at the latest
                return error
            return None

        self._tell(channel, [error for error in self.executor.map(close, connection_ids) if error])

    def _tell(self, channel: str, errors: Sequence[Exception], ids: Sequence[str] = ()) -> None:
        """Report each kind of error once: a shard's thousand connections may all have the same."""
        for error in {type(error): error for error in errors}.values():
            note(error, ids)
            self.on_failure(channel, error)

    def _shed(self, frames: Sequence[Frame]) -> list[Frame]:
        """Leave out what is worth nothing later."""
        kept = [frame for frame in frames if not frame.get("ephemeral") and frame["type"] != "typing"]
        if len(kept) < len(frames):
            self.metrics.count("EphemeralShed", len(frames) - len(kept))
        return kept

    def _later(
        self, channel: str, frames: Sequence[Frame], ids: Sequence[str], connection_ids: Sequence[str], attempt: int
    ) -> None:
        if not connection_ids:
            return
        frames = self._shed(frames)
        if attempt >= LAGGED_FROM_ATTEMPT:
            frames = _lagged(channel, frames)
        if attempt >= MAX_ATTEMPTS:
            self.metrics.count("DeliveriesGivenUp", len(connection_ids))
            self.trail.step("given up", ids, always=True, connections=len(connection_ids))
            self._close(channel, list(filter(is_centrifugo, connection_ids)))
            return
        if not frames:
            return
        named = () if attempt < LAGGED_FROM_ATTEMPT else ids
        some = [
            Delivery(channel, frames, connection_ids[start : start + _CONNECTIONS_PER_DELIVERY], attempt, about=named)
            for start in range(0, len(connection_ids), _CONNECTIONS_PER_DELIVERY)
        ]
        # Full jitter: aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter
        self.deliveries.send(some, delay_s=math.ceil(self.uniform(0, min(2**attempt, _BACKOFF_MAX_S))))

    def _measure(self, frames: Sequence[Frame], delivered: int, gone: int, remaining: int) -> None:
        self.metrics.count("Deliveries", delivered)
        if gone:
            self.metrics.count("StaleConnectionsRemoved", gone)
        if remaining:
            self.metrics.count("DeliveriesDelayed", remaining)
        if delivered:
            for frame in frames:
                if "published_at_ms" in frame:
                    self.metrics.milliseconds("PublishToDeliverLatency", self.now_ms() - frame["published_at_ms"])


def _lagged(channel: str, frames: Sequence[Frame]) -> list[Frame]:
    """Return what stands for these pushes: the position that the client does not reach by them; the rest as it is."""
    events = [frame for frame in frames if frame["type"] == "event"]
    rest = [frame for frame in frames if frame["type"] != "event"]
    if not events:
        return rest
    position = {"epoch": events[-1]["epoch"], "offset": events[-1]["offset"]}
    lagged = {"type": "system", "event": "lagged", "channel": channel, "position": position}
    return [*(for_server_side([lagged]) if BY_SERVER in events[-1] else [lagged]), *rest]
