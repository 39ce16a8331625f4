"""Connections from the first byte to the last: connect, say who one is, come back, leave."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from shared.domain.centrifugo import is_centrifugo
from shared.domain.channel import BROADCAST_CHANNEL, personal_channel
from shared.domain.connection import (
    AUTHENTICATION_DEADLINE_S,
    CHECK_AFTER_S,
    CONNECTION_MAX_AGE_S,
    DEADLINE_MAX_DELAY_S,
    HEARTBEAT_S,
    SESSION_GRACE_S,
    TOKEN_WARNING_S,
    Connection,
    Interest,
    Interests,
    Session,
)
from shared.domain.mailbox import is_mailbox
from shared.domain.presence import Visit
from shared.domain.principal import Capability, Principal
from shared.errors import (
    ContentionError,
    ForbiddenError,
    SessionUnknownError,
    TidewireError,
    UnauthenticatedError,
    UnsupportedProtocolError,
)
from shared.ports import (
    ConnectionStore,
    DeadlineQueue,
    Metrics,
    TicketStore,
)
from shared.protocol.encode import to_json
from shared.protocol.limits import (
    BATCH_MAX_FRAMES,
    DATA_MAX_BYTES,
    HELLO_MAX_SUBSCRIPTIONS,
    HISTORY_MAX_LIMIT,
    PROTOCOL_VERSION,
    WEBSOCKET_FRAME_MAX_BYTES,
)
from shared.services.attendance import Attendance
from shared.services.authentication import Authentication
from shared.services.history import PAGE_MAX_BYTES
from shared.services.mailboxes import Mailboxes
from shared.services.subscribe import SubscribeRequest, Subscriptions

TICKET_TTL_S: Final = 30
# Longer than clients take to let go of a connection when they have moved.
SUPERSEDED_AFTER_S: Final = 11
SESSION_TRIES: Final = 5  # each time somebody else was faster
# A record outlives the longest connection by this, since clocks differ.
EXPIRY_MARGIN_S: Final = 60
# Clients are asked to move over at different times, so that a deploy's reconnects are not repeated every 2 hours.
_MAX_AGE_SPREAD_S: Final = 600
_RIGHTS: Final[Mapping[Interest, Capability]] = {
    "state": "state.read",
    "presence": "presence",
    "connections": "presence",
    "fossil": "subscribe",
    "by_server": "subscribe",
}
_EVENTS_ALONE: Final[Interests] = frozenset()


def version_of_session() -> str:
    """Return a new one."""
    return secrets.token_urlsafe(9)


def check_protocol(version: int) -> None:
    """Check which version of the protocol a client speaks.

    Raises:
        UnsupportedProtocolError: Another than this server.
    """
    if version != PROTOCOL_VERSION:
        raise UnsupportedProtocolError("this server speaks protocol 1", details={"supported": [PROTOCOL_VERSION]})


@dataclass(frozen=True, slots=True)
class HelloRequest:
    """What a client says first."""

    token: str | None = None
    session_id: str | None = None
    subscribe: Sequence[SubscribeRequest] = ()


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a new token has made of a connection.

    Attributes:
        lost: The channels that it has left, or has less of, since the token does not allow it.
    """

    connection: Connection
    lost: Sequence[str]


@dataclass(frozen=True, slots=True)
class Sessions:
    """The life of connections and sessions."""

    connections: ConnectionStore
    tickets: TicketStore
    authentication: Authentication
    deadlines: DeadlineQueue
    subscriptions: Subscriptions
    mailboxes: Mailboxes
    metrics: Metrics
    now_ms: Callable[[], int]
    attendance: Attendance

    def issue_ticket(self, principal: Principal) -> str:
        """Return a ticket that opens one connection, once, within 30 s."""
        ticket = secrets.token_urlsafe(24)
        self.tickets.issue(ticket, principal, expires_at_s=self._now_s() + TICKET_TTL_S)
        return ticket

    def redeem_ticket(self, ticket: str) -> Principal | None:
        """Return whose ticket it is, once; ``None`` if it is unknown, used or too old, or its token is not good now."""
        principal = self.tickets.redeem(ticket, now_s=self._now_s())
        if principal is None or principal.expired(self._now_s()):
            return None
        return None if self.authentication.revoked(principal.user_id, principal.issued_at_s) else principal

    def connect(self, connection_id: str, ticket: str | None) -> Connection:
        """Write the record of a new connection, and return it; without a ticket it is pending, and has 10 s.

        With one it is not to be found yet: what is pushed before ``$connect`` has answered gets a 410, as if it had
        gone, and it would be taken out of everything. So it is announced with its first request, or in 10 s.

        Raises:
            UnauthenticatedError: The ticket is not good.
            LimitReachedError: Its user has as many connections as they may.
        """
        principal = None
        if ticket is not None:
            principal = self.redeem_ticket(ticket)
            if principal is None:
                raise UnauthenticatedError("the ticket is unknown, used or too old")
            self.subscriptions.check_connections(principal.user_id)
        expires_at_s = self._now_s() + CONNECTION_MAX_AGE_S + EXPIRY_MARGIN_S
        connection = Connection(connection_id, self.now_ms(), expires_at_s, principal)
        self.connections.open(connection)
        self.connections.remind(connection_id, minute=(self._now_s() + CHECK_AFTER_S) // 60)
        self.metrics.count("Connects")
        if principal is None:
            self.deadlines.send(connection_id, delay_s=AUTHENTICATION_DEADLINE_S)
        else:
            self.deadlines.send_arrived(connection_id, delay_s=AUTHENTICATION_DEADLINE_S)
        return connection

    def hello(self, connection: Connection, request: HelloRequest) -> tuple[Connection, dict[str, Any]]:
        """Say who it is, take a session up again or begin one, subscribe.

        Returns:
            The connection as it is now, and the ``hello`` result of the protocol.

        Raises:
            UnauthenticatedError: No ticket before, and no good token now.
            ForbiddenError: The connection is another user's already, or has another session.
            LimitReachedError: The user has as many connections as it may.
            SessionUnknownError: The session has ended, or is another user's.
            ContentionError: Others take it at the same time.
        """
        principal = self._principal(connection, request.token)
        if connection.session_id is None and not is_mailbox(connection.connection_id):
            # A session that comes back is, for a moment, on two: the one that it leaves is there until it closes.
            leaving = self._holder(request.session_id)
            self.subscriptions.check_connections(principal.user_id, but=connection.connection_id, leaving=leaving)
        unknown = connection.principal is None  # so far, and whoever is has subscribed to nothing
        try:
            connection, before = self._take(connection, principal, request.session_id)
        except TidewireError:
            # Revoked meanwhile, it has lost the session that it was about to take, but stands in its channels.
            written = self.connections.get(connection.connection_id)
            if written is None:
                self.attendance.end(connection.connection_id)
            elif written.principal is not None:
                self.admit(written)
            raise
        self.admit(connection)
        if before != connection.connection_id:
            if is_mailbox(before):  # no network ends it, as it does a WebSocket
                self.mailboxes.close(before)
                self.attendance.end(before)
            else:
                # Not at once: a client that moves lets the old one answer what it was asked, and closes it.
                self.deadlines.send_superseded(before, delay_s=SUPERSEDED_AFTER_S)
        return connection, {
            "session_id": connection.session_id,
            "connection_id": connection.connection_id,
            "user_id": principal.user_id,
            "server_time_ms": self.now_ms(),
            "heartbeat_s": HEARTBEAT_S,
            "connection_max_age_s": CONNECTION_MAX_AGE_S - secrets.randbelow(_MAX_AGE_SPREAD_S),
            "limits": LIMITS | {"max_subscriptions": self.subscriptions.limits.subscriptions},
            "subscriptions": self._subscribe_all(connection, request.subscribe, unknown and request.session_id is None),
        }

    def enter(self, connection: Connection, principal: Principal, name: str) -> Connection:
        """Have a new connection be a user's, by another name from now on. It has no session: who comes back asks anew.

        Raises:
            LimitReachedError: The user has as many connections as it may.
            UnauthenticatedError: Its token was revoked.
            ForbiddenError: The connection has gone, or is somebody's already.
        """
        self.authentication.check(principal.user_id, principal.issued_at_s)
        self.subscriptions.check_connections(principal.user_id)
        named = replace(connection, connection_id=name, principal=principal, announced=True)
        if not self.connections.rename(connection.connection_id, named):
            raise ForbiddenError("this connection is somebody's already")
        self.join(named, principal, {})
        self.admit(named)
        return named

    def renew(self, connection: Connection, principal: Principal) -> Connection:
        """Go on with a newer token of the same user, and with every subscription: each has its own right.

        Raises:
            ForbiddenError: It is another user's, or older than the one that the connection has.
        """
        known = connection.principal
        if known is None or principal.user_id != known.user_id or principal.issued_at_s < known.issued_at_s:
            raise ForbiddenError("this connection is another user's, or has a newer token")
        self.authentication.check(principal.user_id, principal.issued_at_s)
        refreshed = self.connections.refresh(connection.connection_id, principal)
        if refreshed is None:
            raise ForbiddenError("the connection has ended, or has a newer token")
        self.join(refreshed, principal, {})
        expires_at_s = min(refreshed.expires_at_s, principal.expires_at_s or refreshed.expires_at_s)
        self.connections.prolong(refreshed.connection_id, expires_at_s=expires_at_s)
        self.admit(refreshed)
        return refreshed

    def join(self, connection: Connection, principal: Principal, channels: Mapping[str, Interests]) -> None:
        """Subscribe to a session's channels, as far as its token still allows, and to those that everybody has."""
        personal: Interests = frozenset({"by_server"}) if is_centrifugo(connection.connection_id) else _EVENTS_ALONE
        everybodys = {personal_channel(principal.user_id): personal, BROADCAST_CHANNEL: _EVENTS_ALONE}
        self.subscriptions.connect(connection, everybodys, kept=False)
        allowed = {
            channel: _allowed(principal, channel, interests)
            for channel, interests in channels.items()
            if principal.may_receive("subscribe", channel)
        }
        seen = [channel for channel, interests in allowed.items() if "presence" in interests]
        no_more = [channel for channel, wants in channels.items() if "presence" in wants and channel not in seen]
        with self.attendance.leaving(connection, no_more):
            self.subscriptions.connect(connection, allowed)
            self.connections.unsubscribe(connection.connection_id, sorted(channels.keys() - allowed.keys()))
        self.attendance.enter(connection, seen)
        self.attendance.look(seen, came=Visit(principal.user_id, connection.connection_id))

    def refresh(self, connection: Connection, token: str) -> Refreshed:
        """Go on with a newer token: the connection, its session and its subscriptions.

        Raises:
            UnauthenticatedError: The token is not good, or nobody has said who this is.
            ForbiddenError: It is another user's, or older than the one that the connection has.
            SessionUnknownError: The connection has ended.
        """
        principal, known = self.authentication.of_token(token), connection.principal
        if known is None:
            raise UnauthenticatedError("say hello with a token first")
        if principal.expired(self._now_s()):
            raise UnauthenticatedError("the token has expired")
        if principal.user_id != known.user_id:
            raise ForbiddenError("this connection is another user's")
        if principal.issued_at_s < known.issued_at_s:
            raise ForbiddenError("the connection has a newer token")
        if principal == known and self._session_has(connection, principal):
            return Refreshed(connection, ())
        refreshed = self.connections.refresh(connection.connection_id, principal)
        if refreshed is None:
            raise SessionUnknownError("the connection has ended, or has a newer token")
        channels = self.connections.subscriptions(refreshed.connection_id)
        self.join(refreshed, principal, channels)
        self._refresh_session(refreshed, principal)  # last: where it has the token, all has
        self.admit(refreshed)
        lost = [one for one, interests in channels.items() if not _all_allowed(principal, one, interests)]
        return Refreshed(refreshed, sorted(lost))

    def _session_has(self, connection: Connection, principal: Principal) -> bool:
        session = self.connections.session(connection.session_id) if connection.session_id is not None else None
        return session is not None and (session.connection_id, session.principal) == (
            connection.connection_id,
            principal,
        )

    def _refresh_session(self, connection: Connection, principal: Principal) -> None:
        """Have the session have the token too: by it, a session that moves to a mailbox goes on there."""
        holder: Connection | None = connection
        while holder is not None and holder.session_id is not None:
            session_id, connection_id = holder.session_id, holder.connection_id
            version = version_of_session()
            if self.connections.refresh_session(session_id, principal, connection_id=connection_id, version=version):
                return
            session = self.connections.session(session_id)
            if session is None or session.connection_id == connection_id:
                return
            # It has moved, with the token that it had. Who has a newer one by now keeps that.
            holder = self.connections.refresh(session.connection_id, principal)
            if holder is not None:
                self.join(holder, principal, self.connections.subscriptions(holder.connection_id))

    def announce(self, connection: Connection) -> None:
        """Have one that does without ``hello``, by its ticket, be found where all of its user's connections are.

        One that is there already, as its record says, is looked at again, and the end of its token seen to.

        Raises:
            LimitReachedError: There are as many as its user may have.
            UnauthenticatedError: Its token was revoked. It has been ended.
        """
        principal = connection.principal
        if principal is None or connection.session_id is not None:
            return
        if not connection.announced:
            # Again: others may have come in at the same time, and are not counted before they are announced.
            self.subscriptions.check_connections(principal.user_id, but=connection.connection_id)
            channel = personal_channel(principal.user_id)
            self.subscriptions.connect(connection, {channel: _EVENTS_ALONE}, kept=False)
        self._check_revoked(connection, principal)
        # Last, so that whoever fails before is announced by the next request; of many at the same time one sees to it.
        if connection.announced or self.connections.announce(connection.connection_id):
            self._watch(connection.connection_id, principal)

    def admit(self, connection: Connection) -> None:
        """Look once more whether it may be there, now that everybody finds it; and see to the end of its token.

        Raises:
            UnauthenticatedError: Its token was revoked while it came in. It has been ended.
        """
        principal = connection.principal
        assert principal is not None
        self._check_revoked(connection, principal)
        self._watch(connection.connection_id, principal)

    def _check_revoked(self, connection: Connection, principal: Principal) -> None:
        if self.authentication.revoked(principal.user_id, principal.issued_at_s):
            self._turn_out(connection, principal)
            raise UnauthenticatedError("the token was revoked")

    def _watch(self, connection_id: str, principal: Principal) -> None:
        ends_s = principal.expires_at_s
        if ends_s is None:
            return
        left_s = ends_s - self._now_s()
        delay_s = left_s - min(TOKEN_WARNING_S, left_s // 2)
        if delay_s <= DEADLINE_MAX_DELAY_S:  # else the janitor comes by before
            self.deadlines.send_token_end(connection_id, token_expires_at_s=ends_s, delay_s=max(0, delay_s))

    def _turn_out(self, connection: Connection, principal: Principal) -> None:
        connection_id = connection.connection_id
        if connection.session_id is not None:
            self.connections.end_session(connection.session_id, connection_id=connection_id, expires_at_s=self._now_s())
        self.attendance.end(connection_id)
        if is_mailbox(connection_id):
            self.mailboxes.close(connection_id)
        else:
            # Whoever revoked may not have found it. It may do nothing more, and whoever looks at it tells it why.
            ended = replace(principal, capabilities={}, expires_at_s=self._now_s())
            self.connections.open(replace(connection, principal=ended, session_id=None))
            self.deadlines.send(connection_id, delay_s=0)

    def disconnect(self, connection_id: str) -> None:
        """Take a connection out; its session has 2 minutes to come back."""
        closed = self.attendance.end(connection_id)
        if closed is not None and closed.session_id is not None:
            expires_at_s = self._now_s() + SESSION_GRACE_S
            self.connections.end_session(closed.session_id, connection_id=connection_id, expires_at_s=expires_at_s)

    def _principal(self, connection: Connection, token: str | None) -> Principal:
        principal = self.authentication.of_token(token) if token is not None else connection.principal
        if principal is None or principal.expired(self._now_s()):
            raise UnauthenticatedError("hello needs a token, or a ticket at connecting")
        if connection.principal and connection.principal.user_id != principal.user_id:
            raise ForbiddenError("this connection is another user's")
        return principal

    def _newer(self, connection: Connection, principal: Principal) -> Principal:
        """Return the principal of the newer token that the connection has: an older one does not undo a refresh."""
        written = self.connections.get(connection.connection_id)
        if written is None:
            raise SessionUnknownError("the connection has ended")
        if written.principal is not None and written.principal.user_id != principal.user_id:
            raise ForbiddenError("this connection is another user's")
        return self._principal(written, None) if written.principal else principal

    def _take(self, connection: Connection, principal: Principal, session_id: str | None) -> tuple[Connection, str]:
        """Have the connection have its session; return it as it is then, and which one had the session until now."""
        until_s, left = connection.expires_at_s + SESSION_GRACE_S, connection.session_id is not None
        unknown = connection.principal is None
        for _ in range(SESSION_TRIES):
            before = self._session(connection, principal, session_id)
            here, there = connection.connection_id, before.connection_id if before else connection.connection_id
            if left and here != there and is_mailbox(here):
                break  # its session has just gone elsewhere, and whoever took it is about to close it
            taken = before.session_id if before else secrets.token_urlsafe(16)
            connection = replace(connection, principal=principal, session_id=taken)
            if not self.connections.authenticate(connection):
                principal = self._newer(connection, principal)
                continue
            # Before the session comes: who takes it from here, or reads it, finds all of its channels.
            channels = {} if before is None and unknown else self.connections.subscriptions(there)
            self.join(connection, principal, channels)
            session = Session(taken, principal, here, until_s, version_of_session())
            if before is None:
                self.connections.put_session(session)
                return connection, there
            if self.connections.move_session(before, session):
                late = self.connections.subscriptions(there)
                if late.keys() - channels.keys():
                    self.join(connection, principal, late)
                return connection, there
        raise ContentionError("the session is being taken up elsewhere", retry_after_ms=200)

    def session_to_take(self, session_id: str, principal: Principal) -> Session:
        """Return a session that somebody comes back to.

        Raises:
            SessionUnknownError: It has ended, or is another user's; or its user was revoked while nothing had it.
        """
        session = self.connections.session(session_id)
        if session is None or session.user_id != principal.user_id:
            raise SessionUnknownError("the session has ended, or is another user's")
        issued_at_s = session.principal.issued_at_s
        # As good as a token that is no newer: that has been looked up.
        if issued_at_s < principal.issued_at_s and self.authentication.revoked(session.user_id, issued_at_s):
            raise SessionUnknownError("the session has ended")
        return session

    def _holder(self, session_id: str | None) -> str | None:
        """Return which connection has a session, or had it last, where connections are counted."""
        if session_id is None or not self.subscriptions.limits.user_connections:
            return None
        session = self.connections.session(session_id)
        return None if session is None else session.connection_id

    def _session(self, connection: Connection, principal: Principal, session_id: str | None) -> Session | None:
        """Return the session that the connection has or wants, or ``None`` if it is to have a new one."""
        own = self.connections.session(connection.session_id) if connection.session_id else None
        if own is not None and own.connection_id != connection.connection_id:
            own = None  # it has gone elsewhere: only by name is it taken back
        if session_id is None:
            return own
        session = self.session_to_take(session_id, principal)
        if own is not None and own.session_id != session_id:
            raise ForbiddenError("this connection has a session already")
        return session

    def _subscribe_all(
        self, connection: Connection, requests: Sequence[SubscribeRequest], new: bool
    ) -> list[dict[str, Any]]:
        """Subscribe one by one; one that fails has its error in its place. All of it fits one frame."""
        results: list[dict[str, Any]] = []
        # Read once, not for each; ``None`` is not known.
        has: dict[str, Interests] | None = {}
        if requests and not new:
            has = dict(self.connections.subscriptions(connection.connection_id))
        left = PAGE_MAX_BYTES - 600 * len(requests)  # a result without publications takes less than that
        for request in requests:
            try:
                result = self.subscriptions.subscribe(connection, request, has=has, max_bytes=left)
            except TidewireError as error:
                result, has = {"channel": request.channel, "error": error.to_wire()}, None
            else:
                if has is not None:
                    has[request.channel] = request.interests
                left -= len(to_json([result["publications"], result.get("state"), result.get("presence")])) - 14
            results.append(result)
        return results

    def _now_s(self) -> int:
        return self.now_ms() // 1000


def _allowed(principal: Principal, channel: str, interests: Interests) -> Interests:
    """Return what is left of a subscription's interests: who may not be seen any more does not see either."""
    return frozenset(interest for interest in interests if principal.may(_RIGHTS[interest], channel))


def _all_allowed(principal: Principal, channel: str, interests: Interests) -> bool:
    return principal.may_receive("subscribe", channel) and _allowed(principal, channel, interests) == interests


LIMITS: Final = {
    "frame_max_bytes": WEBSOCKET_FRAME_MAX_BYTES,
    "data_max_bytes": DATA_MAX_BYTES,
    "batch_max_frames": BATCH_MAX_FRAMES,
    "hello_max_subscriptions": HELLO_MAX_SUBSCRIPTIONS,
    "history_max_limit": HISTORY_MAX_LIMIT,
}
