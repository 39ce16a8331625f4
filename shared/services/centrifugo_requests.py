"""What each of Centrifugo's commands asks of our services, and what their answers are to them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from shared.domain.centrifugo import centrifugo_id, to_name, users_of, websocket_id
from shared.domain.channel import personal_channel
from shared.domain.commands import COMMAND_DEFAULT_TIMEOUT_MS, may_use
from shared.domain.connection import Connection, Interests
from shared.domain.mailbox import is_mailbox
from shared.domain.presence import Visit
from shared.domain.principal import Capability, Principal
from shared.domain.publication import StreamPosition
from shared.domain.telling import Positioned
from shared.errors import ForbiddenError, LimitReachedError, UnauthenticatedError
from shared.namespaces import Namespaces, SubscriberRight
from shared.ports import CentrifugoTokens, Telling, TokenExpiredError, TokenNotServedError
from shared.protocol.centrifugo import codes
from shared.protocol.centrifugo import commands as theirs
from shared.protocol.centrifugo.codes import Disconnect
from shared.protocol.centrifugo.replies import EVENT_NAME, Reply, deltas, ending, publication, push_of, pushes
from shared.protocol.encode import to_json
from shared.services.centrifugo_reading import CentrifugoReading, RefusedReplyError, channel_of
from shared.services.commands import CommandRequest, Commands
from shared.services.history import PAGE_MAX_BYTES
from shared.services.publish import Publishing, PublishRequest
from shared.services.sessions import Sessions
from shared.services.subscribe import SubscribeRequest, Subscriptions

# Of what they call a server's version: SDKs show it.
_VERSION: Final = "tidewire"
_FLAG_REJECT_UNRECOVERED: Final = 2
# What one of the subscriptions in the answer to `connect` takes beside its name and its publications, at most.
_SUB_MAX_BYTES: Final = 200
# Which command takes what clients `send`, if there is one.
MESSAGE_COMMAND: Final = "message"


class DisconnectedError(Exception):
    """The connection is to be closed."""

    def __init__(self, why: Disconnect) -> None:
        super().__init__(why.reason)
        self.why = why


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A subscription of which the client is about to be told.

    Attributes:
        position: Up to where it has everything.
        command_id: That has subscribed it, if it is positioned: nothing is pushed to it before it is told to start.
        by_server: Not its client has asked for it.
    """

    position: StreamPosition
    command_id: int | None
    by_server: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command is answered with.

    Attributes:
        result: The result of theirs with the command's name.
        pushes: What the client is told behind it.
        subscribed: To which channels it has been.
    """

    result: dict[str, Any]
    pushes: Sequence[Reply] = ()
    subscribed: Mapping[str, Subscribed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CentrifugoRequests:
    """Their commands, by our services.

    Attributes:
        publishing, commands: Made when they are asked for: not every function that lets connections in has them.
    """

    sessions: Sessions
    subscriptions: Subscriptions
    publishing: Callable[[], Publishing]
    reading: CentrifugoReading
    commands: Callable[[], Commands]
    tokens: CentrifugoTokens
    namespaces: Namespaces
    telling: Telling
    now_ms: Callable[[], int]

    def connect(self, stub: Connection, request: theirs.Connect, command_id: int) -> tuple[Connection, Answer]:
        """Have a connection be a user's; subscribe it to what the server wants it to be subscribed to.

        Raises:
            RefusedReplyError, DisconnectedError: As their protocol says.
        """
        try:
            token = self.tokens.connection(request.token)
            connection = self.sessions.enter(stub, token.principal, centrifugo_id(stub.connection_id))
        except TokenExpiredError:
            raise RefusedReplyError(codes.TOKEN_EXPIRED) from None
        except TokenNotServedError as refused:
            raise DisconnectedError(_not_served(refused)) from None
        except UnauthenticatedError:
            raise DisconnectedError(codes.INVALID_TOKEN) from None
        except LimitReachedError:
            raise DisconnectedError(codes.CONNECTION_LIMIT) from None
        except ForbiddenError:  # somebody's already, perhaps its own by a call that was repeated: it is to come back
            raise DisconnectedError(codes.SERVER_ERROR) from None
        # They are not positioned: what a client is unsubscribed from that the server has subscribed, it leaves.
        names = [to_name(personal_channel(token.principal.user_id)), *token.channels]
        subs: dict[str, Answer] = {}
        left = PAGE_MAX_BYTES - sum(len(to_json(name)) + _SUB_MAX_BYTES for name in names)  # it is one reply
        for name in dict.fromkeys(names):
            subs[name] = self._subscribe(
                connection, name, request.subs.get(name), command_id, by_server=True, max_bytes=left
            )
            left -= len(to_json(subs[name].result.get("publications", [])))
        result = {
            "client": connection.connection_id,
            "version": _VERSION,
            "subs": {name: answer.result for name, answer in subs.items()},
        }
        pushes = [push for answer in subs.values() for push in answer.pushes]
        subscribed = {channel: one for answer in subs.values() for channel, one in answer.subscribed.items()}
        return connection, Answer(result | self._ttl(token.principal.expires_at_s), pushes, subscribed)

    def answer(
        self, connection: Connection, name: str, request: Any, *, command_id: int, received_at_ms: int
    ) -> Answer:
        """Return what any other command is answered with.

        Args:
            connection: Whose.
            name: Which.
            request: What it asks for.
            command_id: Its number: a later command has a higher one.
            received_at_ms: When it came in, Unix milliseconds.

        Raises:
            RefusedReplyError, DisconnectedError, TidewireError: As their protocol says, or ours.
        """
        if _principal(connection).expired(self.now_ms() / 1000):
            raise DisconnectedError(codes.EXPIRED)
        if name == "subscribe":
            return self._subscribe_by_client(connection, request, command_id)
        if name == "sub_refresh":
            return self._sub_refresh(connection, request, command_id)
        if name == "unsubscribe":
            self.subscriptions.unsubscribe_in_order(connection, _channel(request.channel), command_id)
            return Answer({})
        return Answer(self._result(connection, name, request, received_at_ms))

    def subscribe_by_server(
        self,
        connection: Connection,
        name: str,
        wanted: theirs.Subscribe | None,
        command_id: int,
        kept: Interests | None,
    ) -> Answer:
        """Subscribe a connection to a channel that a server wants it to be in.

        Args:
            connection: Whose.
            name: Their name of the channel.
            wanted: From where it is to recover, if it is.
            command_id: As for :meth:`answer`.
            kept: What it is told of there already: that stays as it is.

        Raises:
            RefusedReplyError, TidewireError: As for a client's ``subscribe``.
        """
        return self._subscribe(connection, name, wanted, command_id, by_server=True, kept=kept)

    def _result(self, connection: Connection, name: str, request: Any, received_at_ms: int) -> dict[str, Any]:
        match name:
            case "ping":
                return {}
            case "publish":
                return self._publish(connection, request, received_at_ms)
            case "history":
                principal = self._may(connection, _channel(request.channel), "history")
                return self.reading.history(principal, request)
            case "presence" | "presence_stats":
                channel = _channel(request.channel)
                principal = self._may(connection, channel, "presence")
                read = self.reading.presence if name == "presence" else self.reading.presence_stats
                return read(principal, channel)
            case "rpc":
                return {"data": self._run(connection, request.method, request.data, received_at_ms)}
            case "send":
                return self._send(connection, request, received_at_ms)
            case _:
                return self._refresh(connection, request)

    def _run(self, connection: Connection, name: str, data: Any, received_at_ms: int) -> Any:
        wanted = CommandRequest(name, data, COMMAND_DEFAULT_TIMEOUT_MS, received_at_ms)
        return self.commands().run(_principal(connection), wanted, connection_id=connection.connection_id)

    def _send(self, connection: Connection, request: theirs.Send, received_at_ms: int) -> dict[str, Any]:
        """Have a command take data that nobody waits for an answer to.

        Who may not, or where there is no such command, has to learn it some way: as from theirs without a handler.
        """
        if not may_use(_principal(connection), MESSAGE_COMMAND) or MESSAGE_COMMAND not in self.commands().catalogue:
            raise DisconnectedError(codes.NOT_SERVED)
        self._run(connection, MESSAGE_COMMAND, request.data, received_at_ms)
        return {}

    def _subscribe_by_client(self, connection: Connection, request: theirs.Subscribe, command_id: int) -> Answer:
        channel = _channel(request.channel)
        principal = _principal(connection)
        ends_s = None
        if request.token:
            ends_s = self._checked(principal, request.token, request.channel)
        elif not principal.may_receive("subscribe", channel):
            raise RefusedReplyError(codes.PERMISSION_DENIED)
        users = users_of(request.channel)
        if users is not None and principal.user_id not in users:
            raise RefusedReplyError(codes.PERMISSION_DENIED)
        # Not by HTTP: the function that streams could not push to the others what they lack.
        by_http = is_mailbox(websocket_id(connection.connection_id))
        # Nor where it stays: who can't be told in order is taken out.
        exempt = by_http or connection.stays_in(channel)
        positioned = self.namespaces.of(channel).force_positioning and not exempt
        answer = self._subscribe(connection, request.channel, request, command_id, ends_s=ends_s, positioned=positioned)
        if request.flag & _FLAG_REJECT_UNRECOVERED and answer.result.get("recovered") is False:
            self.subscriptions.unsubscribe_in_order(connection, channel, command_id)
            raise RefusedReplyError(codes.UNRECOVERABLE_POSITION)
        return answer

    def _subscribe(
        self,
        connection: Connection,
        name: str,
        wanted: theirs.Subscribe | None,
        command_id: int,
        *,
        ends_s: int | None = None,
        positioned: bool = False,
        by_server: bool = False,
        kept: Interests | None = None,
        max_bytes: int = PAGE_MAX_BYTES,
    ) -> Answer:
        """Subscribe to a channel that the connection may be in.

        Its own coming is told it with the answer: a push could be there before that, and would not be understood.
        """
        channel = _channel(name)
        settings = self.namespaces.of(channel)
        may = settings.subscribers_may
        seen = settings.presence != "off" and ("presence" in may or _principal(connection).may("presence", channel))
        since = wanted.since if wanted else None
        # A delta is good for who has what it is made of: who is told all in order.
        fossil = positioned and wanted is not None and wanted.delta == "fossil"
        request = SubscribeRequest(
            channel=channel,
            since=self.reading.position(channel, since) if since else None,
            presence=seen,
            connections=seen and settings.join_leave,
            fossil=fossil,
            by_server=by_server,
            members=False,
            expires_at_s=ends_s,
            command_id=command_id,
            positioned=positioned,
        )
        if kept is not None:
            presence, connections, fossils = (one in kept for one in ("presence", "connections", "fossil"))
            request = replace(request, kept=True, presence=presence, connections=connections, fossil=fossils)
        # As a text within JSON, data may take twice as much.
        max_bytes = max_bytes // 2 if fossil else max_bytes
        subscriber = _with(connection, channel, "subscribe", *may)
        result = self.subscriptions.subscribe(subscriber, request, max_bytes=max_bytes)
        recovered = result["recovered"] and "more" not in result
        answer = {"recoverable": True, "positioned": True, **result["position"]} | self._ttl(ends_s)
        if since:
            answer |= {"was_recovering": True, "recovered": recovered}
        if fossil:
            answer["delta"] = True
        if recovered and (missed := result["publications"]):
            answer["publications"] = deltas(missed) if fossil else [publication(event) for event in missed]
        join = Visit(_principal(connection).user_id, connection.connection_id).to_push(channel, "join")
        position = StreamPosition(answer["epoch"], answer["offset"])
        subscribed = Subscribed(position, command_id if positioned else None, by_server)
        return Answer(answer, list(pushes(join)) if request.connections else (), {channel: subscribed})

    def start_telling(self, connection: Connection, channel: str, since: StreamPosition, command_id: int) -> None:
        """Have a positioned subscription be told what comes; at once what has come while it was being subscribed."""
        shard = self.subscriptions.connections.shard_of(connection.connection_id, channel)
        started = self.telling.start(channel, shard, Positioned(connection.connection_id, command_id, since))
        if started and self.reading.history_reader.behind(channel, since):
            self.publishing().fan_out.catch_up(channel, shard)

    def _publish(self, connection: Connection, request: theirs.Publish, received_at_ms: int) -> dict[str, Any]:
        channel = _channel(request.channel)
        # Express: what is answered is in the history, as with theirs.
        wanted = PublishRequest(channel, EVENT_NAME, request.data, priority="express", received_at_ms=received_at_ms)
        principal = self._may(connection, channel, "publish")
        self.publishing().publish(principal, wanted, connection_id=connection.connection_id)
        return {}

    def _refresh(self, connection: Connection, request: theirs.Token) -> dict[str, Any]:
        try:
            principal = self.tokens.connection(request.token).principal
            self.sessions.renew(connection, principal)
        except TokenExpiredError:  # as theirs: the error would end SDKs for good
            raise DisconnectedError(codes.EXPIRED) from None
        except TokenNotServedError as refused:
            raise DisconnectedError(_not_served(refused)) from None
        except (UnauthenticatedError, ForbiddenError):
            raise DisconnectedError(codes.INVALID_TOKEN) from None
        return {"client": connection.connection_id, "version": _VERSION} | self._ttl(principal.expires_at_s)

    def _sub_refresh(self, connection: Connection, request: theirs.Token, command_id: int) -> Answer:
        channel = _channel(request.channel)
        try:
            ends_s = self._checked(_principal(connection), request.token, request.channel)
        except RefusedReplyError as refused:
            if refused.error != codes.TOKEN_EXPIRED:
                raise
            return self._lapsed(connection, channel, command_id)
        interests = self.subscriptions.connections.subscriptions(connection.connection_id).get(channel)
        if interests is None:
            return self._lapsed(connection, channel, command_id)
        self.subscriptions.prolong(connection, channel, command_id, until_s=ends_s)
        return Answer(self._ttl(ends_s))

    def _lapsed(self, connection: Connection, channel: str, command_id: int) -> Answer:
        """Have the client subscribe anew, and recover: by an error, SDKs would end the subscription for good.

        Unless a later command was about the channel. Whether there was a subscription is not asked: those that have
        ended are not kept.
        """
        if self.subscriptions.connections.last_command(connection.connection_id, channel) > command_id:
            return Answer({})
        why = codes.SUBSCRIPTION_EXPIRED
        return Answer({}, [push_of(channel, "unsubscribe", {"code": why.code, "reason": why.reason})])

    def _checked(self, principal: Principal, token: str, name: str) -> int | None:
        """Return when a subscription token ends that is this user's for this channel."""
        try:
            claims = self.tokens.subscription(token)
        except TokenExpiredError:
            raise RefusedReplyError(codes.TOKEN_EXPIRED) from None
        except UnauthenticatedError:
            raise RefusedReplyError(codes.PERMISSION_DENIED) from None
        if (claims.user_id, claims.channel) != (principal.user_id, name):
            raise RefusedReplyError(codes.PERMISSION_DENIED)
        return claims.expires_at_s

    def _may(self, connection: Connection, channel: str, right: SubscriberRight) -> Principal:
        """Return who asks, with the right that a subscription alone gives there, if it has one."""
        principal = _principal(connection)
        if principal.may(right, channel) or right not in self.namespaces.of(channel).subscribers_may:
            return principal
        if channel not in self.subscriptions.connections.subscriptions(connection.connection_id):
            return principal
        return _principal(_with(connection, channel, right))

    def _ttl(self, ends_s: int | None) -> dict[str, Any]:
        return ending(ends_s, now_ms=self.now_ms())


def _principal(connection: Connection) -> Principal:
    assert connection.principal is not None  # it goes by its name since somebody has said who it is
    return connection.principal


def _not_served(refused: TokenNotServedError) -> Disconnect:
    return Disconnect(codes.INVALID_TOKEN.code, f"{codes.INVALID_TOKEN.reason}: {refused}")


def _channel(name: str) -> str:
    if not name:
        raise DisconnectedError(codes.MALFORMED)
    return channel_of(name)


def _with(connection: Connection, channel: str, *rights: str) -> Connection:
    """Return the connection as it is for one call: with these rights in this channel."""
    principal = _principal(connection)
    allowed = [*principal.capabilities.get(channel, ()), *(cast(Capability, right) for right in rights)]
    return replace(connection, principal=replace(principal, capabilities={**principal.capabilities, channel: allowed}))
