"""Bodies of the REST calls (docs/protocol.md 4.4). Validated once, here."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag, model_validator
from pydantic_core import PydanticCustomError

from shared.domain.api_key import KEY_NAME_MAX_LENGTH, is_key_name
from shared.domain.channel import CHANNEL_MAX_LENGTH, is_pattern
from shared.domain.dead_letter import RedrivenQueue
from shared.domain.principal import CAPABILITIES_MAX_LENGTH, Capability, fits_capabilities
from shared.protocol.limits import BATCH_MAX_FRAMES
from shared.protocol.requests import Channel, HelloFields, Model, Position, PublishFields


class PublishBody(PublishFields):
    """One publication, for one channel or several."""

    channel: Channel | None = None
    channels: Annotated[list[Channel], Field(min_length=1, max_length=BATCH_MAX_FRAMES)] | None = None
    retry: bool = False
    ephemeral: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.channel is None) == (self.channels is None):
            raise PydanticCustomError("channels", "give channel or channels")
        return self

    @property
    def all_channels(self) -> list[str]:
        """The channels, each once."""
        return list(dict.fromkeys(self.channels or [self.channel or ""]))


class ListedPublication(PublishFields):
    """One of several publications, each with a channel of its own."""

    channel: Channel
    retry: bool = False
    ephemeral: bool = False


def _shape(body: Any) -> str:
    return "list" if isinstance(body, list) else "one"


# By its shape, so that what is wrong is told of this shape alone.
Publications = Annotated[
    Annotated[PublishBody, Tag("one")]
    | Annotated[list[ListedPublication], Field(min_length=1, max_length=BATCH_MAX_FRAMES), Tag("list")],
    Discriminator(_shape),
]


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
    """What became of it, per channel (of an array: per publication), in the order asked."""

    results: list[ChannelPublished]


def _checked_key_name(name: str) -> str:
    if not is_key_name(name):
        raise PydanticCustomError(
            "key_name",
            "a key's name has 1 to {limit} printable characters, and fits a channel percent-encoded",
            {"limit": KEY_NAME_MAX_LENGTH},
        )
    return name


def _checked_pattern(pattern: str) -> str:
    if not is_pattern(pattern) or len(pattern) > CHANNEL_MAX_LENGTH:
        raise PydanticCustomError("pattern", "a pattern is a channel, or the beginning of some and *")
    return pattern


def _checked_caps(caps: dict[str, list[Capability]]) -> dict[str, list[Capability]]:
    if not fits_capabilities(caps):
        raise PydanticCustomError(
            "caps", "patterns and capabilities have at most {limit} characters", {"limit": CAPABILITIES_MAX_LENGTH}
        )
    return caps


class KeyBody(Model):
    """A key that is to be made."""

    name: Annotated[
        str,
        AfterValidator(_checked_key_name),
        Field(json_schema_extra={"minLength": 1, "maxLength": KEY_NAME_MAX_LENGTH}),
    ]
    caps: Annotated[
        dict[Annotated[str, AfterValidator(_checked_pattern)], list[Capability]], AfterValidator(_checked_caps)
    ]


class KeyDescription(Model):
    """A key, without its secret."""

    key_id: str
    name: str
    caps: dict[str, list[str]]
    created_at_ms: int


class NewKey(KeyDescription):
    """A key that was made. ``key`` is what its server sends, and is told here alone."""

    key: str


class KeysAnswer(Model):
    """Keys by id. With ``more``, go on after the last."""

    keys: list[KeyDescription]
    more: Literal[True] | None = None


class WaitingLetters(Model):
    """About how many dead letters a queue has."""

    queue: RedrivenQueue
    waiting: int


class DeadLettersAnswer(Model):
    """The queues whose dead letters can be put back."""

    queues: list[WaitingLetters]


class RedriveAnswer(Model):
    """What one call put back. With ``more``, call again with this ``before_ms``."""

    redriven: int
    unreadable: int
    more: bool
    before_ms: int


class MetricSeries(Model):
    """A metric over the time asked for, by one statistic (``Sum``, ``Maximum``, ``p50`` …).

    Value ``i`` is of the period that begins at ``from_ms + i * period_s * 1000``; null where nothing was measured.
    """

    name: str
    statistic: str
    unit: Literal["Count", "Milliseconds", "None"]
    values: list[float | None]


class MetricsAnswer(Model):
    """What was measured, from CloudWatch. The last period has not ended yet."""

    from_ms: int
    period_s: int
    series: list[MetricSeries]


class CostItem(Model):
    """What was used of one thing that AWS has a price for."""

    service: str
    what: str
    quantity: float
    usd: float


class CostAnswer(Model):
    """What this month's use comes to, by the list price of one region, without free tiers."""

    since_ms: int
    region: str
    priced_on: str
    usd: float
    items: list[CostItem]
    not_counted: list[str]


class ConnectionDescription(Model):
    """A live connection. Who has not said who it is has no user; a session that nobody has read yet, no transport."""

    connection_id: str
    connected_at_ms: int
    user_id: str | None = None
    transport: Literal["websocket", "sse", "stream", "long_poll", "short_poll"] | None = None
    channels: list[str]


class ConnectionsAnswer(Model):
    """A page of the live connections. With ``next``, pass it as ``after``."""

    connections: list[ConnectionDescription]
    next: str | None = None


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


class DemoTokenBody(Model):
    """Which guest of the demo. Ids of other users don't begin so: no guest is one of them."""

    user_id: Annotated[str, StringConstraints(pattern=r"^guest\.[A-Za-z0-9_~-]{1,60}$")]


class TokenAnswer(Model):
    """A token."""

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
