"""Commands: what the server, or a peer, is to do for us; and what we do for peers."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Final

from tidewire.backoff import again_after_ms
from tidewire.errors import FORBIDDEN, UNKNOWN_COMMAND, TidewireError, is_passing, too_large
from tidewire.frames import Frame, Sender
from tidewire.futures import awaited
from tidewire.host import Host

# The server says `timeout` a second or two after the time; nothing comes only if that got lost.
_ANSWER_LATE_S: Final = 5
_DATA_MAX_BYTES: Final = 24_000
_ERROR_MAX_BYTES: Final = 8_000
_MESSAGE_MAX_LENGTH: Final = 1_000
# To a result: it has been answered, its time is up; or it was asked of a connection that was ours and is no more.
_NOT_WAITED_FOR: Final = (UNKNOWN_COMMAND, FORBIDDEN)


@dataclass(frozen=True, slots=True)
class CommandContext:
    """Whose command it is.

    Attributes:
        expires_at_ms: Until when the sender waits, in Unix milliseconds by the server's clock.
    """

    sender: Sender
    expires_at_ms: int


class CommandError(Exception):
    """What a handler raises to have the sender told why.

    Args:
        message: At most 1,000 characters of it are told.
        details: JSON of at most 8,000 bytes together with the message.
    """

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message, self.details = message, details


CommandHandler = Callable[[Any, CommandContext], Any]
"""Does what a command says; what it returns, or an awaitable of that, is the answer: JSON of at most 24,000 bytes."""


class Commands:
    """Those of one client."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._handlers: dict[str, CommandHandler] = {}
        self._run: dict[str, int] = {}  # commands that were begun, and when they expire

    async def ask(
        self, name: str, data: Any = None, *, to: Mapping[str, str] | None = None, timeout_s: float = 10.0
    ) -> Any:
        """Have the server, or a peer, do something; return the answer's data.

        Args:
            data: JSON of at most 24,000 bytes.
            to: The peer: ``{"user_id": ...}``, who may answer with any of its connections; or
                ``{"connection_id": ...}``.
                By default the server.
            timeout_s: How long the peer has; 25 s at most.

        Raises:
            TidewireError: As ``command_failed``, with the handler's or peer's ``message`` and ``details`` as
                ``details``; as ``timeout`` when nothing came back, and it may have been done: it is not tried again.
            TypeError: The data is no JSON.
            ValueError: Likewise: NaN, a circle, half a character.
        """
        _check_size(data)
        request: Frame = {"type": "command", "name": name, "data": data, "timeout_ms": round(timeout_s * 1000)}
        if to is not None:
            request["to"] = dict(to)
        result = await self._host.ask(request, timeout_s + _ANSWER_LATE_S)
        return result.get("data") if isinstance(result, dict) else None

    def on(self, name: str, handler: CommandHandler) -> Callable[[], None]:
        """Do what peers ask for under this name; one handler for each.

        Where a user has several connections, the first answer counts: one without a handler says nothing.

        Returns:
            A function that ends it.
        """
        self._handlers[name] = handler

        def end() -> None:
            if self._handlers.get(name) is handler:
                del self._handlers[name]

        return end

    def push(self, push: Frame) -> None:
        """A command was pushed."""
        now_ms = self._host.server_time_ms()
        self._run = {command_id: at_ms for command_id, at_ms in self._run.items() if at_ms > now_ms}
        command_id, context = push.get("command_id"), _context(push)
        if not isinstance(command_id, str) or context is None or command_id in self._run:
            return
        handler = self._handlers.get(push["name"])
        if handler is not None and now_ms < context.expires_at_ms:
            self._run[command_id] = context.expires_at_ms
            self._host.spawn(self._answer(command_id, handler, push.get("data"), context))

    async def _answer(self, command_id: str, handler: CommandHandler, data: Any, context: CommandContext) -> None:
        answer: Frame
        try:
            result = handler(data, context)
            answer = {"data": await awaited(result) if isawaitable(result) else result}
            _check_size(answer["data"])
        except Exception as error:
            if not isinstance(error, CommandError):
                self._host.report(error)
            answer = {"error": _peer_error(error)}
        await self._send({"type": "result", "command_id": command_id, **answer}, context.expires_at_ms)

    async def _send(self, result: Frame, expires_at_ms: int) -> None:
        attempt = 0
        while self._host.server_time_ms() < expires_at_ms:
            try:
                await self._host.ask(dict(result))
                return
            except TidewireError as error:
                if not error.retryable:
                    if not is_passing(error) and error.code not in _NOT_WAITED_FOR:
                        self._host.report(error)
                    return
                wait_ms = again_after_ms(error, attempt, self._host.random)
            attempt += 1
            await asyncio.sleep(wait_ms / 1000)


def _context(push: Frame) -> CommandContext | None:
    """Return whose command it is; ``None`` if that makes no sense."""
    sender, expires_at_ms = push.get("sender"), push.get("expires_at_ms")
    if not isinstance(push.get("name"), str) or type(expires_at_ms) is not int:
        return None
    if not isinstance(sender, dict) or not isinstance(sender.get("user_id"), str):
        return None
    return CommandContext(Sender.from_wire(sender), expires_at_ms)


def _peer_error(error: Exception) -> Frame:
    """Return what the sender is told of a failure: the message, and details if they were meant for it."""
    message = str(error)[:_MESSAGE_MAX_LENGTH].encode(errors="replace").decode() or "failed"
    details = error.details if isinstance(error, CommandError) else None
    if not details:
        return {"message": message}
    try:
        full = {"message": message, "details": dict(details)}
        return full if _size_bytes(full) <= _ERROR_MAX_BYTES else {"message": message}
    except Exception:
        return {"message": message}  # the details are no JSON


def _check_size(data: Any) -> None:
    size_bytes = _size_bytes(data)
    if size_bytes > _DATA_MAX_BYTES:
        raise too_large(size_bytes)  # API Gateway would close the connection over it


def _size_bytes(data: Any) -> int:
    """Return how long it is as JSON."""
    return len(json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
