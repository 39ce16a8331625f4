"""Their error and disconnect codes, and which of ours is which of theirs.

Source: github.com/centrifugal/centrifuge, errors.go, disconnect.go and unsubscribe.go.
"""

from dataclasses import dataclass
from typing import Any, Final

from shared import errors


@dataclass(frozen=True, slots=True)
class ReplyError:
    """An error of a reply."""

    code: int
    message: str
    temporary: bool = False

    def to_wire(self) -> dict[str, Any]:
        """Return the ``error`` of a reply."""
        return {"code": self.code, "message": self.message} | ({"temporary": True} if self.temporary else {})


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Why a connection is closed: clients come back after 3000 to 3499, and not after 3500 to 3999."""

    code: int
    reason: str


INTERNAL: Final = ReplyError(100, "internal server error", temporary=True)
PERMISSION_DENIED: Final = ReplyError(103, "permission denied")
METHOD_NOT_FOUND: Final = ReplyError(104, "method not found")
LIMIT_EXCEEDED: Final = ReplyError(106, "limit exceeded")
BAD_REQUEST: Final = ReplyError(107, "bad request")
NOT_AVAILABLE: Final = ReplyError(108, "not available")
TOKEN_EXPIRED: Final = ReplyError(109, "token expired")
TOO_MANY_REQUESTS: Final = ReplyError(111, "too many requests", temporary=True)
UNRECOVERABLE_POSITION: Final = ReplyError(112, "unrecoverable position")

SHUTDOWN: Final = Disconnect(3001, "shutdown")
SERVER_ERROR: Final = Disconnect(3004, "internal server error")
EXPIRED: Final = Disconnect(3005, "connection expired")
MISSED: Final = Disconnect(3010, "insufficient state")
INVALID_TOKEN: Final = Disconnect(3500, "invalid token")
MALFORMED: Final = Disconnect(3501, "bad request")
STALE: Final = Disconnect(3502, "stale")
FORCED: Final = Disconnect(3503, "force disconnect")
CONNECTION_LIMIT: Final = Disconnect(3504, "connection limit")
NOT_SERVED: Final = Disconnect(3508, "not available")

UNSUBSCRIBED: Final = Disconnect(2000, "server unsubscribe")
# From 2500 on, clients subscribe again, and ask for what they missed.
INSUFFICIENT_STATE: Final = Disconnect(2500, "insufficient state")
SUBSCRIPTION_EXPIRED: Final = Disconnect(2501, "subscription expired")

_ERRORS: Final[dict[type[errors.TidewireError], ReplyError]] = {
    errors.ForbiddenError: PERMISSION_DENIED,
    errors.UnauthenticatedError: PERMISSION_DENIED,
    errors.LimitReachedError: LIMIT_EXCEEDED,
    errors.RateLimitedError: TOO_MANY_REQUESTS,
    errors.UnknownCommandError: METHOD_NOT_FOUND,
    errors.BadFrameError: BAD_REQUEST,
    errors.InvalidFieldError: BAD_REQUEST,
    errors.TooLargeError: BAD_REQUEST,
}
# Of the ``disconnect`` push of docs/protocol.md; whatever else there is: by its range.
_DISCONNECTS: Final = {
    1010: CONNECTION_LIMIT,
    3000: SHUTDOWN,
    3002: SHUTDOWN,
    3004: SERVER_ERROR,
    3500: EXPIRED,
    3502: MALFORMED,
    3503: STALE,
}


def error_of(error: errors.TidewireError) -> ReplyError:
    """Return what they call an error.

    What a command's handler or a processor says keeps its code and its words: theirs are below 400 and leave the rest,
    up to 1999, to applications.
    """
    if isinstance(error, errors.CommandFailedError | errors.RefusedError):
        return ReplyError(error.code, str(error))
    return _ERRORS.get(type(error), INTERNAL if error.temporary else BAD_REQUEST)


def disconnect_of(code: int) -> Disconnect:
    """Return what they call the ``disconnect`` push with this code."""
    return _DISCONNECTS.get(code, FORCED if code >= 3500 else SERVER_ERROR)
