"""Subscribe and unsubscribe connections."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.domain.channel import personal_channel
from shared.domain.connection import Connection, Interest, Interests
from shared.domain.publication import StreamPosition
from shared.domain.stage_limits import DEFAULT_LIMITS, StageLimits
from shared.errors import ForbiddenError, LimitReachedError, UnauthenticatedError
from shared.ports import ConnectionStore, Metrics
from shared.protocol.encode import to_json
from shared.services.document_reader import DocumentReader
from shared.services.history import PAGE_MAX_BYTES, History
from shared.services.presence import Presence

if TYPE_CHECKING:
    from shared.protocol.requests import SubscribeFields  # brings pydantic


@dataclass(frozen=True, slots=True)
class SubscribeRequest:
    """What a subscription asks for.

    Attributes:
        since: Position up to which the client has everything.
        history: How many of the latest publications it would like, where nothing is recovered.
        state: It wants the channel's documents, and is told of their changes: those with other versions than these.
        presence: It wants its user to be seen there, and is told who comes, goes and types.
        connections: It is told which connections come and go there.
        fossil: It takes deltas.
        by_server: Its client has not asked for it, and does not again.
        members: It wants to have who is there, if it is to be seen.
        expires_at_s: When it ends by itself, if it does.
        command_id: Of several about this channel the one with the highest counts, whenever it is handled.
        positioned: It is told what is published in order, from when :class:`Telling` is told to start.
        kept: It is there already, and stays as it is: it only goes on.
    """

    channel: str
    since: StreamPosition | None = None
    history: int | None = None
    state: Mapping[str, int] | None = None
    presence: bool = False
    connections: bool = False
    fossil: bool = False
    by_server: bool = False
    members: bool = True
    expires_at_s: int | None = None
    command_id: int | None = None
    positioned: bool = False
    kept: bool = False

    @property
    def interests(self) -> Interests:
        """What else than events it wants to be told of."""
        wanted: dict[Interest, bool] = {
            "state": self.state is not None,
            "presence": self.presence,
            "connections": self.connections,
            "fossil": self.fossil,
            "by_server": self.by_server,
        }
        return frozenset(interest for interest, wants in wanted.items() if wants)


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """Who is subscribed to what."""

    connections: ConnectionStore
    history: History
    documents: DocumentReader
    metrics: Metrics
    presence: Presence
    limits: StageLimits = DEFAULT_LIMITS

    def subscribe(
        self,
        connection: Connection,
        request: SubscribeRequest,
        *,
        has: Mapping[str, Interests] | None = None,
        max_bytes: int = PAGE_MAX_BYTES,
    ) -> dict[str, Any]:
        """Subscribe, then read: in this order nothing falls between what was missed and what is pushed.

        Args:
            connection: Whose.
            request: What it asks for.
            has: What it is subscribed to, if the caller knows.
            max_bytes: What the result's lists may take.

        Returns:
            The ``subscribe`` result of the protocol.

        Raises:
            ForbiddenError: The principal may not.
            LimitReachedError: The connection has as many subscriptions as it may.
        """
        principal = connection.principal
        if principal is None:
            raise UnauthenticatedError
        if not principal.may_receive("subscribe", request.channel):
            raise ForbiddenError("the token does not allow to subscribe to this channel")
        if request.history and not principal.may_receive("history", request.channel):
            raise ForbiddenError("the token does not allow to read this channel's history")
        if request.state is not None and not principal.may("state.read", request.channel):
            raise ForbiddenError("the token does not allow to read this channel's documents")
        if request.presence:
            self.presence.check(principal, request.channel)
        subscribed = self.connections.subscriptions(connection.connection_id) if has is None else has
        limit = self.limits.subscriptions
        if request.channel not in subscribed and len(subscribed) >= limit:
            raise LimitReachedError(f"a connection has at most {limit} subscriptions", details={"limit": limit})
        if request.channel not in subscribed:
            self._check_room(request.channel)
        again = "presence" in subscribed.get(request.channel, ())
        with self.presence.leaving(connection, request.channel) if again and not request.presence else nullcontext():
            is_last = self._connect(connection, request)
        seen = self.presence.enter(connection, request.channel, again=again) if request.presence and is_last else None
        result = self._result(request, max_bytes)
        left = max_bytes - len(to_json(result["publications"]))
        if request.state is not None:
            result["state"] = self.documents.page(principal, request.channel, known=request.state, max_bytes=left)
            left -= len(to_json(result["state"]))
        if seen is not None and request.members:
            result["presence"] = self.presence.result(request.channel, seen, max_bytes=left)
        return result

    def _check_room(self, channel: str) -> None:
        limit = self.history.streams.namespaces.of(channel).max_subscribers
        if limit and len(self.connections.subscribers(channel, at_most=limit).connection_ids) >= limit:
            raise LimitReachedError(f"this channel has at most {limit} subscribers", details={"limit": limit})

    def check_connections(self, user_id: str, *, but: str | None = None, leaving: str | None = None) -> None:
        """See whether a user may have one connection more, where the stage limits them.

        Args:
            user_id: Whose.
            but: Is not counted: it may be among them already.
            leaving: Is not counted either: if it is there still, it is about to be closed.

        Raises:
            LimitReachedError: There are as many as there may be.
        """
        limit = self.limits.user_connections
        if not limit:
            return
        # Every connection of a user is subscribed to this channel until it has gone: no count has to be kept.
        found = self.connections.subscribers(personal_channel(user_id), at_most=limit + 2).connection_ids
        if len(set(found) - {but, leaving}) >= limit:
            raise LimitReachedError(f"a user has at most {limit} connections", details={"limit": limit})

    def connect(
        self,
        connection: Connection,
        channels: Mapping[str, Interests],
        *,
        kept: bool = True,
        until_s: int | None = None,
    ) -> None:
        """Write the subscriptions; they end with the connection or its token or then, whichever is first."""
        expires_at_s = _end_of(connection, until_s)
        self.connections.subscribe(connection, channels, expires_at_s=expires_at_s, kept=kept)

    def _connect(self, connection: Connection, request: SubscribeRequest) -> bool:
        """Write a subscription; return whether it is the last word about its channel."""
        stays = connection.stays_in(request.channel)
        until_s, interests = None if stays else request.expires_at_s, request.interests  # it needs no token to be there
        if request.command_id is None:
            self.connect(connection, {request.channel: interests}, until_s=until_s)
            return True
        if request.kept:
            return self.prolong(connection, request.channel, request.command_id, until_s=until_s)
        return self.connections.subscribe_in_order(
            connection,
            request.channel,
            interests,
            **_ends(connection, until_s),
            command_id=request.command_id,
            positioned=request.positioned,
        )

    def prolong(self, connection: Connection, channel: str, command_id: int, *, until_s: int | None) -> bool:
        """Have a subscription end then; return whether it is there, and no later command was about this channel."""
        ends = _ends(connection, None if connection.stays_in(channel) else until_s)
        return self.connections.prolong_one(connection.connection_id, channel, **ends, command_id=command_id)

    def unsubscribe_in_order(self, connection: Connection, channel: str, command_id: int) -> None:
        """As :meth:`unsubscribe`, unless a command with a higher number was about this channel."""
        connection_id, stays = connection.connection_id, connection.stays_in(channel)
        attended = channel in self.connections.attended(connection_id)
        last = self.connections.unsubscribe_in_order(connection_id, channel, command_id=command_id, stays=stays)
        if not last or not attended:
            return
        attendance = self.presence.attendance
        with attendance.leaving(connection, [channel]):
            pass
        if channel in self.connections.attended(connection_id):
            # It has been subscribed again meanwhile, and it may be that coming which was just undone.
            attendance.enter(connection, [channel])
            attendance.look([channel])

    def unsubscribe(self, connection: Connection, channel: str) -> None:
        """Unsubscribe; a channel that is not subscribed to is no error.

        In its user's personal channel it stays among the subscribers: else no revocation would find it.
        """
        with self.presence.leaving(connection, channel):
            stays = connection.stays_in(channel)
            self.connections.unsubscribe(connection.connection_id, [channel], stays=stays)

    def _result(self, request: SubscribeRequest, max_bytes: int) -> dict[str, Any]:
        if request.since is not None:
            recovered = self.history.recover(request.channel, request.since, max_bytes=max_bytes)
            self.metrics.count("Recovered" if recovered.whole else "RecoveryRefused")
            if recovered.whole:
                result = _result(request.channel, recovered.position, True, recovered.page.publications)
                return result | {"more": True} if recovered.page.more else result
        position, page = self.history.latest(request.channel, request.history or 0, max_bytes=max_bytes)
        return _result(request.channel, position, False, page.publications)


def _end_of(connection: Connection, until_s: int | None) -> int:
    token_ends_s = connection.principal.expires_at_s if connection.principal else None
    return min(ends_s for ends_s in (connection.expires_at_s, token_ends_s, until_s) if ends_s is not None)


def _ends(connection: Connection, until_s: int | None) -> dict[str, int]:
    """Return when a subscription ends, and until when it can be prolonged with the connection's token."""
    ends_at_s = min(connection.expires_at_s, until_s or connection.expires_at_s)
    return {"expires_at_s": _end_of(connection, until_s), "ends_at_s": ends_at_s}


def subscription(request: "SubscribeFields") -> SubscribeRequest:
    """Return what a request asks for."""
    since = StreamPosition(request.since.epoch, request.since.offset) if request.since else None
    state = None if not request.state and not isinstance(request.state, dict) else request.state
    return SubscribeRequest(request.channel, since, request.history, {} if state is True else state, request.presence)


def _result(
    channel: str, position: StreamPosition, recovered: bool, publications: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "channel": channel,
        "position": position.to_wire(),
        "recovered": recovered,
        "publications": publications,
    }
