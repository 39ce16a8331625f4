"""A command that was passed on to a peer and waits for its answer."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PendingCommand:
    """Who asked, who was asked, and until when.

    Attributes:
        asker_connection_id: Where it was asked.
        asker_session_id: The asker's session, whose connection may be another by the time of the answer.
        request_id: The ``id`` of the request, which the reply has.
        peer_connection_id: The one connection that may answer; ``None`` if every one of the peer's may.
        expires_at_ms: When nobody waits any more, Unix milliseconds.
    """

    command_id: str
    asker_user_id: str
    asker_connection_id: str
    asker_session_id: str | None
    request_id: int | str
    peer_user_id: str
    peer_connection_id: str | None
    expires_at_ms: int

    def may_be_answered_by(self, user_id: str, connection_id: str) -> bool:
        """Tell whether it was put to this user, on this connection."""
        return user_id == self.peer_user_id and self.peer_connection_id in (None, connection_id)
