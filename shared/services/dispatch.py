"""Frames in, replies out: the one way in which every transport's requests are handled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from shared.domain.channel import personal_channel
from shared.domain.principal import Principal
from shared.domain.publication import StreamPosition
from shared.errors import (
    ForbiddenError,
    InternalError,
    RateLimitedError,
    TidewireError,
    UnauthenticatedError,
)
from shared.ports import ConnectionStore, Metrics
from shared.protocol import requests
from shared.protocol.decode import parse, request_id, validate
from shared.services.caller import (
    CONNECTION_UNKNOWN,
    MIXED,
    Caller,
    ConnectionUnknownError,
    MixedProtocolsError,
)
from shared.services.commands import CommandRequest, Commands
from shared.services.document_reader import DocumentReader
from shared.services.documents import Documents, Write
from shared.services.history import History
from shared.services.limits import RateLimits
from shared.services.peer_commands import PeerAnswers, PeerCommandRequest, PeerCommands
from shared.services.presence import Presence
from shared.services.publish import Published, Publishing, PublishRequest, SendRequest
from shared.services.publish_batch import PublishBatch
from shared.services.receipts import Reading
from shared.services.sessions import HelloRequest, Sessions, check_protocol
from shared.services.subscribe import Subscriptions, subscription

# What is sent often and worth little, so that an answer would cost more than it says.
_MAY_LACK_ID: Final = ("typing",)


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Handles what clients send.

    Attributes:
        on_failure: Is told of what should not have happened; the client is told ``internal`` and no more.
    """

    connections: ConnectionStore
    sessions: Sessions
    subscriptions: Subscriptions
    publishing: Publishing
    history: History
    document_reader: DocumentReader
    documents: Documents
    reading: Reading
    commands: Commands
    peer_commands: PeerCommands
    peer_answers: PeerAnswers
    limits: RateLimits
    metrics: Metrics
    now_ms: Callable[[], int]
    on_failure: Callable[[Exception], None]
    presence: Presence

    def handle(
        self, connection_id: str, body: str | bytes, *, max_bytes: int, received_at_ms: int
    ) -> list[dict[str, Any]]:
        """Handle one frame or a batch in order; return the replies in the same order. Raises nothing.

        A frame whose reply comes later, on the receiving side, has none among them; nor has one that wants none,
        whatever comes of it.

        Args:
            connection_id: Whose.
            body: JSON.
            max_bytes: The transport's limit.
            received_at_ms: When the transport got it, Unix milliseconds. Functions may start much later.
        """
        try:
            frames = parse(body, max_bytes=max_bytes)
        except TidewireError as error:
            told = [MIXED] if self._speaks_another(connection_id) else []
            return [self._unreadable(connection_id, body, error), *told]
        try:
            self.limits.received(connection_id, _size(body))
            caller = self._caller(connection_id, received_at_ms)
        except ConnectionUnknownError as error:
            return [*self._refused(frames, error), CONNECTION_UNKNOWN]
        except MixedProtocolsError as error:
            return [*self._refused(frames, error), MIXED]
        except TidewireError as error:
            return self._refused(frames, error)
        except Exception as error:
            self.on_failure(error)
            return self._refused(frames, InternalError())
        replies = [
            self._reply(frame, partial(self._answer, caller, place, frame)) for place, frame in enumerate(frames)
        ]
        for place, outcome in caller.publications.finish().items():
            replies[place] = self._reply(frames[place], partial(self._published, frames[place], outcome))
        return [reply for reply in replies if reply is not None] + caller.told

    def _caller(self, connection_id: str, received_at_ms: int) -> Caller:
        read_at_ms = self.now_ms()  # before, so that it is no older than it says
        connection = self.connections.get(connection_id)
        if connection is None:
            raise ConnectionUnknownError
        if connection.alias is not None:
            raise MixedProtocolsError
        publications = PublishBatch(self.publishing, lambda: self._may_go(caller))
        caller = Caller(connection, received_at_ms, read_at_ms, publications)
        return caller

    def _may_go(self, caller: Caller) -> Principal:
        """As :meth:`_principal`, for what was admitted before."""
        caller.look_again(self.connections, self.now_ms())
        return self._principal(caller)

    def _reply(self, frame: Any, answer: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
        try:
            return answer()
        except TidewireError as error:
            return self._refusal(frame, error)
        except Exception as error:
            self.on_failure(error)
            return self._refusal(frame, InternalError())

    def _answer(self, caller: Caller, place: int, frame: Any) -> dict[str, Any] | None:
        """Return the reply; ``None`` for a publication, whose outcome is not known yet, and where none is to be now."""
        self._count(caller)
        request = validate(frame)
        if not isinstance(request, (requests.Publish, requests.Send)):
            caller.publications.send()  # in order: what stands before it is durable first
        caller.look_again(self.connections, self.now_ms())
        match request:
            case requests.Ping():
                return {"type": "pong"} | ({} if request.id is None else {"id": request.id})
            case requests.Hello():
                self.limits.hello(caller.connection.connection_id)
                result = self._hello(caller, request)
            case requests.Refresh():
                self.limits.hello(caller.connection.connection_id)
                result = self._refresh(caller, request)
            case requests.Publish():
                self._publish(caller, place, request)
                return None
            case requests.Send():
                self._send(caller, place, request)
                return None
            case requests.Command(to=requests.Peer()):
                self._ask_peer(caller, request)
                return None
            case _:
                result = self._result(caller, request)
        return None if _wants_no_reply(frame) else {"type": "reply", "id": request.id, "result": result}

    def _published(self, frame: Any, outcome: Published | Exception) -> dict[str, Any]:
        if isinstance(outcome, Exception):
            raise outcome
        return {"type": "reply", "id": request_id(frame), "result": outcome.to_wire()}

    def _count(self, caller: Caller) -> None:
        """Count a frame, whatever is in it."""
        self.metrics.count("Requests")
        if caller.refused:
            raise caller.refused
        try:
            self.limits.request(caller.connection.connection_id)
        except RateLimitedError as error:
            caller.refused = error
            raise

    def _speaks_another(self, connection_id: str) -> bool:
        try:
            connection = self.connections.get(connection_id)
        except Exception as failure:  # what came in is refused anyway
            self.on_failure(failure)
            return False
        return connection is not None and connection.alias is not None

    def _unreadable(self, connection_id: str, body: str | bytes, error: TidewireError) -> dict[str, Any]:
        self.metrics.count("Requests")
        try:
            self.limits.received(connection_id, _size(body))
            self.limits.request(connection_id)
        except RateLimitedError as refused:
            error = refused
        except Exception as failure:
            self.on_failure(failure)
        return self._error(None, error)

    def _refused(self, frames: Sequence[Any], error: TidewireError) -> list[dict[str, Any]]:
        self.metrics.count("Requests", len(frames))
        refusals = [self._refusal(frame, error) for frame in frames]
        return [refusal for refusal in refusals if refusal is not None]

    def _refusal(self, frame: Any, error: TidewireError) -> dict[str, Any] | None:
        reply = self._error(request_id(frame), error)
        return None if _wants_no_reply(frame) else reply

    def _error(self, id_: int | str | None, error: TidewireError) -> dict[str, Any]:
        self.metrics.count("RequestErrors")
        return {"type": "reply", "id": id_, "error": error.to_wire()}

    def _result(self, caller: Caller, request: requests.Request) -> dict[str, Any]:
        principal = self._principal(caller)
        match request:
            case requests.Subscribe():
                return self.subscriptions.subscribe(caller.connection, subscription(request))
            case requests.Unsubscribe():
                self.subscriptions.unsubscribe(caller.connection, request.channel)
                return {}
            case requests.Command():
                return self._command(caller, request)
            case requests.Result():
                return self._answer_peer(caller, request)
            case requests.Ack():
                if self.reading.ack(principal, request.channel, request.offset):
                    self.presence.acked(principal, request.channel)
                return {}
            case requests.History():
                return self._history(caller, request)
            case requests.Sync():
                return self._sync(caller, request)
            case requests.PresenceGet():
                return self.presence.get(principal, request.channel, request.after or "")
            case requests.PresenceUpdate():
                self.presence.update(caller.connection, request.channel, request.said)
                return {}
            case requests.Typing():
                self.presence.typing(caller.connection, request.channel, request.active)
                return {}
            case requests.StateGet():
                return self._state(principal, request)
            case requests.StateSet() | requests.StatePatch() | requests.StateDelete():
                write = Write(
                    channel=request.channel,
                    key=request.key,
                    value=getattr(request, "value", None),
                    patch=getattr(request, "patch", None),
                    base_version=request.base_version,
                    connection_id=caller.connection.connection_id,
                )
                return self.documents.write(principal, write).to_wire()
            case _:
                raise AssertionError(f"{type(request).__name__} has no handler")

    def _hello(self, caller: Caller, request: requests.Hello) -> dict[str, Any]:
        check_protocol(request.protocol)
        hello = HelloRequest(request.token, request.session_id, [subscription(s) for s in request.subscribe])
        caller.connection, result = self.sessions.hello(caller.connection, hello)
        return result

    def _refresh(self, caller: Caller, request: requests.Refresh) -> dict[str, Any]:
        refreshed = self.sessions.refresh(caller.connection, request.token)
        caller.connection = refreshed.connection
        told = {"type": "system", "event": "resubscribe", "reason": "capabilities"}
        caller.told += [{**told, "channel": channel} for channel in refreshed.lost]
        expires_at_s = caller.principal.expires_at_s
        assert expires_at_s is not None  # tokens have an end
        return {"expires_at_ms": expires_at_s * 1000}

    def _principal(self, caller: Caller) -> Principal:
        """Return whose request it is, if it may be.

        Raises:
            UnauthenticatedError: Nobody has said, or the token has ended.
        """
        if caller.principal.expired(self.now_ms() / 1000):
            raise UnauthenticatedError("the token has expired")
        if caller.connection.session_id is None and not caller.connection.announced:
            self.sessions.announce(caller.connection)
            caller.connection = replace(caller.connection, announced=True)
        return caller.principal

    def _publish(self, caller: Caller, place: int, request: requests.Publish) -> None:
        wanted = PublishRequest(
            channel=request.channel,
            name=request.name,
            data=request.data,
            message_id=request.message_id,
            priority=request.priority,
            retry=request.retry,
            ephemeral=request.ephemeral,
            receipt=request.receipt,
            received_at_ms=caller.received_at_ms,
        )
        connection_id = caller.connection.connection_id
        admit = partial(self.publishing.admit, self._principal(caller), wanted, connection_id=connection_id)
        caller.publications.add(place, None if request.ephemeral else request.channel, admit)

    def _send(self, caller: Caller, place: int, request: requests.Send) -> None:
        wanted = SendRequest(
            user_id=request.to.user_id,
            connection_id=request.to.connection_id,
            name=request.name,
            data=request.data,
            message_id=request.message_id,
            retry=request.retry,
            receipt=request.receipt,
            received_at_ms=caller.received_at_ms,
        )
        connection_id = caller.connection.connection_id
        admit = partial(self.publishing.admit_send, self._principal(caller), wanted, connection_id=connection_id)
        channel = personal_channel(request.to.user_id) if request.to.user_id else None
        caller.publications.add(place, channel, admit)

    def _command(self, caller: Caller, request: requests.Command) -> dict[str, Any]:
        wanted = CommandRequest(request.name, request.data, request.timeout_ms, caller.received_at_ms)
        connection_id = caller.connection.connection_id
        return {"data": self.commands.run(caller.principal, wanted, connection_id=connection_id)}

    def _ask_peer(self, caller: Caller, request: requests.Command) -> None:
        assert request.to is not None
        wanted = PeerCommandRequest(
            id=request.id,
            name=request.name,
            data=request.data,
            user_id=request.to.user_id,
            connection_id=request.to.connection_id,
            timeout_ms=request.timeout_ms,
        )
        self.peer_commands.ask(caller.connection, self._principal(caller), wanted)

    def _answer_peer(self, caller: Caller, request: requests.Result) -> dict[str, Any]:
        self.peer_answers.answer(
            caller.principal,
            caller.connection.connection_id,
            request.command_id,
            data=request.data,
            error=None if request.error is None else request.error.model_dump(exclude_none=True),
        )
        return {}

    def _history(self, caller: Caller, request: requests.History) -> dict[str, Any]:
        if not caller.principal.may_receive("history", request.channel):
            raise ForbiddenError("the token does not allow to read this channel's history")
        since = _position(request.since)
        if since is not None and not request.reverse:
            self.metrics.count("GapsFilled")
        position, page = self.history.read(request.channel, since, limit=request.limit, reverse=request.reverse)
        return {"publications": page.publications, "position": position.to_wire(), "more": page.more}

    def _state(self, principal: Principal, request: requests.StateGet) -> dict[str, Any]:
        if request.key is not None:
            return self.document_reader.one(principal, request.channel, request.key, request.since_version)
        return self.document_reader.page(principal, request.channel, known=request.known, after=request.after or "")

    def _sync(self, caller: Caller, request: requests.Sync) -> dict[str, Any]:
        behind = {}
        for channel, known in request.positions.items():
            if not caller.principal.may_receive("subscribe", channel):
                raise ForbiddenError("the token does not allow to subscribe to a channel", details={"channel": channel})
            end = self.history.behind(channel, StreamPosition(known.epoch, known.offset))
            if end is not None:
                behind[channel] = end.to_wire()
        return {"behind": behind}


def _size(body: str | bytes) -> int:
    return len(body.encode(errors="replace")) if isinstance(body, str) else len(body)


def _wants_no_reply(frame: Any) -> bool:
    """Tell whether it is of a kind that may go without an ``id``, and does."""
    return isinstance(frame, dict) and frame.get("type") in _MAY_LACK_ID and frame.get("id") is None


def _position(position: requests.Position | None) -> StreamPosition | None:
    return StreamPosition(position.epoch, position.offset) if position else None
