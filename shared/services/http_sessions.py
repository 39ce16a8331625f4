"""Sessions of clients that come by HTTP: what WebSockets have by being connected, these have by a token."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from shared.domain.connection import CHECK_AFTER_S, CONNECTION_MAX_AGE_S, SESSION_GRACE_S, Connection, Session
from shared.domain.mailbox import is_mailbox, mailbox_id
from shared.domain.principal import Principal
from shared.errors import ContentionError, SessionUnknownError, UnauthenticatedError
from shared.ports import ConnectionStore, Metrics, Signer
from shared.services.limits import RateLimits
from shared.services.mailboxes import Mailboxes
from shared.services.sessions import (
    EXPIRY_MARGIN_S,
    SESSION_TRIES,
    SUPERSEDED_AFTER_S,
    HelloRequest,
    Sessions,
    version_of_session,
)

SESSION_TOKEN: Final = "session"


@dataclass(frozen=True, slots=True)
class HttpSessions:
    """Opens and finds them."""

    sessions: Sessions
    connections: ConnectionStore
    mailboxes: Mailboxes
    signer: Signer
    limits: RateLimits
    metrics: Metrics
    now_ms: Callable[[], int]

    def open(self, principal: Principal, request: HelloRequest) -> dict[str, Any]:
        """Say hello by HTTP: begin a session, or take one up. One that a WebSocket has stays there until it is read.

        Returns:
            The ``hello`` result of the protocol, and ``session_token``.

        Raises:
            LimitReachedError: The user has as many connections as it may.
            SessionUnknownError: The session has ended, or is another user's.
            RateLimitedError: It is taken up too often.
        """
        connection = self._connection(principal, request.session_id)
        _, result = self.sessions.hello(connection, request)
        fields = [result["session_id"], principal.user_id, connection.expires_at_s, principal.issued_at_s]
        return result | {"session_token": self.signer.sign(SESSION_TOKEN, fields)}

    def user_of(self, token: str, session_id: str) -> str:
        """Return whose session it is.

        Raises:
            UnauthenticatedError: The token is not good, is too old, or is another session's.
        """
        fields = self.signer.open(SESSION_TOKEN, token)
        if fields is None or fields[0] != session_id or int(fields[2]) <= self._now_s():
            raise UnauthenticatedError("the session's token is not good")
        return str(fields[1])

    def revoked(self, token: str) -> bool:
        """Tell whether a good session token came of a token that has been revoked."""
        fields = self.signer.open(SESSION_TOKEN, token)
        if fields is None or len(fields) < 4:  # one that was signed before the last deploy may not say when
            return False
        return self.sessions.authentication.revoked(str(fields[1]), int(fields[3]))

    def connection(self, session_id: str, user_id: str) -> Connection:
        """Return the connection that has the session; where a WebSocket had it that has gone, a mailbox.

        Raises:
            SessionUnknownError: It has ended, or is another user's.
            LimitReachedError: Nothing has it any more, and the user has as many connections as it may.
        """
        connection = self.connections.get(self._session(session_id, user_id).connection_id)
        return connection or self.with_mailbox(session_id, user_id)

    def with_mailbox(self, session_id: str, user_id: str) -> Connection:
        """As :meth:`connection`; a session that a WebSocket has moves to a mailbox.

        Raises:
            SessionUnknownError: It has ended, or is another user's; or its user was revoked while nothing had it.
            UnauthenticatedError: The token of whoever said hello last has expired.
            LimitReachedError: Nothing has it any more, and the user has as many connections as it may.
            ContentionError: Others take it at the same time.
        """
        for _ in range(SESSION_TRIES):
            session = self._session(session_id, user_id)
            before, principal = session.connection_id, session.principal
            if principal.expired(self._now_s()):
                raise UnauthenticatedError("the token has expired")
            if is_mailbox(before):
                connection = self.connections.get(before)
                if connection is None:
                    raise SessionUnknownError("the session has ended")
                return connection
            # Until now pushes went elsewhere: whether they came, nobody knows.
            moved = self._mailbox(principal, session_id=session_id, lagging=True, leaving=before)
            self.sessions.join(moved, principal, self.connections.subscriptions(before))
            until_s = moved.expires_at_s + SESSION_GRACE_S
            after = Session(session_id, principal, moved.connection_id, until_s, version_of_session())
            if self.connections.move_session(session, after):
                self.follow(before, session_id, user_id)  # what was subscribed to meanwhile
                self.sessions.deadlines.send_superseded(before, delay_s=SUPERSEDED_AFTER_S)
                try:
                    self.sessions.admit(moved)  # by a token that has not been shown for long
                except UnauthenticatedError as error:
                    raise SessionUnknownError("the session has ended") from error
                return moved
            # Somebody else was faster.
            self.mailboxes.close(moved.connection_id)
            self.sessions.attendance.end(moved.connection_id)
        raise ContentionError("the session is being taken up elsewhere", retry_after_ms=200)

    def follow(self, before: str, session_id: str, user_id: str) -> None:
        """Give the session's connection the channels of the one before, if it has moved since that was looked up."""
        connection = self.connection(session_id, user_id)
        if connection.connection_id != before and connection.principal is not None:
            self.sessions.join(connection, connection.principal, self.connections.subscriptions(before))

    def _connection(self, principal: Principal, session_id: str | None) -> Connection:
        """Return the connection that has the session, with this token; where none has, a new mailbox."""
        if session_id is None:
            return self._mailbox(principal)
        session = self.sessions.session_to_take(session_id, principal)
        # Now that it is known to be its user's: nobody else is to use up its rate. Connections may be new each time.
        self.limits.hello(session_id)
        connection = self.connections.get(session.connection_id)
        if connection is None:
            return self._mailbox(principal, lagging=True)
        if not is_mailbox(connection.connection_id):
            return replace(connection, principal=principal)
        # It has all its time again.
        connection = replace(connection, principal=principal, expires_at_s=self._expires_at_s())
        if not self.mailboxes.renew(connection.connection_id, expires_at_s=connection.expires_at_s):
            return self._mailbox(principal, lagging=True, leaving=connection.connection_id)
        return connection

    def _session(self, session_id: str, user_id: str) -> Session:
        session = self.connections.session(session_id)
        if session is None or session.user_id != user_id:
            raise SessionUnknownError("the session has ended, or is another user's")
        return session

    def _mailbox(
        self, principal: Principal, *, session_id: str | None = None, lagging: bool = False, leaving: str | None = None
    ) -> Connection:
        """Make one, in place of a connection that is to go.

        Raises:
            LimitReachedError: The user has as many connections as it may.
        """
        self.sessions.subscriptions.check_connections(principal.user_id, leaving=leaving)
        identifier = mailbox_id(secrets.token_urlsafe(16))
        connection = Connection(identifier, self.now_ms(), self._expires_at_s(), principal, session_id)
        self.mailboxes.open(identifier, expires_at_s=connection.expires_at_s, lagging=lagging)
        self.connections.remind(identifier, minute=(self._now_s() + CHECK_AFTER_S) // 60)
        self.connections.open(connection)
        self.metrics.count("Connects")
        return connection

    def _expires_at_s(self) -> int:
        return self._now_s() + CONNECTION_MAX_AGE_S + EXPIRY_MARGIN_S

    def _now_s(self) -> int:
        return self.now_ms() // 1000
