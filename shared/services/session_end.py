"""End sessions because somebody says so."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from shared.errors import ConnectionGoneError, SessionUnknownError
from shared.ports import ConnectionStore, ConnectionTransport
from shared.services.attendance import Attendance


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
        while session is not None:  # again if it has just moved to another connection
            connection_id = session.connection_id
            self.connections.end_session(session_id, connection_id=connection_id, expires_at_s=self.now_ms() // 1000)
            try:
                with suppress(ConnectionGoneError):
                    self.transport.close(connection_id)
            finally:
                self.attendance.end(connection_id)
            session = self.connections.session(session_id)
