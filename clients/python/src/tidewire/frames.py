"""What the server sends, as the application has it. Names and meanings are those of docs/protocol.md section 2."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

from tidewire.errors import TidewireError, uncertain

T = TypeVar("T")
Frame = dict[str, Any]
Priority = Literal["express", "high", "normal", "low"]
"""How soon a publication is pushed, and in which order: each priority is in order by itself."""
Status = Literal["online", "away", "busy", "offline"]
"""What a user says of itself; it hides nothing."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a stream.

    Attributes:
        epoch: Which stream: a channel gets another one when it is purged.
        offset: 1 is the first publication.
    """

    epoch: str
    offset: int

    def to_wire(self) -> Frame:
        """Return the JSON object."""
        return {"epoch": self.epoch, "offset": self.offset}

    @classmethod
    def from_wire(cls, position: Mapping[str, Any]) -> Self:
        """Read the JSON object."""
        return cls(position["epoch"], position["offset"])


@dataclass(frozen=True, slots=True)
class Sender:
    """Who published.

    Attributes:
        connection_id: ``None``: a server did, by HTTP.
        claims: What the sender's token says for everybody to see.
    """

    user_id: str
    connection_id: str | None = None
    claims: Mapping[str, Any] | None = None

    @classmethod
    def from_wire(cls, sender: Mapping[str, Any]) -> Self:
        """Read the JSON object."""
        return cls(sender["user_id"], sender.get("connection_id"), sender.get("claims"))


@dataclass(frozen=True, slots=True)
class Event:
    """A publication.

    Attributes:
        data: Any JSON value.
        published_at_ms: Unix time, by the server's clock.
        epoch, offset: Its place in the channel's stream; ``None`` if it is ephemeral.
        prev_offset: The one before it in the same channel and priority; 0 if there is none.
        covers_from: It stands for all from this offset on, where a channel keeps only the latest of each name.
        ephemeral: It is not kept.
    """

    channel: str
    name: str
    data: Any
    message_id: str
    sender: Sender
    published_at_ms: int
    priority: Priority
    epoch: str | None = None
    offset: int | None = None
    prev_offset: int | None = None
    covers_from: int | None = None
    ephemeral: bool = False

    @classmethod
    def from_wire(cls, event: Mapping[str, Any]) -> Self:
        """Read the JSON object: an ``event`` push, or a publication of ``history``."""
        return cls(
            channel=event["channel"],
            name=event["name"],
            data=event["data"],
            message_id=event["message_id"],
            sender=Sender.from_wire(event["sender"]),
            published_at_ms=event["published_at_ms"],
            priority=event["priority"],
            epoch=event.get("epoch"),
            offset=event.get("offset"),
            prev_offset=event.get("prev_offset"),
            covers_from=event.get("covers_from"),
            ephemeral=event.get("ephemeral") is True,
        )

    @property
    def position(self) -> Position | None:
        """Its place in the channel's stream; ``None`` if it is ephemeral."""
        return None if self.epoch is None or self.offset is None else Position(self.epoch, self.offset)


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The answer to ``publish``: ``position`` when it is in the stream already."""

    message_id: str
    status: Literal["accepted"] | None = None
    position: Position | None = None

    @classmethod
    def from_wire(cls, result: Mapping[str, Any]) -> Self:
        """Read the JSON object."""
        return cls(result["message_id"], result.get("status"), _position(result))


@dataclass(frozen=True, slots=True)
class HistoryResult:
    """What is kept of a channel.

    Attributes:
        position: The stream's end.
        more: There are more of them in the direction that was read.
    """

    publications: tuple[Event, ...]
    position: Position
    more: bool

    @classmethod
    def from_wire(cls, result: Mapping[str, Any]) -> Self:
        """Read the JSON object."""
        publications = tuple(map(Event.from_wire, result["publications"]))
        return cls(publications, Position.from_wire(result["position"]), result["more"])


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a publication whose sender asked.

    Attributes:
        position: Where it is stored.
        user_id: Who has read it.
        error: Why it has failed for good.
    """

    channel: str
    message_id: str
    status: Literal["stored", "read", "failed"]
    position: Position | None = None
    user_id: str | None = None
    error: TidewireError | None = None

    @classmethod
    def from_wire(cls, receipt: Mapping[str, Any]) -> Self:
        """Read the JSON object."""
        return cls(
            receipt["channel"],
            receipt["message_id"],
            receipt["status"],
            _position(receipt),
            receipt.get("user_id"),
            TidewireError.from_wire(receipt["error"]) if receipt.get("error") else None,
        )


@dataclass(frozen=True, slots=True)
class Member:
    """A user who is in a channel.

    Attributes:
        active: Has done something in the last minute.
        data: What the user says of itself; any JSON value.
        connections: As of now.
        read_offset: Up to where it has read, if it has told.
    """

    user_id: str
    status: Status
    active: bool
    data: Any
    connections: int
    last_active_at_ms: int | None = None
    read_offset: int | None = None

    @classmethod
    def from_wire(cls, member: Mapping[str, Any]) -> Self:
        """Read the JSON object."""
        return cls(
            member["user_id"],
            member["status"],
            member["active"],
            member["data"],
            member["connections"],
            member.get("last_active_at_ms"),
            member.get("read_offset"),
        )


def _position(fields: Mapping[str, Any]) -> Position | None:
    position = fields.get("position")
    return None if position is None else Position.from_wire(position)


def read(from_wire: Callable[[Any], T], wire: Any) -> T:
    """Return what ``from_wire`` makes of what has come.

    Raises:
        TidewireError: ``timeout``, retryable: it makes no sense, so it is as if nothing had come.
    """
    try:
        return from_wire(wire)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise uncertain("the answer makes no sense") from error
