"""End sessions because somebody says so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.connection import Session
from shared.errors import ConnectionGoneError, SessionUnknownError
from shared.ports import ConnectionStore, ConnectionTransport
from shared.protocol.encode import to_json
from shared.services.attendance import Attendance

REVOKED: Final[Mapping[str, Any]] = {
    "type": "system",
    "event": "disconnect",
    "code": 3501,
    "name": "revoked",
    "reconnect": False,
}


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """Ends sessions, whatever transport they have."""

    connections: ConnectionStore
    transport: ConnectionTransport
    now_ms: Callable[[], int]
    attendance: Attendance

    def end(self, session_id: str, user_id: str) -> None:
        """Let nobody take the session up again, and close its connection, if it has one.

        Raises:
            SessionUnknownError: It has ended, or is another user's.
        """
        session = self.connections.session(session_id)
        if session is None or session.user_id != user_id:
            raise SessionUnknownError("the session has ended, or is another user's")
        self._end(session)

    def end_connection(self, connection_id: str, told: Mapping[str, Any] | None) -> Exception | None:
        """Tell a connection why, close it, and let nobody take its session up again. A repeat changes nothing.

        Args:
            connection_id: Which.
            told: Why; ``None`` for one that has been told.

        Returns:
            What kept it from being told. It is closed all the same.
        """
        connection = self.connections.get(connection_id)
        session_id = connection.session_id if connection else None
        session = self.connections.session(session_id) if session_id else None
        if session is not None and session.connection_id == connection_id:
            return self._end(session, told)
        return self._close(connection_id, told)

    def _end(self, session: Session | None, told: Mapping[str, Any] | None = None) -> Exception | None:
        error = None
        while session is not None:  # again if it has just moved to another connection
            session_id, connection_id = session.session_id, session.connection_id
            self.connections.end_session(session_id, connection_id=connection_id, expires_at_s=self.now_ms() // 1000)
            error = self._close(connection_id, told) or error
            session = self.connections.session(session_id)
        return error

    def _close(self, connection_id: str, told: Mapping[str, Any] | None) -> Exception | None:
        error = None
        if told is not None:
            (error,) = self.transport.push_all([connection_id], [to_json(told)])
        try:
            self.transport.close(connection_id)
        except ConnectionGoneError:
            pass  # as it is to be
        finally:
            self.attendance.end(connection_id)
        return None if isinstance(error, ConnectionGoneError) else error
