"""Commands of one client to another: asked, answered, or their time is up. Loads no pydantic: the janitor has this.

A command is pushed to its peer and written down; the peer's answer, or the deadline, takes the record, and whoever gets
it pushes the reply to who asked. So there is one reply, on the receiving side of the asker's transport.
"""

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from shared.domain.channel import personal_channel
from shared.domain.commands import may_use
from shared.domain.connection import Connection
from shared.domain.pending_command import PendingCommand
from shared.domain.principal import Principal
from shared.errors import (
    BadFrameError,
    CommandFailedError,
    CommandTimeoutError,
    ForbiddenError,
    NoSuchPeerError,
    TidewireError,
    TooLargeError,
    UnknownCommandError,
)
from shared.ports import Broadcast, ConnectionStore, DeadlineQueue, EventBus, Metrics, PendingCommandStore
from shared.protocol.encode import to_json
from shared.protocol.limits import COMMAND_ERROR_MAX_BYTES
from shared.services.limits import RateLimits
from shared.services.peers import Peer, peer_of


@dataclass(frozen=True, slots=True)
class PeerCommandRequest:
    """What somebody wants a peer to do.

    Attributes:
        id: That of the request: the reply has it.
        user_id: Any connection of this user may do it; or
        connection_id: this connection.
        timeout_ms: How long they wait.
    """

    id: int | str
    name: str
    data: Any
    user_id: str | None
    connection_id: str | None
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class PeerCommands:
    """The asker's side."""

    pending: PendingCommandStore
    connections: ConnectionStore
    deadlines: DeadlineQueue
    bus: EventBus
    limits: RateLimits
    metrics: Metrics
    now_ms: Callable[[], int]

    def ask(self, asker: Connection, principal: Principal, request: PeerCommandRequest) -> None:
        """Pass a command on to its peer. The reply comes later, by :class:`PeerAnswers`: one, whatever happens.

        Raises:
            ForbiddenError: The principal may not use commands of this name, or not send to that peer.
            NoSuchPeerError: The peer is not connected.
            RateLimitedError: The peer is asked too much.
        """
        if not may_use(principal, request.name):
            raise ForbiddenError("the token does not allow this command")
        peer = self._peer(principal, request)
        self.limits.publish(principal, peer.channel)
        pending = PendingCommand(
            command_id=secrets.token_urlsafe(16),
            asker_user_id=principal.user_id,
            asker_connection_id=asker.connection_id,
            asker_session_id=asker.session_id,
            request_id=request.id,
            peer_user_id=peer.user_id,
            peer_connection_id=peer.connection_id,
            expires_at_ms=self.now_ms() + request.timeout_ms,
        )
        push = {
            "type": "command",
            "command_id": pending.command_id,
            "name": request.name,
            "data": request.data,
            "sender": {"user_id": principal.user_id, "connection_id": asker.connection_id},
            "expires_at_ms": pending.expires_at_ms,
        }
        self.pending.put(pending)
        try:
            # First, so that no command waits for ever.
            self.deadlines.send_command(pending.command_id, delay_s=-(-request.timeout_ms // 1000))
            self.bus.put([Broadcast(peer.channel, [push], connection_id=peer.connection_id)])
        except Exception:
            # Who is told this is told nothing later. If the record has gone, the push went out, and was answered.
            if self._withdraw(pending.command_id):
                raise
        self.metrics.count("PeerCommands")

    def _peer(self, principal: Principal, request: PeerCommandRequest) -> Peer:
        peer = peer_of(
            principal,
            self.connections,
            user_id=request.user_id,
            connection_id=request.connection_id,
            now_ms=self.now_ms(),
        )
        if peer.connection_id is None:
            shard = self.connections.subscribers(peer.channel, at_most=1)
            if not shard.connection_ids and shard.count == 1:
                raise NoSuchPeerError("the user is not connected")
        return peer

    def _withdraw(self, command_id: str) -> bool:
        """Have the command wait no longer; return whether nobody is known to have answered it."""
        with suppress(TidewireError):
            return self.pending.take(command_id) is not None
        return True


@dataclass(frozen=True, slots=True)
class PeerAnswers:
    """The peer's side, and the clock's."""

    pending: PendingCommandStore
    connections: ConnectionStore
    deadlines: DeadlineQueue
    bus: EventBus
    metrics: Metrics
    now_ms: Callable[[], int]

    def answer(
        self,
        principal: Principal,
        connection_id: str,
        command_id: str,
        *,
        data: Any = None,
        error: Mapping[str, Any] | None = None,
    ) -> None:
        """Pass a peer's answer on to who asked: its data, or its error ``{"message", "details"?}``. The first counts.

        Raises:
            TooLargeError: The error is over 8,000 bytes.
            BadFrameError: The error has a number that is not finite.
            UnknownCommandError: None waits for this answer: it has one, its time is up, or there never was one.
            ForbiddenError: Another was asked.
        """
        outcome: dict[str, Any] = {"result": {"data": data}}
        if error is not None:
            _check_error(error)
            outcome = {"error": CommandFailedError("the peer says that it failed", details=dict(error)).to_wire()}
        pending = self.pending.get(command_id)
        if pending is None or pending.expires_at_ms <= self.now_ms():
            raise _nothing_waits()
        if not pending.may_be_answered_by(principal.user_id, connection_id):
            raise ForbiddenError("another was asked")
        taken = self.pending.take(command_id)
        if taken is None:
            raise _nothing_waits()
        try:
            self._reply(taken, outcome)
        except Exception:
            # Its deadline may have come while it was taken.
            left_s = max(1, -(-(taken.expires_at_ms - self.now_ms()) // 1000))
            self.deadlines.send_command(command_id, delay_s=left_s)
            raise

    def expire(self, command_id: str) -> bool:
        """Tell who asked that nobody has answered; return whether nobody had."""
        pending = self.pending.take(command_id)
        if pending is None:
            return False
        self._reply(pending, {"error": CommandTimeoutError("the peer did not answer in time").to_wire()})
        self.metrics.count("CommandTimeouts")
        return True

    def _reply(self, pending: PendingCommand, outcome: Mapping[str, Any]) -> None:
        try:
            reply = {"type": "reply", "id": pending.request_id, **outcome}
            channel = personal_channel(pending.asker_user_id)
            self.bus.put([Broadcast(channel, [reply], connection_id=self._asker(pending))])
        except Exception:
            # Whoever tries again, the peer or the deadline, finds it as it was.
            self.pending.put(pending)
            raise

    def _asker(self, pending: PendingCommand) -> str:
        """Return the connection that the asker has now."""
        session = self.connections.session(pending.asker_session_id) if pending.asker_session_id else None
        return pending.asker_connection_id if session is None else session.connection_id


def _check_error(error: Mapping[str, Any]) -> None:
    try:
        size = len(to_json(error))
    except ValueError:
        raise BadFrameError("the error has a number that is not finite") from None
    if size > COMMAND_ERROR_MAX_BYTES:
        raise TooLargeError(
            f"an error has at most {COMMAND_ERROR_MAX_BYTES} bytes", details={"max_bytes": COMMAND_ERROR_MAX_BYTES}
        )


def _nothing_waits() -> UnknownCommandError:
    return UnknownCommandError("no command waits for this answer")
