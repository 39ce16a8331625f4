"""Centrifugo's commands in, replies out, by the services that our own requests are handled by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.domain.centrifugo import centrifugo_id
from shared.domain.connection import Connection
from shared.errors import ConnectionGoneError, RateLimitedError, TidewireError
from shared.ports import ConnectionStore, ConnectionTransport, Metrics
from shared.protocol.centrifugo import codes
from shared.protocol.centrifugo.codes import Disconnect, ReplyError, error_of
from shared.protocol.centrifugo.commands import Command, Connect, parse
from shared.protocol.centrifugo.replies import Reply, disconnect, encode
from shared.protocol.limits import WEBSOCKET_FRAME_MAX_BYTES
from shared.services.centrifugo_reading import RefusedReplyError
from shared.services.centrifugo_requests import Answer, CentrifugoRequests, DisconnectedError, Subscribed
from shared.services.limits import RateLimits
from shared.services.sessions import Sessions

# A command that overtakes its connection's `connect` waits for that: API Gateway may hand both out at once.
_CONNECT_LOOKS: Final = 5
_CONNECT_LOOK_S: Final = 0.2


@dataclass(slots=True)
class _Caller:
    """Whose commands these are.

    Attributes:
        connection: As it goes by its name; ``None`` before ``connect``.
        subscribed: To which channels it has just been.
    """

    websocket_id: str
    received_at_ms: int
    connection: Connection | None
    subscribed: dict[str, Subscribed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Centrifugo:
    """Handles what Centrifugo's clients send.

    Attributes:
        on_failure: Is told of what should not have happened; the client is told ``internal server error`` and no more.
    """

    requests: CentrifugoRequests
    connections: ConnectionStore
    sessions: Sessions
    transport: ConnectionTransport
    limits: RateLimits
    metrics: Metrics
    sleep: Callable[[float], None]
    on_failure: Callable[[Exception], None]

    def handle(self, connection_id: str, body: str, *, received_at_ms: int) -> list[Reply]:
        """Handle commands in order; return the replies in the same order. Raises nothing.

        Where the connection is to be closed, it has been told why and is, and there is no reply left.
        """
        caller = _Caller(connection_id, received_at_ms, None)
        replies: list[Reply] = []
        try:
            commands = parse(body, max_bytes=WEBSOCKET_FRAME_MAX_BYTES)
            self.limits.received(connection_id, len(body.encode()))
            caller.connection = self.connections.get(centrifugo_id(connection_id))
            for command in commands:
                replies += self._replies(caller, command)
        except DisconnectedError as ended:
            self._end(caller, replies, ended.why)
            return []
        except RateLimitedError:
            return [_refusal(command, codes.TOO_MANY_REQUESTS) for command in commands if command.id]
        except TidewireError as error:
            self._end(caller, replies, codes.SERVER_ERROR if error.temporary else codes.MALFORMED)
            return []
        except Exception as error:
            self.on_failure(error)
            self._end(caller, replies, codes.SERVER_ERROR)
            return []
        return replies if not caller.subscribed else self._subscribed(caller, replies)

    def is_spoken_by(self, connection_id: str) -> bool:
        """Tell whether a connection has begun to speak it: what came in does not say. Raises nothing."""
        try:
            stub = self.connections.get(connection_id)
        except Exception as error:  # what came in is to be refused anyway
            self.on_failure(error)
            return False
        return stub is not None and stub.alias is not None

    def _subscribed(self, caller: _Caller, replies: Sequence[Reply]) -> list[Reply]:
        """Send the replies, then what has come into the channels meanwhile; return the replies if that is not the way.

        SDKs drop what is pushed into a channel before they have the reply that subscribes them, and don't see by the
        next one that it is missing. Who gets some of it twice has it at least; who is positioned gets all of it once.
        """
        (error,) = self.transport.push_all([caller.websocket_id], encode(replies))
        positioned = any(one.command_id is not None for one in caller.subscribed.values())
        if isinstance(error, ConnectionGoneError) or (error is not None and not positioned):
            return list(replies)
        try:
            if error is not None:  # the reply would have to be there before it is told anything
                raise error
            missed: list[Reply] = []
            for channel, one in caller.subscribed.items():
                if one.command_id is None:
                    found = self.requests.reading.missed(channel, one.position, by_server=one.by_server)
                    if found is None:
                        self._end(caller, missed, codes.MISSED)
                        return []
                    missed += found
                elif caller.connection is not None:
                    self.requests.start_telling(caller.connection, channel, one.position, one.command_id)
            if missed:
                self.transport.push_all([caller.websocket_id], encode(missed))
        except Exception as failure:  # the replies have gone: whoever comes back recovers
            self.on_failure(failure)
            self._end(caller, [], codes.SERVER_ERROR)
        return []

    def _replies(self, caller: _Caller, command: Command) -> list[Reply]:
        """Return the reply to a command: none to a pong, and to ``send``."""
        request = command.request
        if request is None and command.id == 0:
            return []
        self.metrics.count("Requests")
        try:
            if request is None or (command.id == 0 and request[0] != "send"):
                raise DisconnectedError(codes.MALFORMED)
            self.limits.request(caller.websocket_id)
            if isinstance(request[1], Connect):
                answer = self._connect(caller, request[1], command.id)
            else:
                answer = self.requests.answer(
                    self._connection(caller),
                    *request,
                    command_id=command.id,
                    received_at_ms=caller.received_at_ms,
                )
        except RefusedReplyError as refused:
            error = refused.error
        except TidewireError as refused:
            error = error_of(refused)
        except DisconnectedError:
            raise
        except Exception as failure:
            self.on_failure(failure)
            error = codes.INTERNAL
        else:
            caller.subscribed |= answer.subscribed
            if request[0] == "send":
                return []
            return [{"id": command.id, request[0]: answer.result}, *answer.pushes]
        self.metrics.count("RequestErrors")
        return [] if request and request[0] == "send" else [_refusal(command, error)]

    def _connect(self, caller: _Caller, request: Connect, command_id: int) -> Answer:
        stub = self.connections.get(caller.websocket_id)
        if caller.connection is not None or stub is None or stub.principal is not None or stub.alias is not None:
            raise DisconnectedError(codes.MALFORMED)  # it speaks our protocol, or has said this before
        self.limits.hello(caller.websocket_id)
        caller.connection, answer = self.requests.connect(stub, request, command_id)
        return answer

    def _connection(self, caller: _Caller) -> Connection:
        for _ in range(_CONNECT_LOOKS):
            if caller.connection is not None:
                break
            stub = self.connections.get(caller.websocket_id)
            if stub is None:
                raise DisconnectedError(codes.SERVER_ERROR)  # it has gone here, and not there: it is to come back
            if stub.principal is not None:
                break  # it speaks our protocol
            self.sleep(_CONNECT_LOOK_S)
            caller.connection = self.connections.get(centrifugo_id(caller.websocket_id))
        if caller.connection is None:
            raise DisconnectedError(codes.MALFORMED)
        return caller.connection

    def _end(self, caller: _Caller, replies: Sequence[Reply], why: Disconnect) -> None:
        """Send what there is to be said, why it ends, and close."""
        connection_id = caller.websocket_id
        self.metrics.count("RequestErrors")
        (error,) = self.transport.push_all([connection_id], encode([*replies, disconnect(why)]))
        try:
            if not isinstance(error, ConnectionGoneError):
                self.transport.close(connection_id)
        except ConnectionGoneError:
            pass  # it has closed by itself, as it was told
        except TidewireError as failure:  # with nothing left of it here, what it sends next ends it
            self.on_failure(failure)
        finally:
            self.sessions.disconnect(connection_id)


def _refusal(command: Command, error: ReplyError) -> Reply:
    return {"id": command.id, "error": error.to_wire()}
