"""Whose frames are handled, and whether they still may be: a batch can take longer than its connection lives."""

from dataclasses import dataclass, field
from typing import Any, Final

from shared.domain.connection import Connection
from shared.domain.principal import Principal
from shared.errors import ForbiddenError, RateLimitedError, UnauthenticatedError, UnavailableError
from shared.ports import ConnectionStore
from shared.services.publish_batch import PublishBatch

# A live socket can lose its record: API Gateway answered a push with 410 by mistake, or the record expired. Nothing
# reaches it then, so the client has to be told to come back: with its session, and what it asked for asked again.
CONNECTION_UNKNOWN: Final = {
    "type": "system",
    "event": "disconnect",
    "code": 3004,
    "name": "connection_unknown",
    "reconnect": True,
}
MIXED: Final = {
    "type": "system",
    "event": "disconnect",
    "code": 3502,
    "name": "protocol_violation",
    "reconnect": False,
}
# Who was thrown out is to be so at once, however long the rest of their batch takes. Nearly all take less than that.
_READ_AGAIN_AFTER_MS: Final = 1_000


class ConnectionUnknownError(UnavailableError):
    """Nothing was done."""

    def __init__(self) -> None:
        super().__init__("the server does not know this connection any more: open a new one")


class MixedProtocolsError(ForbiddenError):
    """The connection has begun to speak another protocol."""

    def __init__(self) -> None:
        super().__init__("this connection speaks another protocol")


@dataclass(slots=True)
class Caller:
    """Whose frames these are; ``hello`` changes it for the frames behind it.

    Attributes:
        received_at_ms: When the frames came in.
        read_at_ms: When the connection was read.
        publications: Those among the frames, by their places.
        refused: Why the rest of the batch is, if the connection sends too much.
        gone: The connection was not there when it was read again.
        told: What else it is to be told, behind the replies.
    """

    connection: Connection
    received_at_ms: int
    read_at_ms: int
    publications: PublishBatch
    refused: RateLimitedError | None = None
    gone: bool = False
    told: list[dict[str, Any]] = field(default_factory=list)

    @property
    def principal(self) -> Principal:
        """Who it is.

        Raises:
            UnauthenticatedError: Nobody has said.
        """
        if self.connection.principal is None:
            raise UnauthenticatedError("say hello with a token first")
        return self.connection.principal

    def look_again(self, connections: ConnectionStore, now_ms: int) -> None:
        """Read the connection again if that was a while ago: it may have another token by now, or have gone.

        Raises:
            ConnectionUnknownError: It has; so the rest of the batch is refused.
        """
        if not self.gone and now_ms - self.read_at_ms > _READ_AGAIN_AFTER_MS:
            connection = connections.get(self.connection.connection_id)
            if connection is None:
                # Revoked, ended, or its session has moved: what is left of the batch can be sent where that is now.
                self.gone = True
                self.told.append(CONNECTION_UNKNOWN)
            else:
                self.connection, self.read_at_ms = connection, now_ms
        if self.gone:
            raise ConnectionUnknownError
