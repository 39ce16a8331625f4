"""Throw somebody out: a connection, or a user with every token that was issued until now. For admins.

Nobody falls between: a user's revocation is written first, and then all are listed that have said who they are; whoever
says so at the same time writes that down first, and reads the revocation then (shared/services/sessions.py).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from typing import Final

from shared.domain.centrifugo import is_centrifugo
from shared.domain.channel import personal_channel
from shared.domain.principal import Principal
from shared.errors import NotFoundError, UnavailableError
from shared.ports import ConnectionStore, Metrics, RevocationStore
from shared.protocol.centrifugo.codes import Disconnect
from shared.protocol.encode import to_json
from shared.services.admin import check_admin
from shared.services.presence import Presence
from shared.services.session_end import REVOKED, SessionEnd

_TRIES: Final = 2


@dataclass(frozen=True, slots=True)
class Revocation:
    """Ends connections and their sessions, at once and for good.

    Attributes:
        executor: Ends some at a time. Not the one that pushes: they wait for that.
        on_failure: Is told of what kept a connection from being told or ended.
    """

    connections: ConnectionStore
    revocations: RevocationStore
    session_end: SessionEnd
    executor: Executor
    metrics: Metrics
    now_ms: Callable[[], int]
    on_failure: Callable[[Exception], None]
    presence: Presence

    def revoke_connection(self, principal: Principal, connection_id: str) -> None:
        """End a connection and its session. Its user may come back: their tokens are as good as before.

        Raises:
            ForbiddenError: The principal is no admin.
            NotFoundError: There is no such connection (any more).
            UnavailableError: It could not be ended. To be called again.
        """
        check_admin(principal)
        # One that could not be ended has no record any more, but may be connected.
        known = self.connections.get(connection_id) is not None
        if not known and self.session_end.transport.last_active_ms(connection_id) is None:
            raise NotFoundError("there is no such connection")
        if self._end_all([connection_id]):
            raise UnavailableError("the connection could not be ended: try again", retry_after_ms=1000)

    def revoke_user(self, principal: Principal, user_id: str) -> None:
        """Refuse every token of a user's that was issued until now, and end all of their connections and sessions.

        Raises:
            ForbiddenError: The principal is no admin.
            UnavailableError: A connection could not be ended. To be called again; the tokens are refused already.
        """
        check_admin(principal)
        self.revocations.revoke(user_id, at_ms=self.now_ms())
        self.end_all(self.connections_of(user_id))

    def end_user(
        self,
        principal: Principal,
        user_id: str,
        *,
        only: str = "",
        but: Sequence[str] = (),
        theirs: Disconnect | None = None,
    ) -> None:
        """End a user's connections and their sessions, or one of them, or all but some. Tokens are as good as before.

        Args:
            principal: Who asks.
            user_id: Whose.
            only: The one, if it is one.
            but: Those that stay.
            theirs: Why, for those that speak Centrifugo's protocol.

        Raises:
            ForbiddenError: The principal is no admin.
            UnavailableError: A connection could not be ended. To be called again.
        """
        check_admin(principal)
        found = self.connections_of(user_id)
        self.end_all([one for one in found if one not in but and only in ("", one)], theirs=theirs)

    def end_all(self, connection_ids: Sequence[str], *, theirs: Disconnect | None = None) -> None:
        """End connections and their sessions; see :meth:`end_user`. Checks nobody's right.

        Raises:
            UnavailableError: One could not be ended. To be called again.
        """
        if self._end_all(connection_ids, theirs):
            raise UnavailableError("not every connection could be ended: try again", retry_after_ms=1000)

    def unsubscribe_user(self, principal: Principal, user_id: str, channel: str, *, only: str = "") -> None:
        """Unsubscribe a user's connections that speak Centrifugo's protocol, or one of them, and tell them.

        Raises:
            ForbiddenError: The principal is no admin.
        """
        check_admin(principal)
        told = to_json({"type": "system", "event": "resubscribe", "channel": channel, "reason": "capabilities"})
        for connection_id in filter(is_centrifugo, self.connections_of(user_id)):
            connection = self.connections.get(connection_id) if only in ("", connection_id) else None
            if connection is not None and channel in self.connections.subscriptions(connection_id):
                with self.presence.leaving(connection, channel):
                    self.connections.unsubscribe(connection_id, [channel], stays=connection.stays_in(channel))
                self.session_end.transport.push_all([connection_id], [told])

    def _end_all(self, left: Sequence[str], theirs: Disconnect | None = None) -> Sequence[str]:
        """Return those that could not be ended."""
        for _ in range(_TRIES):
            ended = self.executor.map(lambda one: self._try_to_end(one, theirs), left)
            left = [connection_id for connection_id, done in zip(left, ended, strict=True) if not done]
        return left

    def connections_of(self, user_id: str) -> list[str]:
        """Return all of a user's connections."""
        channel = personal_channel(user_id)
        first = self.connections.subscribers(channel)
        others = [self.connections.subscribers(channel, shard).connection_ids for shard in range(1, first.count)]
        return sorted({*first.connection_ids, *(one for shard in others for one in shard)})

    def _try_to_end(self, connection_id: str, theirs: Disconnect | None) -> bool:
        try:
            self._end(connection_id, theirs)
        except Exception as error:  # told to on_failure; the others are ended all the same
            self.on_failure(error)
            return False
        return True

    def _end(self, connection_id: str, theirs: Disconnect | None) -> None:
        told = REVOKED
        if theirs is not None and is_centrifugo(connection_id):
            told = {**REVOKED, "theirs": asdict(theirs)}
        untold = self.session_end.end_connection(connection_id, told)
        if untold is not None:
            self.on_failure(untold)
        self.metrics.count("ConnectionsRevoked")
