"""Finds the connections that never said goodbye, and the ones that never said who they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.connection import CHECK_AFTER_S, DEADLINE_MAX_DELAY_S, TOKEN_WARNING_S, Connection
from shared.domain.principal import Principal
from shared.errors import ConnectionGoneError, LimitReachedError, UnauthenticatedError
from shared.ports import ConnectionStore, ConnectionTransport, DeadlineQueue, Metrics
from shared.protocol.encode import to_json
from shared.services.attendance import Attendance
from shared.services.session_end import REVOKED
from shared.services.sessions import Sessions

# A janitor that was away for longer than this finds connections that have expired by themselves.
LOOK_BACK_MINUTES: Final = 150
_SWEEP_S: Final = 90  # so long after its minute a connection has been looked at
_AFTER_OTHERS_S: Final = 5


@dataclass(frozen=True, slots=True)
class Janitor:
    """Walks the connections whose time to be asked about has come; one at a time walks.

    API Gateway ends a connection that was silent for 10 minutes, and tells us only if it can. So each is asked about
    640 s after something last passed on it: by then API Gateway knows. Reminders and runs tell whole minutes, so who
    fell silent is gone after 13 at most, as long as the runs have time for all that are due.

    Attributes:
        on_failure: Is told of what kept a connection from being looked at.
    """

    connections: ConnectionStore
    sessions: Sessions
    transport: ConnectionTransport
    metrics: Metrics
    now_ms: Callable[[], int]
    on_failure: Callable[[Exception], None]
    attendance: Attendance
    deadlines: DeadlineQueue

    def sweep(self, has_time: Callable[[], bool]) -> int:
        """Ask about every connection that is due, minute by minute; return how many had gone.

        What there is no time for is left to the next call. A connection that can't be looked at stops no other: it is
        due again in a minute.
        """
        now = self.now_ms() // 60_000
        minute = max(self.connections.swept_minute() + 1, now - LOOK_BACK_MINUTES)
        gone = 0
        errors: dict[type[Exception], Exception] = {}  # of each kind one is told: it may be the same for thousands
        while minute < now and has_time():
            for connection_id in self.connections.due(minute):
                try:
                    gone += self._gone(connection_id)
                except Exception as error:  # told to on_failure
                    errors[type(error)] = error
                    self.connections.remind(connection_id, minute=self.now_ms() // 60_000)
                if not has_time():
                    self.connections.mark_looked_at(minute, connection_id)
                    break
            else:
                self.connections.mark_swept(minute)
                minute += 1
        for failure in errors.values():
            self.on_failure(failure)
        return gone

    def _gone(self, connection_id: str) -> bool:
        connection = self.connections.get(connection_id)
        if connection is None:
            # Closed properly, or expired: API Gateway keeps none for longer than 2 hours. Whatever is left goes.
            self.attendance.end(connection_id)
            return False
        active_ms = self.transport.last_active_ms(connection_id)
        if active_ms is not None:
            # This minute at the earliest: those before it may have been swept.
            due_ms = max(active_ms + CHECK_AFTER_S * 1000, self.now_ms())
            self.connections.remind(connection_id, minute=due_ms // 60_000)
            named = self.connections.get(connection.alias) if connection.alias else None
            self._watch_token(named or connection, next_look_s=(due_ms // 60_000 + 1) * 60 + _SWEEP_S)
            return False
        self.sessions.disconnect(connection_id)
        self.metrics.count("StaleConnectionsRemoved")
        return True

    def _watch_token(self, connection: Connection, *, next_look_s: int) -> None:
        """Have somebody look when the token is about to end, if that is before the next look."""
        if connection.principal is None or connection.principal.expires_at_s is None:
            return
        # A little after whoever was told of the token has had somebody look: it may have been refreshed by then.
        ends_s = connection.principal.expires_at_s
        at_s = ends_s - TOKEN_WARNING_S + _AFTER_OTHERS_S
        if at_s <= next_look_s:
            delay_s = min(max(0, at_s - self.now_ms() // 1000), DEADLINE_MAX_DELAY_S)
            self.deadlines.send_token_end(connection.connection_id, token_expires_at_s=ends_s, delay_s=delay_s)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Closes who has not said who they are in time, whose token has ended, and who has lost their session to another
    connection; warns whose token is about to end; sees to who came by a ticket.

    A message may come twice, or late: what the records say then decides.
    """

    connections: ConnectionStore
    sessions: Sessions
    transport: ConnectionTransport
    metrics: Metrics
    queue: DeadlineQueue
    now_ms: Callable[[], int]

    def check(self, connection_id: str, token_expires_at_s: int | None = None) -> None:
        """Close the connection if it is still pending, or its token has ended; tell it if that is about to.

        Args:
            connection_id: Which.
            token_expires_at_s: The token's that it is to be told of; where it has another by now, nothing is to do.
        """
        connection = self.connections.get(connection_id)
        if connection is None or connection.alias is not None:
            return
        if connection.principal is None:
            self._close(connection_id, _NOT_AUTHENTICATED_IN_TIME)
            self.metrics.count("NotAuthenticatedInTime")
        elif connection.principal.expires_at_s is not None:
            self._check_token(connection_id, connection.principal, token_expires_at_s)

    def _check_token(self, connection_id: str, principal: Principal, told_of_s: int | None) -> None:
        expires_at_s = principal.expires_at_s
        assert expires_at_s is not None
        left_s = expires_at_s - self.now_ms() // 1000
        if left_s <= 0 and self.sessions.authentication.revoked(principal.user_id, principal.issued_at_s):
            self._close(connection_id, REVOKED)  # it came in meanwhile
            self.metrics.count("ConnectionsRevoked")
        elif left_s <= 0:
            self._close(connection_id, _TOKEN_EXPIRED)
            self.metrics.count("TokensExpired")
        elif told_of_s != expires_at_s:
            return  # it has been refreshed
        elif left_s > TOKEN_WARNING_S:  # by this clock it is early
            delay_s = min(left_s - TOKEN_WARNING_S, DEADLINE_MAX_DELAY_S)
            self.queue.send_token_end(connection_id, token_expires_at_s=expires_at_s, delay_s=delay_s)
        else:
            self._warn(connection_id, expires_at_s, left_s)

    def _warn(self, connection_id: str, expires_at_s: int, left_s: int) -> None:
        # First: it ends also where it can't be told of that.
        self.queue.send_token_end(connection_id, token_expires_at_s=expires_at_s, delay_s=left_s)
        warning = {"type": "system", "event": "token_expiring", "expires_at_ms": expires_at_s * 1000}
        (error,) = self.transport.push_all([connection_id], [to_json(warning)])
        if isinstance(error, ConnectionGoneError):
            self._gone(connection_id)
        elif error:
            raise error

    def arrived(self, connection_id: str) -> None:
        """Have one that came by a ticket, and has said nothing, be found all the same; close it if it may not be there.

        Whoever revokes its user finds it from now on, and it ends with its token. So does one that has asked something
        meanwhile: who announced it may have failed on the way.
        """
        connection = self.connections.get(connection_id)
        if connection is None:
            return
        try:
            self.sessions.announce(connection)
        except LimitReachedError:
            self._close(connection_id, _LIMIT_REACHED)
        except UnauthenticatedError:
            pass  # revoked: it has been turned out

    def superseded(self, connection_id: str) -> bool:
        """Close the connection if its session is still another's; return whether it was.

        A client that has moved has closed it by now. One that is still there may not know that it has lost its session:
        a late ``hello`` of a connection that it had given up can take it.
        """
        connection = self.connections.get(connection_id)
        if connection is None or connection.session_id is None:
            return False
        session = self.connections.session(connection.session_id)
        if session is not None and session.connection_id == connection_id:
            return False
        self._close(connection_id, _SUPERSEDED)
        return True

    def _close(self, connection_id: str, told: Mapping[str, Any]) -> None:
        try:
            (error,) = self.transport.push_all([connection_id], [to_json(told)])
            if error:
                raise error
            self.transport.close(connection_id)
        except ConnectionGoneError:
            self._gone(connection_id)
        else:
            self.sessions.disconnect(connection_id)

    def _gone(self, connection_id: str) -> None:
        self.metrics.count("StaleConnectionsRemoved")
        self.sessions.disconnect(connection_id)


_TOKEN_EXPIRED: Final[dict[str, Any]] = {
    "type": "system",
    "event": "disconnect",
    "code": 3500,
    "name": "token_expired",
    "reconnect": False,
}
_NOT_AUTHENTICATED_IN_TIME: Final[dict[str, Any]] = {
    "type": "system",
    "event": "disconnect",
    "code": 3503,
    "name": "not_authenticated_in_time",
    "reconnect": False,
}
_LIMIT_REACHED: Final[dict[str, Any]] = {
    "type": "system",
    "event": "disconnect",
    "code": LimitReachedError.code,
    "name": LimitReachedError.name,
    "reconnect": False,
}
_SUPERSEDED: Final[dict[str, Any]] = {"type": "system", "event": "superseded"}
