"""What the server sends: replies and pushes. These models are the format's source and are not on the hot path:
services build plain dictionaries, and the tests hold them against these.
"""

from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field

from shared.domain.presence import Status
from shared.domain.publication import Priority
from shared.protocol.requests import Model, Position, RequestId
from shared.protocol.rest import ErrorObject


class Sender(Model):
    """Who published."""

    user_id: str
    connection_id: str | None
    claims: dict[str, Any] | None = None


class EventFields(Model):
    """What every event has."""

    channel: str
    name: str
    data: Any
    message_id: str
    sender: Sender
    published_at_ms: int
    priority: Priority


class Publication(EventFields):
    """A publication in a channel's stream."""

    epoch: str
    offset: int
    prev_offset: int


class Event(EventFields):
    """A publication, pushed; without a place in the stream if it is ephemeral."""

    type: Literal["event"]
    epoch: str | None = None
    offset: int | None = None
    prev_offset: int | None = None
    covers_from: int | None = None
    ephemeral: Literal[True] | None = None


class System(Model):
    """The connection's own affairs."""

    type: Literal["system"]
    event: Literal["disconnect", "lagged", "resubscribe", "superseded", "token_expiring"]
    code: int | None = None
    name: str | None = None
    reconnect: bool | None = None
    after_ms: int | None = None
    channel: str | None = None
    position: Position | None = None
    reason: str | None = None
    expires_at_ms: int | None = None


class Receipt(Model):
    """What became of a publication whose sender asked."""

    type: Literal["receipt"]
    channel: str
    message_id: str
    status: Literal["stored", "read", "failed"]
    position: Position | None = None
    user_id: str | None = None
    error: ErrorObject | None = None


class CommandPush(Model):
    """A peer asks for something, and waits for a ``result`` until then."""

    type: Literal["command"]
    command_id: str
    name: str
    data: Any
    sender: Sender
    expires_at_ms: int


class Pong(Model):
    """The answer to ``ping``."""

    type: Literal["pong"]
    id: RequestId | None = None


class StateChange(Model):
    """One version of a document: a merge patch to the one before, the whole, or its end."""

    version: int
    value: Any = None
    patch: dict[str, Any] | None = None
    deleted: Literal[True] | None = None
    updated_by: str
    updated_at_ms: int


class StatePush(StateChange):
    """A change of a document, pushed. With none of the three it is too large for a frame: read it by HTTP."""

    type: Literal["state"]
    channel: str
    key: str


class DocumentResult(Model):
    """A document, or what has changed in it since the version that was named."""

    version: int
    value: Any = None
    deleted: Literal[True] | None = None
    updated_by: str | None = None
    updated_at_ms: int | None = None
    changes: list[StateChange] | None = None


class DocumentsResult(Model):
    """The answer to ``state.get``, and ``state`` in that to ``subscribe``. With ``more``: go on after the last."""

    documents: dict[str, DocumentResult]
    more: Literal[True] | None = None


class ChangesResult(Model):
    """The answer to ``state.get`` with ``since_version``, where all since then is kept."""

    changes: list[StateChange]


class StateWriteResult(Model):
    """The answer to ``state.set``, ``state.patch`` and ``state.delete``: the document as it is settled."""

    version: int
    value: Any = None
    patch: dict[str, Any] | None = None
    deleted: Literal[True] | None = None
    resolution: Literal["applied", "merged"]


class Member(Model):
    """A user who is in a channel: ``connections`` as of now, ``read_offset`` if it has read something."""

    user_id: str
    status: Status
    active: bool
    data: Any
    connections: int
    last_active_at_ms: int | None = None
    read_offset: int | None = None


class PresencePush(Model):
    """Somebody has come, gone, or changed something; or how many there are, where numbers alone are told.

    What has a higher ``version`` was seen later. ``count`` is how many there are when all of that version is told.
    """

    type: Literal["presence"]
    channel: str
    event: Literal["join", "leave", "update", "count"]
    member: Member | None = None
    count: int
    version: int


class TypingPush(Model):
    """Somebody types, or types no more."""

    type: Literal["typing"]
    channel: str
    user_id: str
    active: bool


class PresenceResult(Model):
    """The answer to ``presence.get``, and what ``subscribe`` tells of presence. With ``more``: go on after the last."""

    members: list[Member]
    count: int
    version: int
    more: Literal[True] | None = None


class SubscribeResult(Model):
    """The answer to ``subscribe``."""

    channel: str
    position: Position
    recovered: bool
    publications: list[Publication]
    more: Literal[True] | None = None
    state: DocumentsResult | None = None
    presence: PresenceResult | None = None


class SubscribeFailed(Model):
    """A subscription of ``hello`` that was refused."""

    channel: str
    error: ErrorObject


class ServerLimits(Model):
    """What the server takes."""

    frame_max_bytes: int
    data_max_bytes: int
    batch_max_frames: int
    hello_max_subscriptions: int
    history_max_limit: int
    max_subscriptions: int


class HelloResult(Model):
    """The answer to ``hello``."""

    session_id: str
    connection_id: str
    user_id: str
    server_time_ms: int
    heartbeat_s: int
    connection_max_age_s: int
    limits: ServerLimits
    subscriptions: list[SubscribeResult | SubscribeFailed]


class PublishResult(Model):
    """The answer to ``publish``: ``position`` when it is in the stream already."""

    message_id: str
    status: Literal["accepted"] | None = None
    position: Position | None = None


class HistoryResult(Model):
    """The answer to ``history``."""

    publications: list[Publication]
    position: Position
    more: bool


class SyncResult(Model):
    """The answer to ``sync``: the streams that go further."""

    behind: dict[str, Position]


class CommandResult(Model):
    """The answer to ``command``: the handler's or the peer's."""

    data: Any


class RefreshResult(Model):
    """The answer to ``refresh``: when the new token ends."""

    expires_at_ms: int


class Nothing(Model):
    """The answer to ``unsubscribe``, ``ack``, ``presence.update`` and ``typing``."""


Result = (
    HelloResult
    | SubscribeResult
    | PublishResult
    | CommandResult
    | HistoryResult
    | SyncResult
    | StateWriteResult
    | DocumentsResult
    | ChangesResult
    | PresenceResult
    | RefreshResult
    | Nothing
)


class Reply(Model):
    """The one answer to a request: ``result`` or ``error``."""

    type: Literal["reply"]
    id: RequestId | None
    result: Result | None = None
    error: ErrorObject | None = None


Push = Annotated[
    Event | Receipt | CommandPush | StatePush | PresencePush | TypingPush | System | Pong, Field(discriminator="type")
]
PUSHES: Final[tuple[type[Model], ...]] = get_args(get_args(Push)[0])
