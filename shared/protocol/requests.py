"""What clients send. Validated once, here; unknown fields are ignored, as the protocol says."""

from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    model_validator,
)
from pydantic_core import PydanticCustomError

from shared.domain.channel import CHANNEL_MAX_LENGTH, is_channel, is_user_id
from shared.domain.commands import (
    COMMAND_DEFAULT_TIMEOUT_MS,
    COMMAND_MAX_TIMEOUT_MS,
    COMMAND_MIN_TIMEOUT_MS,
    COMMAND_NAME_PATTERN,
)
from shared.domain.document import KEY_MAX_LENGTH, is_key
from shared.domain.presence import Status
from shared.domain.publication import Priority
from shared.protocol.limits import (
    BATCH_MAX_FRAMES,
    DOCUMENTS_MAX,
    EVENT_NAME_MAX_LENGTH,
    HELLO_MAX_SUBSCRIPTIONS,
    HISTORY_DEFAULT_LIMIT,
    HISTORY_MAX_LIMIT,
    TOKEN_MAX_LENGTH,
)

_MAX_SAFE_INTEGER: Final = 2**53 - 1  # what every JSON reader keeps exactly
Token = Annotated[str, StringConstraints(max_length=TOKEN_MAX_LENGTH)]


def _checked_channel(value: Any) -> Any:
    if isinstance(value, str) and not is_channel(value):
        raise PydanticCustomError(
            "channel",
            "a channel is namespace:name, 1 to {limit} characters of A-Z a-z 0-9 _ . : ~ % -",
            {"limit": CHANNEL_MAX_LENGTH},
        )
    return value


Channel = Annotated[
    str,
    BeforeValidator(_checked_channel),
    Field(
        json_schema_extra={
            "pattern": "^[A-Za-z0-9_.~%-]+:[A-Za-z0-9_.:~%-]+$",
            "minLength": 1,
            "maxLength": CHANNEL_MAX_LENGTH,
        }
    ),
]


def _checked_key(value: Any) -> Any:
    if isinstance(value, str) and not is_key(value):
        raise PydanticCustomError(
            "key", "a key has 1 to {limit} characters of A-Z a-z 0-9 _ . : ~ % -", {"limit": KEY_MAX_LENGTH}
        )
    return value


Key = Annotated[
    str,
    BeforeValidator(_checked_key),
    Field(json_schema_extra={"pattern": "^[A-Za-z0-9_.:~%-]+$", "minLength": 1, "maxLength": KEY_MAX_LENGTH}),
]


def _checked_user_id(value: str) -> str:
    if not is_user_id(value):
        raise PydanticCustomError("user_id", "a user id has 1 to 128 characters, and fits a channel percent-encoded")
    return value


UserId = Annotated[str, AfterValidator(_checked_user_id)]
RequestId = (
    Annotated[int, Field(ge=-_MAX_SAFE_INTEGER, le=_MAX_SAFE_INTEGER)]
    | Annotated[str, StringConstraints(max_length=64)]
)
Offset = Annotated[int, Field(ge=0, le=_MAX_SAFE_INTEGER)]
Version = Offset
EventName = Annotated[str, StringConstraints(min_length=1, max_length=EVENT_NAME_MAX_LENGTH)]
MessageId = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Model(BaseModel):
    """Base of everything on the wire: no coercion, unknown fields ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Position(Model):
    """A place in a stream."""

    epoch: Annotated[str, StringConstraints(max_length=64)]
    offset: Offset


class SubscribeFields(Model):
    """What a subscription asks for; stands alone in ``subscribe``, in a list in ``hello``."""

    channel: Channel
    since: Position | None = None
    history: Annotated[int, Field(ge=0, le=HISTORY_MAX_LIMIT)] | None = None
    state: bool | Annotated[dict[Key, Version], Field(max_length=DOCUMENTS_MAX)] | None = None
    presence: bool = False


class ClientInfo(Model):
    """What software speaks."""

    name: Annotated[str, StringConstraints(max_length=100)]
    version: Annotated[str, StringConstraints(max_length=100)]


class HelloFields(Model):
    """Who this is, and what it wants to hear."""

    protocol: int
    token: Token | None = None
    session_id: Annotated[str, StringConstraints(max_length=64)] | None = None
    client: ClientInfo | None = None
    subscribe: Annotated[list[SubscribeFields], Field(max_length=HELLO_MAX_SUBSCRIPTIONS)] = []


class Hello(HelloFields):
    """Say who this is; the first request of a connection."""

    type: Literal["hello"]
    id: RequestId


class Subscribe(SubscribeFields):
    """Receive a channel's events from now on."""

    type: Literal["subscribe"]
    id: RequestId


class Unsubscribe(Model):
    """Receive them no longer."""

    type: Literal["unsubscribe"]
    id: RequestId
    channel: Channel


class PublishFields(Model):
    """A publication, as clients and servers give it."""

    name: EventName
    data: Any
    message_id: MessageId | None = None
    priority: Priority | None = None


class Publish(PublishFields):
    """Publish into a channel."""

    type: Literal["publish"]
    id: RequestId
    channel: Channel
    retry: bool = False
    ephemeral: bool = False
    receipt: bool = False


class Peer(Model):
    """A user (every connection, and kept), or one connection (if it is there)."""

    user_id: UserId | None = None
    connection_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.user_id is None) == (self.connection_id is None):
            raise ValueError("give user_id or connection_id")
        return self


class Send(Model):
    """Publish to a peer."""

    type: Literal["send"]
    id: RequestId
    to: Peer
    name: EventName
    data: Any
    message_id: MessageId | None = None
    retry: bool = False
    receipt: bool = False


class Command(Model):
    """Have the server do something, or a peer."""

    type: Literal["command"]
    id: RequestId
    name: Annotated[str, StringConstraints(pattern=COMMAND_NAME_PATTERN)]
    data: Any
    to: Peer | None = None
    timeout_ms: Annotated[int, Field(ge=COMMAND_MIN_TIMEOUT_MS, le=COMMAND_MAX_TIMEOUT_MS)] = COMMAND_DEFAULT_TIMEOUT_MS


class PeerError(Model):
    """Why a peer has not done what it was asked."""

    message: Annotated[str, StringConstraints(min_length=1, max_length=1000)]
    details: dict[str, Any] | None = None


class Result(Model):
    """Answer a ``command`` push: with data, or with why there are none."""

    type: Literal["result"]
    id: RequestId
    command_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    data: Any = None
    error: PeerError | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if ("data" in self.model_fields_set) == (self.error is not None):
            raise ValueError("give data or error")
        return self


class Ack(Model):
    """Say that everything in a channel up to an offset was read."""

    type: Literal["ack"]
    id: RequestId
    channel: Channel
    offset: Offset


class History(Model):
    """Read what is kept of a channel's stream."""

    type: Literal["history"]
    id: RequestId
    channel: Channel
    since: Position | None = None
    limit: Annotated[int, Field(ge=1, le=HISTORY_MAX_LIMIT)] = HISTORY_DEFAULT_LIMIT
    reverse: bool = False


class Sync(Model):
    """Ask which streams go further than the client knows."""

    type: Literal["sync"]
    id: RequestId
    positions: Annotated[dict[Channel, Position], Field(max_length=BATCH_MAX_FRAMES)]


class StateGet(Model):
    """Read a channel's documents, or one of them, or what has changed in it since a version."""

    type: Literal["state.get"]
    id: RequestId
    channel: Channel
    key: Key | None = None
    since_version: Version | None = None
    after: Key | None = None
    known: Annotated[dict[Key, Version], Field(max_length=DOCUMENTS_MAX)] | None = None

    @model_validator(mode="after")
    def _of_one_or_of_all(self) -> Self:
        if self.since_version is not None and self.key is None:
            raise PydanticCustomError("since_version", "since_version goes with key")
        if self.key is not None and (self.after is not None or self.known is not None):
            raise PydanticCustomError("key", "after and known go without key")
        return self


def _checked_value(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("value", "a document is anything but null: delete it with state.delete")
    return value


class StateSet(Model):
    """Set a document."""

    type: Literal["state.set"]
    id: RequestId
    channel: Channel
    key: Key
    value: Annotated[Any, AfterValidator(_checked_value)]
    base_version: Version | None = None


class StatePatch(Model):
    """Change a document by a merge patch (RFC 7396)."""

    type: Literal["state.patch"]
    id: RequestId
    channel: Channel
    key: Key
    patch: dict[str, Any]
    base_version: Version | None = None


class StateDelete(Model):
    """Delete a document."""

    type: Literal["state.delete"]
    id: RequestId
    channel: Channel
    key: Key
    base_version: Version | None = None


class PresenceGet(Model):
    """Ask who is in a channel: behind ``after`` (a user), where an answer had ``more``."""

    type: Literal["presence.get"]
    id: RequestId
    channel: Channel
    after: UserId | None = None


class PresenceUpdate(Model):
    """Say how the user is there: of all its connections."""

    type: Literal["presence.update"]
    id: RequestId
    channel: Channel
    status: Status | None = None
    active: bool | None = None
    data: Any = None

    @property
    def said(self) -> dict[str, Any]:
        """What was given; ``data`` may be ``None``, which takes back what it was."""
        given = {name: getattr(self, name) for name in ("status", "active") if getattr(self, name) is not None}
        return given | ({"data": self.data} if "data" in self.model_fields_set else {})


class Typing(Model):
    """Say that the user types, or types no more. Without ``id`` there is no reply, whatever comes of it."""

    type: Literal["typing"]
    id: RequestId | None = None
    channel: Channel
    active: bool


class Refresh(Model):
    """Go on with a new token of the same user."""

    type: Literal["refresh"]
    id: RequestId
    token: Token


class Ping(Model):
    """Ask for a ``pong``."""

    type: Literal["ping"]
    id: RequestId | None = None


Request = Annotated[
    Hello
    | Subscribe
    | Unsubscribe
    | Publish
    | Send
    | Command
    | Result
    | Ack
    | History
    | Sync
    | StateGet
    | StateSet
    | StatePatch
    | StateDelete
    | PresenceGet
    | PresenceUpdate
    | Typing
    | Refresh
    | Ping,
    Field(discriminator="type"),
]
REQUESTS: Final[tuple[type[Model], ...]] = get_args(get_args(Request)[0])
REQUEST_TYPES: Final = frozenset(get_args(model.model_fields["type"].annotation)[0] for model in REQUESTS)
REQUEST_ADAPTER: Final[TypeAdapter[Any]] = TypeAdapter(Request)
