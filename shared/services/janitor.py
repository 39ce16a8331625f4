"""Finds the connections that never said goodbye, and the ones that never said who they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.connection import CHECK_AFTER_S
from shared.errors import ConnectionGoneError
from shared.ports import ConnectionStore, ConnectionTransport, Metrics
from shared.protocol.encode import to_json
from shared.services.sessions import Sessions

# A janitor that was away for longer than this finds connections that have expired by themselves.
_LOOK_BACK_MINUTES: Final = 150


@dataclass(frozen=True, slots=True)
class Janitor:
    """Walks the connections whose time to be asked about has come; one at a time walks.

    API Gateway ends a connection that was silent for 10 minutes, and tells us only if it can. So each is asked about
    11 minutes after it was opened, or was found alive: a half-open peer is gone after at most 12 minutes.
    """

    connections: ConnectionStore
    sessions: Sessions
    transport: ConnectionTransport
    metrics: Metrics
    now_ms: Callable[[], int]

    def sweep(self, has_time: Callable[[], bool]) -> int:
        """Ask about every connection that is due, minute by minute; return how many had gone.

        What there is no time for is left to the next call.
        """
        now = self.now_ms() // 60_000
        minute = max(self.connections.swept_minute() + 1, now - _LOOK_BACK_MINUTES)
        gone = 0
        while minute < now and has_time():
            gone += sum(self._gone(connection_id) for connection_id in self.connections.due(minute))
            self.connections.mark_swept(minute)
            minute += 1
        return gone

    def _gone(self, connection_id: str) -> bool:
        connection = self.connections.get(connection_id)
        if connection is None:
            # Closed properly, or expired: API Gateway keeps none for longer than 2 hours. Whatever is left goes.
            self.connections.close(connection_id)
            return False
        if self.transport.is_open(connection_id):
            self.connections.remind(connection_id, minute=(self.now_ms() // 1000 + CHECK_AFTER_S) // 60)
            return False
        self.sessions.disconnect(connection_id)
        self.metrics.count("StaleConnectionsRemoved")
        return True


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Closes who has not said who they are in time."""

    connections: ConnectionStore
    transport: ConnectionTransport
    metrics: Metrics

    def check(self, connection_id: str) -> bool:
        """Close the connection if it is still pending; return whether it was."""
        connection = self.connections.get(connection_id)
        if connection is None or connection.principal is not None:
            return False
        try:
            self.transport.push(connection_id, to_json(_NOT_AUTHENTICATED_IN_TIME))
            self.transport.close(connection_id)
        except ConnectionGoneError:
            self.metrics.count("StaleConnectionsRemoved")
        self.connections.close(connection_id)
        self.metrics.count("NotAuthenticatedInTime")
        return True


_NOT_AUTHENTICATED_IN_TIME: Final[dict[str, Any]] = {
    "type": "system",
    "event": "disconnect",
    "code": 3503,
    "name": "not_authenticated_in_time",
    "reconnect": False,
}
