"""What servers do to users' connections that speak Centrifugo's protocol. For admins."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from shared.domain.centrifugo import is_centrifugo, websocket_id
from shared.domain.connection import Connection
from shared.domain.principal import Principal
from shared.errors import ConnectionGoneError, ForbiddenError, UnauthenticatedError
from shared.ports import ConnectionStore, ConnectionTransport
from shared.protocol.centrifugo import codes, server_api
from shared.protocol.centrifugo import commands as theirs
from shared.protocol.centrifugo.replies import Reply, encode, ending, push_of
from shared.services.admin import check_admin
from shared.services.centrifugo_reading import channel_of
from shared.services.centrifugo_requests import CentrifugoRequests
from shared.services.revocation import Revocation
from shared.services.sessions import Sessions

# Of the answer to `subscribe`, what the push of this name has.
_TOLD: Final = ("recoverable", "positioned", "epoch", "offset")


@dataclass(frozen=True, slots=True)
class CentrifugoUsers:
    """Subscribes, refreshes and ends. What is asked of a user nobody is connected as is done at once."""

    requests: CentrifugoRequests
    connections: ConnectionStore
    sessions: Sessions
    revocation: Revocation
    transport: ConnectionTransport
    now_ms: Callable[[], int]

    def subscribe(self, principal: Principal, request: server_api.Subscribe) -> None:
        """Subscribe a user's connections, or one, and tell them; what they missed since a position comes behind it.

        It lasts as long as the connection: who comes back has what its token says.

        Raises:
            ForbiddenError: The principal is no admin.
            RefusedReplyError, TidewireError: As for a client's ``subscribe``. To be called again.
        """
        check_admin(principal)
        channel, since = channel_of(request.channel), request.recover_since
        missing = theirs.Subscribe(recover=True, offset=since.offset, epoch=since.epoch) if since else None
        for connection in self._of(request.user, request.client):
            # As if it were what its client has asked for last: what that asks for next is a later one.
            command_id = self.connections.last_command(connection.connection_id, channel)
            kept = self.connections.subscriptions(connection.connection_id).get(channel)
            # Its client has subscribed it: all comes in order, and what is not a text would be no publication to it.
            lacks_nothing = kept is not None and "fossil" in kept
            wanted = None if lacks_nothing else missing
            answer = self.requests.subscribe_by_server(connection, request.channel, wanted, command_id, kept)
            told = {name: answer.result[name] for name in _TOLD}
            if request.data is not None:
                told["data"] = request.data
            missed = [push_of(channel, "pub", pub) for pub in answer.result.get("publications", ())]
            there = self._tell(connection, push_of(channel, "subscribe", told), *missed, *answer.pushes)
            # SDKs drop what is pushed into a channel before they know that they are subscribed to it.
            since_then = answer.subscribed[channel].position
            if not there or lacks_nothing:
                continue
            meanwhile = self.requests.reading.missed(channel, since_then, by_server=True)
            if meanwhile is None:
                self.revocation.end_all([connection.connection_id], theirs=codes.MISSED)
            elif meanwhile:
                self._tell(connection, *meanwhile)

    def refresh(self, principal: Principal, request: server_api.Refresh) -> None:
        """Have a user's connections, or one, end then, or with neither time nor ``expired`` not before they close.

        Raises:
            ForbiddenError: The principal is no admin.
            UnavailableError: A connection could not be ended. To be called again.
        """
        check_admin(principal)
        connections = list(self._of(request.user, request.client))
        now_ms = self.now_ms()
        if request.expired or (request.expire_at and request.expire_at <= now_ms // 1000):
            self.revocation.end_all([one.connection_id for one in connections], theirs=codes.EXPIRED)
            return
        push: Reply = {"push": {"refresh": ending(request.expire_at or None, now_ms=now_ms)}}
        for connection in connections:
            assert connection.principal is not None  # it goes by its name since somebody has said who it is
            refreshed = replace(connection.principal, expires_at_s=request.expire_at or None)
            try:
                self.sessions.renew(connection, refreshed)
            except (ForbiddenError, UnauthenticatedError):
                continue  # it has ended, was revoked, or its client has shown a newer token: that counts
            self._tell(connection, push)

    def disconnect(self, principal: Principal, request: server_api.Disconnect) -> None:
        """End a user's connections, whatever they speak, or one, or all but some. Tokens are as good as before.

        Raises:
            ForbiddenError: The principal is no admin.
            UnavailableError: A connection could not be ended. To be called again.
        """
        wanted = request.disconnect
        why = codes.Disconnect(wanted.code, wanted.reason) if wanted else codes.FORCED
        self.revocation.end_user(principal, request.user, only=request.client, but=request.whitelist, theirs=why)

    def _of(self, user_id: str, only: str) -> Iterator[Connection]:
        for connection_id in filter(is_centrifugo, self.revocation.connections_of(user_id)):
            if only in ("", connection_id) and (connection := self.connections.get(connection_id)) is not None:
                yield connection

    def _tell(self, connection: Connection, *replies: Reply) -> bool:
        """Push; return whether it was there."""
        (error,) = self.transport.push_all([websocket_id(connection.connection_id)], encode(replies))
        if error is not None and not isinstance(error, ConnectionGoneError):
            raise error
        return error is None
