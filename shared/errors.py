"""The whole exception tree, with the codes that go over the wire (docs/protocol.md section 5).

Adapters translate their libraries' errors into these, services raise them, and only handlers map them to replies.
A message here reaches clients: it never holds data, tokens or another exception's text.
"""

from typing import Any, ClassVar


class TidewireError(Exception):
    """Base of every error that a client may be told of.

    Attributes:
        code: Wire code; its range says what a client does with it.
        name: Wire name.
        http_status: Status of the HTTP answer that carries it.
        details: JSON-able facts for the client.
        retry_after_ms: When to come back, for temporary errors.
    """

    code: ClassVar[int] = 2000
    name: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500

    def __init__(
        self, message: str = "", *, details: dict[str, Any] | None = None, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message or self.name.replace("_", " "))
        self.details = details
        self.retry_after_ms = retry_after_ms

    @property
    def temporary(self) -> bool:
        """Whether the same request may succeed later: the 2000s."""
        return 2000 <= self.code < 3000

    def to_wire(self) -> dict[str, Any]:
        """Return the ``error`` object of a reply."""
        error: dict[str, Any] = {
            "code": self.code,
            "name": self.name,
            "message": str(self),
            "retryable": self.temporary,
        }
        if self.retry_after_ms is not None:
            error["retry_after_ms"] = self.retry_after_ms
        if self.details is not None:
            error["details"] = self.details
        return error


class BadFrameError(TidewireError):
    """No JSON, no object or non-empty array of objects, too deep, or no string ``type``."""

    code, name, http_status = 1000, "bad_frame", 400


class UnknownTypeError(TidewireError):
    """A ``type`` that the protocol does not have."""

    code, name, http_status = 1001, "unknown_type", 400


class InvalidFieldError(TidewireError):
    """A field is missing, of the wrong type, or out of range; ``details`` says which."""

    code, name, http_status = 1002, "invalid_field", 422


class TooLargeError(TidewireError):
    """A frame or its ``data`` is over its limit."""

    code, name, http_status = 1003, "too_large", 413


class UnauthenticatedError(TidewireError):
    """Nobody has said who this is, or the token is not good."""

    code, name, http_status = 1004, "unauthenticated", 401


class ForbiddenError(TidewireError):
    """The token does not allow it."""

    code, name, http_status = 1005, "forbidden", 403


class NotSubscribedError(TidewireError):
    """The connection has to be subscribed to the channel, with presence, to say this there."""

    code, name, http_status = 1006, "not_subscribed", 409


class VersionConflictError(TidewireError):
    """The document has changed since the version that the writer knows; ``details`` says how it is."""

    code, name, http_status = 1007, "version_conflict", 412


class UnknownCommandError(TidewireError):
    """There is no such command; or none waits for this answer (any more)."""

    code, name, http_status = 1008, "unknown_command", 404


class NoSuchPeerError(TidewireError):
    """The connection that was named is not there, or nobody who could answer."""

    code, name, http_status = 1009, "no_such_peer", 404


class LimitReachedError(TidewireError):
    """As many of them as one may have."""

    code, name, http_status = 1010, "limit_reached", 409


class SessionUnknownError(TidewireError):
    """The session has ended, never was, or is somebody else's."""

    code, name, http_status = 1011, "session_unknown", 410


class UnsupportedProtocolError(TidewireError):
    """A protocol version that this server does not speak."""

    code, name, http_status = 1012, "unsupported_protocol", 400


class CommandFailedError(TidewireError):
    """The command was run and failed; ``details`` has the handler's or the peer's ``message`` and ``details``."""

    code, name, http_status = 1013, "command_failed", 422


class RefusedError(TidewireError):
    """A processor says no; ``details`` is the processor's."""

    code, name, http_status = 1014, "refused", 422


class NotFoundError(TidewireError):
    """There is no such document, key or queue."""

    code, name, http_status = 1015, "not_found", 404


class InternalError(TidewireError):
    """Our fault, and nothing that the client could mend."""

    code, name, http_status = 2000, "internal", 500


class UnavailableError(TidewireError):
    """A store or a queue does not answer, or throttles."""

    code, name, http_status = 2001, "unavailable", 503


class ThrottledError(UnavailableError):
    """The service works, and refuses this call because there are too many."""


class CommandTimeoutError(TidewireError):
    """A command was not answered in time; whether it was done is unknown."""

    code, name, http_status = 2002, "timeout", 504


class ContentionError(TidewireError):
    """Too many writers at one place; trying again will find it."""

    code, name, http_status = 2003, "contention", 503


class RateLimitedError(TidewireError):
    """More than one may send in this time."""

    code, name, http_status = 2004, "rate_limited", 429


class ConfigError(ValueError):
    """What the user has put into functions/ can't work; the message names the place and what is wrong there."""


class DependencyError(Exception):
    """A service refuses whatever is asked of it: a permission, credentials or a resource is missing. Not for clients.

    Who meets this has asked for nothing wrong: once somebody has mended it, the same call succeeds.
    """


class NewerSchemaError(DependencyError):
    """What was read is newer than this release understands: a newer one has been here, and will be again.

    Attributes:
        place: Table or queue.
        key: Of the item or the message. It may hold names of channels and users, so it is not in the text, which Lambda
            writes into its log.
        version: What it has.
    """

    def __init__(self, place: str, key: str, version: int, *, understood: int) -> None:
        super().__init__(f"{place}: something has schema version {version}, and this release understands {understood}")
        self.place, self.key, self.version = place, key, version


class ConnectionGoneError(Exception):
    """The connection does not exist any more; never told to a client."""
