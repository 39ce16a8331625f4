"""Commands that the server runs: looked up, held to their models and their time. Trusts no handler."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any, Final

from shared.domain.channel import is_channel
from shared.domain.commands import Command, CommandError, may_use
from shared.domain.principal import Principal
from shared.domain.publication import StreamPosition
from shared.errors import (
    CommandFailedError,
    CommandTimeoutError,
    ForbiddenError,
    InternalError,
    TidewireError,
    UnavailableError,
    UnknownCommandError,
)
from shared.ports import Metrics
from shared.protocol.command_data import described, read_input, write_output
from shared.protocol.decode import check_data
from shared.protocol.encode import to_json
from shared.protocol.limits import COMMAND_ERROR_MAX_BYTES, DATA_MAX_BYTES, EVENT_NAME_MAX_LENGTH, HISTORY_MAX_LIMIT
from shared.services.history import History
from shared.services.publish import Publishing, PublishRequest

# After the request came in: API Gateway waits 29 s, and functions are cut off at 28 s, with all of a batch's replies.
_ANSWER_WITHIN_MS: Final = 26_000
# Handlers that are late keep their threads until they end by themselves.
_THREADS_MAX: Final = 64


class CommandFaultError(Exception):
    """A handler returned or raised what can't be used."""


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """What somebody wants done.

    Attributes:
        timeout_ms: The most that they wait.
        received_at_ms: When it came in, Unix milliseconds.
    """

    name: str
    data: Any
    timeout_ms: int
    received_at_ms: int


@dataclass(frozen=True, slots=True)
class Commands:
    """What clients may have the server do.

    Attributes:
        catalogue: The commands by their names.
        on_failure: Is told what a handler should not have raised or returned.
    """

    catalogue: Mapping[str, Command]
    publishing: Publishing
    history: History
    metrics: Metrics
    now_ms: Callable[[], int]
    on_failure: Callable[[Exception], None]
    _threads: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(_THREADS_MAX))

    def offered(self, principal: Principal) -> list[dict[str, Any]]:
        """Return the description of each command that the principal may use, by name."""
        return [described(self.catalogue[name]) for name in sorted(self.catalogue) if may_use(principal, name)]

    def run(self, principal: Principal, request: CommandRequest, *, connection_id: str) -> Any:
        """Return what the command's handler returned, as JSON.

        Raises:
            ForbiddenError: The principal may not use it, whether or not it is there: so nobody learns what is.
            UnknownCommandError: It is not there.
            RateLimitedError: There were too many.
            InvalidFieldError: The data does not fit its input.
            CommandTimeoutError: It took longer than its caller, it itself or the transport allows.
            CommandFailedError: The handler says so.
            InternalError: The handler has failed.
            TidewireError: The handler has passed it on.
        """
        if not may_use(principal, request.name):
            raise ForbiddenError("the token does not allow this command")
        command = self.catalogue.get(request.name)
        if command is None:
            raise UnknownCommandError("there is no such command")
        # As often as the user may publish in a channel of the namespace "command".
        self.publishing.limits.publish(principal, f"command:{request.name}")
        given = read_input(command.input, request.data)
        now_ms = self.now_ms()
        deadline_at_ms = min(
            now_ms + min(request.timeout_ms, command.timeout_ms), request.received_at_ms + _ANSWER_WITHIN_MS
        )
        context = _Context(self, command.name, principal, connection_id, deadline_at_ms)
        self.metrics.count("Commands")
        return self._outcome(command, self._within((deadline_at_ms - now_ms) / 1000, lambda: command(given, context)))

    def _within(self, seconds: float, work: Callable[[], Any]) -> "Future[Any]":
        """Return what became of the work, which is done by a thread of its own.

        Raises:
            CommandTimeoutError: It took longer; what becomes of it then, nobody is told.
        """
        if seconds <= 0:
            raise self._late()
        if not self._threads.acquire(blocking=False):
            raise UnavailableError("too many commands are running", retry_after_ms=1000)
        done: Future[Any] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except BaseException as error:  # also SystemExit: it is a handler's fault, not the end of this process
                done.set_exception(error)
            finally:
                self._threads.release()

        # A daemon: a process that ends waits for no handler that does not.
        threading.Thread(target=run, daemon=True, name="command").start()
        if wait([done], seconds).not_done:
            raise self._late()
        return done

    def _outcome(self, command: Command, done: "Future[Any]") -> Any:
        error = done.exception()
        if error is None:
            return self._answer(command, done.result())
        if isinstance(error, CommandError):
            told: dict[str, Any] = {"message": error.message}
            if error.details is not None:
                told["details"] = error.details
            error = CommandFailedError("the command says that it failed", details=told)
        if isinstance(error, TidewireError):
            raise self._tellable(error) from None
        raise self._failure(error) from error

    def _answer(self, command: Command, value: Any) -> Any:
        try:
            data = write_output(command.output, value)
            size = len(to_json(data))
        except Exception as error:  # a model may have code of its own
            raise self._failure(error) from error
        if size > DATA_MAX_BYTES:
            raise self._failure(CommandFaultError("a command returned too much"))
        return data

    def _tellable(self, error: TidewireError) -> TidewireError:
        try:
            if len(to_json(error.to_wire())) <= COMMAND_ERROR_MAX_BYTES:
                return error
            fault: Exception = CommandFaultError("an error is too long")
        except (ValueError, TypeError, RecursionError) as unusable:
            fault = unusable
        return self._failure(fault)

    def _failure(self, error: BaseException) -> InternalError:
        self.metrics.count("CommandFailures")
        self.on_failure(error if isinstance(error, Exception) else CommandFaultError(type(error).__name__))
        return InternalError()

    def _late(self) -> CommandTimeoutError:
        self.metrics.count("CommandTimeouts")
        return CommandTimeoutError("the command was not done in time")


@dataclass(frozen=True, slots=True)
class _Context:
    """A :class:`shared.domain.commands.CommandContext`."""

    commands: Commands
    name: str
    principal: Principal
    connection_id: str
    deadline_at_ms: int

    def history(self, channel: str, limit: int) -> list[dict[str, Any]]:
        """As the protocol says."""
        if not is_channel(channel) or not 1 <= limit <= HISTORY_MAX_LIMIT:
            raise ValueError(f"history takes a channel and a limit of 1 to {HISTORY_MAX_LIMIT}")
        found: list[dict[str, Any]] = []
        since: StreamPosition | None = None
        while True:
            self._check_time()
            position, page = self.commands.history.read(channel, since, limit=limit - len(found), reverse=True)
            found += page.publications
            if not page.more or not page.publications or len(found) == limit:
                return found
            since = StreamPosition(position.epoch, found[-1]["offset"])

    def may_publish(self, channel: str) -> None:
        """As the protocol says."""
        self.commands.publishing.authorise(self.principal, channel)
        self.commands.publishing.limits.publish(self.principal, channel)

    def publish(self, channel: str, name: str, data: Any, message_id: str | None = None) -> Mapping[str, Any]:
        """As the protocol says."""
        if not is_channel(channel) or not 0 < len(name) <= EVENT_NAME_MAX_LENGTH:
            raise ValueError(f"publish takes a channel and a name of 1 to {EVENT_NAME_MAX_LENGTH} characters")
        if message_id is not None and not 0 < len(message_id) <= 64:
            raise ValueError("publish takes a message_id of 1 to 64 characters")
        check_data(data)
        self._check_time()
        server = Principal(f"command:{self.name}", {"*": ["publish"]}, server=True)
        # Whether another of this message_id was asked for before, only the handler knows: it is looked for.
        request = PublishRequest(channel, name, data, message_id, retry=message_id is not None)
        return self.commands.publishing.publish(server, request, connection_id=None).to_wire()

    def _check_time(self) -> None:
        # A late thread goes on, in Lambda with the next invocation: nothing is to come of it then.
        if self.commands.now_ms() >= self.deadline_at_ms:
            raise CommandTimeoutError("the command was not done in time")
