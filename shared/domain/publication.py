"""Publications: what is published, and what it is once it has its place in a stream."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Priority = Literal["express", "high", "normal", "low"]
# Their order is that of a segment's ``tails`` in the log: never change it.
PRIORITIES: Final[tuple[Priority, ...]] = ("express", "high", "normal", "low")


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """A place in a stream: everything up to ``offset`` of the stream that ``epoch`` names."""

    epoch: str
    offset: int

    def to_wire(self) -> dict[str, Any]:
        """Return the ``position`` object of the protocol."""
        return {"epoch": self.epoch, "offset": self.offset}


@dataclass(frozen=True, slots=True)
class Publication:
    """What somebody published.

    Attributes:
        data: Opaque JSON, at most 24,000 bytes.
        connection_id: ``None`` for a publication by HTTP.
        published_at_ms: When the server took it, Unix milliseconds.
        receipt: Its sender wants to be told what became of it.
        claims: What its sender's token says of them in public, if a processor has put it there.
    """

    message_id: str
    name: str
    data: Any
    user_id: str
    connection_id: str | None
    priority: Priority
    published_at_ms: int
    receipt: bool = False
    claims: Mapping[str, Any] | None = None

    def to_record(self) -> dict[str, Any]:
        """Return it as it travels in lanes and lies in segments; :meth:`from_record` reads it back."""
        record: dict[str, Any] = {
            "i": self.message_id,
            "n": self.name,
            "d": self.data,
            "u": self.user_id,
            "c": self.connection_id,
            "p": PRIORITIES.index(self.priority),
            "t": self.published_at_ms,
        }
        if self.receipt:
            record["r"] = True
        if self.claims is not None:
            record["a"] = self.claims
        return record

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Publication":
        """Read what :meth:`to_record` returned."""
        return cls(
            message_id=record["i"],
            name=record["n"],
            data=record["d"],
            user_id=record["u"],
            connection_id=record["c"],
            priority=PRIORITIES[record["p"]],
            published_at_ms=record["t"],
            receipt=record.get("r", False),
            claims=record.get("a"),
        )

    def to_event(self, channel: str) -> dict[str, Any]:
        """Return the ``event`` push, without a place in the stream."""
        sender: dict[str, Any] = {"user_id": self.user_id, "connection_id": self.connection_id}
        if self.claims is not None:
            sender["claims"] = self.claims
        return {
            "type": "event",
            "channel": channel,
            "name": self.name,
            "data": self.data,
            "message_id": self.message_id,
            "sender": sender,
            "published_at_ms": self.published_at_ms,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """A publication with its place in a stream.

    Attributes:
        prev_offset: The one before it in the same channel and priority; 0 if there is none.
    """

    publication: Publication
    offset: int
    prev_offset: int

    def to_event(self, channel: str, epoch: str) -> dict[str, Any]:
        """Return the ``event`` push."""
        return self.publication.to_event(channel) | {
            "epoch": epoch,
            "offset": self.offset,
            "prev_offset": self.prev_offset,
        }


def identity(user_id: str, message_id: str) -> str:
    """Return what a publication has in its channel alone. Both ids may have any character: so their border is told."""
    return f"{len(user_id)}:{user_id}{message_id}"


def fingerprint(user_id: str, message_id: str) -> bytes:
    """Return the 8 bytes by which a publication is known again within its channel.

    8 bytes: among the 64 that a publication is compared with, a false match has a chance of 64 in 2**64.
    """
    return hashlib.blake2b(identity(user_id, message_id).encode(), digest_size=8).digest()
