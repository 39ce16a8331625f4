"""What a user's command is: a function with two models in its signature, and what it is given. Loads no pydantic."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, get_type_hints

from shared.domain.principal import Principal
from shared.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel

COMMAND_NAME_PATTERN: Final = r"^[A-Za-z0-9_.-]{1,100}$"
COMMAND_MIN_TIMEOUT_MS: Final = 100
COMMAND_DEFAULT_TIMEOUT_MS: Final = 10_000
# API Gateway waits 29 s for a function: some of that is for what stands before and behind the command.
COMMAND_MAX_TIMEOUT_MS: Final = 25_000


class CommandError(Exception):
    """For handlers to raise: the caller is told ``command_failed`` with this.

    Attributes:
        message: For the caller's eyes.
        details: JSON-able facts for the caller's code. With the message at most 8,000 bytes of JSON.
    """

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class CommandContext(Protocol):
    """What a handler is given beside its input."""

    @property
    def principal(self) -> Principal:
        """Who calls, and what they may."""
        ...

    @property
    def connection_id(self) -> str:
        """The connection that they call on."""
        ...

    @property
    def deadline_at_ms(self) -> int:
        """When nobody waits any more, Unix milliseconds. From then on the methods below raise CommandTimeoutError."""
        ...

    def may_publish(self, channel: str) -> None:
        """Hold the caller to the rights and the rate of publishing in a channel: before a handler does it for them.

        Raises:
            ForbiddenError, RateLimitedError: As if the caller published there.
        """
        ...

    def history(self, channel: str, limit: int) -> list[dict[str, Any]]:
        """Return the last publications that are kept of a channel, newest first. Asks for no right of the caller's.

        Args:
            channel: Which.
            limit: At most so many, 1 to 300.
        """
        ...

    def publish(self, channel: str, name: str, data: Any, message_id: str | None = None) -> Mapping[str, Any]:
        """Publish as a server, called ``command:<name>``; return the result of a ``publish`` request.

        It asks for no right of the caller's. With a ``message_id`` it is stored once, however often it is asked for.
        """
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """A command that the server runs.

    Attributes:
        handler: What runs: input and context in, output back.
        timeout_ms: The most that it is given.
        input: The model that what clients send must fit.
        output: The model that what they get fits.
        description: The first line of the handler's docstring.
    """

    name: str
    handler: Callable[[Any, CommandContext], Any]
    timeout_ms: int
    input: type["BaseModel"]
    output: type["BaseModel"]
    description: str

    def __call__(self, request: Any, context: CommandContext) -> Any:
        """Run the handler, as tests do."""
        return self.handler(request, context)


def command(name: str, *, timeout_s: float = 10) -> Callable[[Callable[[Any, CommandContext], Any]], Command]:
    """Make a command of ``def handler(request: Input, context: CommandContext) -> Output``.

    Args:
        name: What clients call it by: 1 to 100 characters of ``A-Z a-z 0-9 _ . -``.
        timeout_s: The most that it is given, 0.1 to 25; a caller may give it less.

    Raises:
        ConfigError: The name, the time or the signature can't be a command's.
    """
    if not is_command_name(name):
        raise ConfigError(f"command {name!r}: a name has 1 to 100 characters of A-Z a-z 0-9 _ . -")
    timeout_ms = round(timeout_s * 1000)
    if not COMMAND_MIN_TIMEOUT_MS <= timeout_ms <= COMMAND_MAX_TIMEOUT_MS:
        raise ConfigError(f"command {name!r}: timeout_s is 0.1 to 25")

    def decorate(handler: Callable[[Any, CommandContext], Any]) -> Command:
        input_model, output_model = _models(name, handler)
        description = (inspect.getdoc(handler) or "").partition("\n")[0]
        return Command(name, handler, timeout_ms, input_model, output_model, description)

    return decorate


def is_command_name(name: Any) -> bool:
    """Tell whether it may name a command."""
    # fullmatch, since $ would let a final newline through.
    return isinstance(name, str) and re.fullmatch(COMMAND_NAME_PATTERN[1:-1], name) is not None


def may_use(principal: Principal, name: str) -> bool:
    """Tell whether the principal may use commands of this name, the server's and its peers'."""
    return principal.may("command", f"command:{name}")


def catalogue(commands: Iterable[Command]) -> Mapping[str, Command]:
    """Return the commands by their names.

    Raises:
        ConfigError: One is no command, or two have the same name.
    """
    named: dict[str, Command] = {}
    for one in commands:
        if not isinstance(one, Command):
            raise ConfigError(f"{getattr(one, '__name__', one)!r} is no command: decorate it with @command")
        if one.name in named:
            raise ConfigError(f"command {one.name!r}: two have this name")
        named[one.name] = one
    return named


def _models(name: str, handler: Callable[..., Any]) -> tuple[type["BaseModel"], type["BaseModel"]]:
    if inspect.iscoroutinefunction(handler):
        raise ConfigError(f"command {name!r}: a handler is a plain function, run in a thread; not async")
    parameters = list(inspect.signature(handler).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if len(parameters) != 2 or any(parameter.kind not in positional for parameter in parameters):
        raise ConfigError(f"command {name!r}: a handler takes two arguments, its input and the context")
    try:
        hints = get_type_hints(handler)
    except NameError as error:
        raise ConfigError(f"command {name!r}: {error}") from error
    return (
        _model(name, hints.get(parameters[0].name), f"argument {parameters[0].name!r}"),
        _model(name, hints.get("return"), "what it returns"),
    )


def _model(name: str, hint: Any, what: str) -> type["BaseModel"]:
    from pydantic import BaseModel  # who has commands has it loaded

    if not isinstance(hint, type) or not issubclass(hint, BaseModel):
        raise ConfigError(f"command {name!r}: {what} must be annotated with a pydantic model")
    return hint
