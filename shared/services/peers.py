"""Whom a request names as its peer, and whether its sender may reach them."""

from dataclasses import dataclass

from shared.domain.channel import personal_channel
from shared.domain.principal import Principal
from shared.errors import ForbiddenError, NoSuchPeerError
from shared.ports import ConnectionStore


@dataclass(frozen=True, slots=True)
class Peer:
    """A user, or one of their connections.

    Attributes:
        connection_id: The one that was named; ``None`` for all of them.
    """

    user_id: str
    connection_id: str | None

    @property
    def channel(self) -> str:
        """The personal channel."""
        return personal_channel(self.user_id)


def peer_of(
    principal: Principal, connections: ConnectionStore, *, user_id: str | None, connection_id: str | None, now_ms: int
) -> Peer:
    """Return who is named: a user, connected or not, or a connection.

    Raises:
        ForbiddenError: The principal may not send to that peer.
        NoSuchPeerError: There is no such connection, or it has not said who it is, or its token has ended.
    """
    if user_id is not None:
        if not principal.may("send", personal_channel(user_id)):
            raise ForbiddenError("the token does not allow to send to this user")
        return Peer(user_id, None)
    if not principal.may("send", f"connection:{connection_id}"):
        raise ForbiddenError("the token does not allow to send to this connection")
    connection = connections.get(connection_id or "")
    if connection is None or connection.principal is None or connection.principal.expired(now_ms / 1000):
        raise NoSuchPeerError
    return Peer(connection.principal.user_id, connection.connection_id)
