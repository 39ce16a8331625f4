"""Deliver a channel's events to its subscribers. Nobody's failure stops the others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from shared.errors import ConnectionGoneError, UnavailableError
from shared.ports import ConnectionStore, ConnectionTransport, Delivery, DeliveryQueue, Metrics
from shared.protocol.encode import encode_frames

# After the last try the event stays in the log, and the client finds the gap: prev_offset, sync, resubscribing.
MAX_ATTEMPTS: Final = 6
_CONNECTIONS_PER_DELIVERY: Final = 500  # keeps a queue message with 10 large events under SQS's 1 MiB


@dataclass(frozen=True, slots=True)
class FanOut:
    """One channel's events, many connections."""

    connections: ConnectionStore
    transport: ConnectionTransport
    deliveries: DeliveryQueue
    executor: Executor
    metrics: Metrics
    now_ms: Callable[[], int]

    def deliver(self, channel: str, frames: Sequence[Mapping[str, Any]]) -> int:
        """Push the events to every subscriber; return how many took them.

        Who can't be reached now is tried again later, from the delivery queue. Who has gone is taken out.
        """
        return self._deliver(channel, frames, self.connections.subscribers(channel), attempt=0)

    def deliver_to_few(self, channel: str, frames: Sequence[Mapping[str, Any]], *, at_most: int) -> bool:
        """As :meth:`deliver`, unless there are more subscribers than that: then do nothing and return False."""
        connection_ids = list(islice(self.connections.subscribers(channel), at_most + 1))
        if len(connection_ids) > at_most:
            return False
        self._deliver(channel, frames, connection_ids, attempt=0)
        return True

    def resume(self, delivery: Delivery) -> int:
        """Push to the connections that are left; return how many took it."""
        return self._deliver(delivery.channel, delivery.frames, delivery.connection_ids, attempt=delivery.attempt)

    def _deliver(
        self, channel: str, frames: Sequence[Mapping[str, Any]], connection_ids: Iterable[str], *, attempt: int
    ) -> int:
        messages = encode_frames(frames)

        def push(connection_id: str) -> tuple[str, Exception | None]:
            try:
                for message in messages:
                    self.transport.push(connection_id, message)
            except (ConnectionGoneError, UnavailableError) as error:
                return connection_id, error
            return connection_id, None

        outcomes = list(self.executor.map(push, connection_ids))
        gone = [connection_id for connection_id, error in outcomes if isinstance(error, ConnectionGoneError)]
        remaining = [connection_id for connection_id, error in outcomes if isinstance(error, UnavailableError)]
        delivered = len(outcomes) - len(gone) - len(remaining)
        self._measure(frames, delivered, len(gone), len(remaining))
        for connection_id in gone:
            # $disconnect is best effort on API Gateway: a 410 is how one learns of the rest.
            self.connections.close(connection_id)
        self._later(channel, frames, remaining, attempt + 1)
        return delivered

    def _later(
        self, channel: str, frames: Sequence[Mapping[str, Any]], connection_ids: Sequence[str], attempt: int
    ) -> None:
        if not connection_ids:
            return
        if attempt >= MAX_ATTEMPTS:
            self.metrics.count("DeliveriesGivenUp", len(connection_ids))
            return
        for start in range(0, len(connection_ids), _CONNECTIONS_PER_DELIVERY):
            some = connection_ids[start : start + _CONNECTIONS_PER_DELIVERY]
            self.deliveries.send(Delivery(channel, frames, some, attempt), delay_s=2 ** (attempt - 1))

    def _measure(self, frames: Sequence[Mapping[str, Any]], delivered: int, gone: int, remaining: int) -> None:
        self.metrics.count("Deliveries", delivered)
        if gone:
            self.metrics.count("StaleConnectionsRemoved", gone)
        if remaining:
            self.metrics.count("DeliveriesDelayed", remaining)
        if delivered:
            for frame in frames:
                self.metrics.milliseconds("PublishToDeliverLatency", self.now_ms() - frame["published_at_ms"])
