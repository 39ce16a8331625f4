"""Errors as the protocol has them (docs/protocol.md section 5)."""

from collections.abc import Mapping
from typing import Any, Final, Self

ASKED_MAX_MS: Final = 300_000
"""The most that a server can have us wait: who waits for days has stopped trying."""


class TidewireError(Exception):
    """An error that the server answered, or one of this client's own with the code that fits it.

    Attributes:
        code: The protocol's number; 1000 to 1999: the request is at fault, 2000 to 2999: it may succeed later.
        kind: The wire name: ``forbidden``, ``rate_limited`` ...
        retryable: Whether the same request may succeed later.
        retry_after_ms: When the server asks to come back, if it does.
        details: What the server says beside it.
    """

    def __init__(
        self, code: int, kind: str, message: str, *, retry_after_ms: int | None = None, details: Any = None
    ) -> None:
        super().__init__(message)
        self.code, self.kind = code, kind
        self.retryable = 2000 <= code < 3000
        self.retry_after_ms = None if retry_after_ms is None else max(0, min(retry_after_ms, ASKED_MAX_MS))
        self.details = details

    @classmethod
    def from_wire(cls, error: Mapping[str, Any]) -> Self:
        """Return the error that an ``error`` object is, or a problem (RFC 9457).

        Raises:
            KeyError, TypeError, AttributeError: It is none.
        """
        code, after_ms = error["code"], error.get("retry_after_ms")
        if not isinstance(code, int):
            raise TypeError("a code is a whole number")
        return cls(
            code,
            str(error.get("name")),
            str(error.get("message")),
            retry_after_ms=after_ms if isinstance(after_ms, int) else None,
            details=error.get("details"),
        )

    def to_wire(self) -> dict[str, Any]:
        """Return the ``error`` object."""
        error: dict[str, Any] = {
            "code": self.code,
            "name": self.kind,
            "message": str(self),
            "retryable": self.retryable,
        }
        if self.retry_after_ms is not None:
            error["retry_after_ms"] = self.retry_after_ms
        if self.details is not None:
            error["details"] = self.details
        return error


class UnreachableError(TidewireError):
    """No answer came from the address: no network, no such name, no server, or none within the time."""

    def __init__(self, message: str) -> None:
        super().__init__(TIMEOUT, "timeout", message)


TIMEOUT: Final = 2002
UNAUTHENTICATED: Final = 1004
FORBIDDEN: Final = 1005
NOT_SUBSCRIBED: Final = 1006
VERSION_CONFLICT: Final = 1007
UNKNOWN_COMMAND: Final = 1008
SESSION_UNKNOWN: Final = 1011
UNSUPPORTED_PROTOCOL: Final = 1012
REFUSED: Final = 1014


def uncertain(message: str) -> TidewireError:
    """Nothing came back: the connection ended, or the answer took too long. The request may have been carried out."""
    return TidewireError(TIMEOUT, "timeout", message)


def closed(message: str) -> TidewireError:
    """The client was closed, by its user or for good by the server."""
    return TidewireError(UNAUTHENTICATED, "closed", message)


def too_large(size_bytes: int) -> TidewireError:
    """More than a frame may have: it is not sent at all."""
    return TidewireError(1003, "too_large", f"{size_bytes} bytes is too much")


def senseless(what: str) -> TidewireError:
    """What the server has said is not what the protocol says."""
    return TidewireError(UNSUPPORTED_PROTOCOL, "unsupported_protocol", f"{what} makes no sense")


def outbox_full() -> TidewireError:
    """As much waits already as may wait: in memory, or on disk."""
    return TidewireError(1010, "limit_reached", "the outbox is full")


def is_passing(error: BaseException) -> bool:
    """Tell whether it is no news for the user: nothing came back, which is tried again, or the client was closed."""
    return isinstance(error, TidewireError) and (error.retryable or error.kind == "closed")
