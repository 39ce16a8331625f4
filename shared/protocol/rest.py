"""Bodies of the REST calls (docs/protocol.md 4.4). Validated once, here."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from shared.protocol.limits import BATCH_MAX_FRAMES
from shared.protocol.requests import Channel, HelloFields, Model, Position, PublishFields


class PublishBody(PublishFields):
    """One publication, for one channel or several."""

    channel: Channel | None = None
    channels: Annotated[list[Channel], Field(min_length=1, max_length=BATCH_MAX_FRAMES)] | None = None
    retry: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.channel is None) == (self.channels is None):
            raise PydanticCustomError("channels", "give channel or channels")
        return self

    @property
    def all_channels(self) -> list[str]:
        """The channels, each once."""
        return list(dict.fromkeys(self.channels or [self.channel or ""]))


class ErrorObject(Model):
    """What went wrong (docs/protocol.md section 5)."""

    code: int
    name: str
    message: str
    retryable: bool
    retry_after_ms: int | None = None
    details: dict[str, Any] | None = None


class Problem(ErrorObject):
    """An error as application/problem+json (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


class ChannelPublished(Model):
    """What became of a publication in one channel."""

    channel: str
    message_id: str | None = None
    status: Literal["accepted"] | None = None
    position: Position | None = None
    error: ErrorObject | None = None


class PublishAnswer(Model):
    """What became of it, per channel, in the order asked."""

    results: list[ChannelPublished]


class SessionBody(HelloFields):
    """What ``hello`` says, said by HTTP. Without ``token``, the request's bearer token says who it is."""


class SessionAnswer(Model):
    """What ``hello`` answers, and the token of the session."""

    session_id: str
    session_token: str
    connection_id: str
    user_id: str
    server_time_ms: int
    heartbeat_s: int
    connection_max_age_s: int
    limits: dict[str, int]
    subscriptions: list[dict[str, Any]]


class FramesAnswer(Model):
    """What a poll found. The next one passes the cursor."""

    cursor: str
    frames: list[dict[str, Any]]


class TicketAnswer(Model):
    """A ticket opens one connection, once."""

    ticket: str
    expires_in_s: int


class DevTokenBody(Model):
    """Whose token, for local development."""

    user_id: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    caps: Annotated[dict[str, list[str]], Field(max_length=100)] | None = None
    ttl_s: Annotated[int, Field(ge=1, le=86_400)] = 3600
    public: dict[str, Any] | None = None


class DevTokenAnswer(Model):
    """A token for local development."""

    token: str


class ConfigAnswer(Model):
    """Where clients connect, and how they may."""

    websocket_url: str
    http_url: str
    stream_url: str
    transports: list[str]


class CommandDescription(Model):
    """A command that the caller may use.

    Attributes:
        timeout_ms: The most that it is given.
        input: JSON Schema of ``data`` in the request.
        output: JSON Schema of ``data`` in the result.
    """

    name: str
    description: str
    timeout_ms: int
    input: dict[str, Any]
    output: dict[str, Any]


class CommandsAnswer(Model):
    """The commands that the caller may use, by name."""

    commands: list[CommandDescription]


class Health(Model):
    """How it is."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str] | None = None
