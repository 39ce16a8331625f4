"""What the command line's exit codes say, and which one an error has."""

from enum import IntEnum

from tidewire.errors import FORBIDDEN, UNAUTHENTICATED, UNSUPPORTED_PROTOCOL, TidewireError, UnreachableError

_TOKEN_EXPIRED = 3500
_NOT_AUTHENTICATED_IN_TIME = 3503
_REVOKED = 3501


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_ALLOWED = 4
    NO_TIDEWIRE = 5
    FAULTS = 6
    INTERRUPTED = 130
    CLOSED_PIPE = 141

    @property
    def meaning(self) -> str:
        """What it says, in a few words."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.REFUSED: "the server refused, or it failed",
    ExitCode.USAGE: "wrong usage",
    ExitCode.UNREACHABLE: "the server can't be reached",
    ExitCode.NOT_ALLOWED: "not authenticated, or not allowed",
    ExitCode.NO_TIDEWIRE: "no Tidewire server, or one of another version",
    ExitCode.FAULTS: "doctor found faults",
    ExitCode.INTERRUPTED: "ended by Ctrl-C",
    ExitCode.CLOSED_PIPE: "whoever read the output has gone",
}


class CommandError(Exception):
    """A command can't go on: one line for the user, and how the process ends."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def exit_code_of(error: TidewireError) -> ExitCode:
    """Return how a command ends that met this error."""
    if isinstance(error, UnreachableError):
        return ExitCode.UNREACHABLE
    match error.code:
        case _ if error.code in (UNAUTHENTICATED, FORBIDDEN, _TOKEN_EXPIRED, _REVOKED, _NOT_AUTHENTICATED_IN_TIME):
            return ExitCode.NOT_ALLOWED
        case _ if error.code == UNSUPPORTED_PROTOCOL:
            return ExitCode.NO_TIDEWIRE
        case _:
            return ExitCode.REFUSED


def told(error: TidewireError) -> str:
    """Return the error in words."""
    if isinstance(error, UnreachableError):
        return str(error)
    later = "" if error.retry_after_ms is None else f"; again in {max(1, round(error.retry_after_ms / 1000))} s"
    return f"{error} ({error.kind}{later})"


def epilog() -> str:
    """Return the list of exit codes, for the help."""
    return "Exit codes: " + "; ".join(f"{code.value} {code.meaning}" for code in ExitCode) + "."
