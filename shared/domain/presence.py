"""Who is present in a channel: members, what subscribers were last told of them, and when they are told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

# Above so many members only their number is told: each change would be a push to each of them.
PRESENCE_MEMBERS_MAX: Final = 100
# ... until there are as few again: at the very bound, one who comes and goes would have all the others told anew.
PRESENCE_MEMBERS_AGAIN: Final = 80
# Whoever is back within this time was never seen to go: a reload, a tunnel, a change of networks.
PRESENCE_GRACE_S: Final = 10
PRESENCE_DATA_MAX_BYTES: Final = 1_000
# With so many members they are told what is new at once. With more, what has come together: so much later for each of
# them, but no later than that.
PRESENCE_AT_ONCE_MAX: Final = 10
PRESENCE_LATER_EACH_MS: Final = 100
PRESENCE_LATER_MAX_MS: Final = 10_000
PRESENCE_NUMBER_LATER_MIN_MS: Final = 5_000  # a number alone is no news that could not wait
ACTIVE_AGAIN_MS: Final = 10_000  # who goes on being active is noted this often
TYPING_AGAIN_MS: Final = 2_000  # who goes on typing is told of this often
TYPING_FORGOTTEN_MS: Final = 8_000  # ... and whoever is not heard of for this long types no more

Status = Literal["online", "away", "busy", "offline"]


@dataclass(frozen=True, slots=True)
class Member:
    """A user in a channel, as its set of connections and its own words have it.

    Attributes:
        connection_ids: Those that are there; a user without any is no member (any more).
        data: JSON that the user gave, at most 1,000 bytes.
        last_active_at_ms: When the user last came in, or said to be active; Unix milliseconds.
        revision: How often the user has changed something; with ``changed_at_ms`` it is the same only if nothing has.
    """

    user_id: str
    connection_ids: tuple[str, ...] = ()
    status: Status = "online"
    active: bool = True
    data: Any = None
    last_active_at_ms: int = 0
    revision: int = 0
    changed_at_ms: int = 0

    @property
    def stamp(self) -> str:
        """Another one with each change."""
        return f"{self.revision}.{self.changed_at_ms}"

    def to_wire(self, read_offset: int = 0) -> dict[str, Any]:
        """Return the ``member`` of the protocol; of who has gone, nothing is left but the name."""
        here = bool(self.connection_ids)
        member = {
            "user_id": self.user_id,
            "status": self.status if here else "offline",
            "active": self.active and here,
            "data": self.data if here else None,
            "connections": len(self.connection_ids),
        }
        told = {"last_active_at_ms": self.last_active_at_ms, "read_offset": read_offset}
        return member | {name: value for name, value in told.items() if value}


# Stands for the stamp of whoever is about to be told of: whether subscribers have been told, nobody knows.
UNSURE: Final = ""


@dataclass(frozen=True, slots=True)
class Told:
    """What the subscribers of a channel were last told.

    Attributes:
        version: Counts what is told, from 1: what has a higher one was seen later.
        counted: They are told numbers alone.
        count: The number they were told; -1 if it is about to be told.
        told_at_ms: When that was, Unix milliseconds.
        users: The members they know: the stamp they know, and the version that told it.
    """

    version: int = 0
    counted: bool = False
    count: int = 0
    told_at_ms: int = 0
    users: Mapping[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attendees:
    """A channel's members, and what subscribers were told before these were read.

    Attributes:
        members: By user; none without a connection.
        gone: Users without one of whom there is something left to be forgotten.
    """

    told: Told
    members: Mapping[str, Member]
    gone: Mapping[str, Member] = field(default_factory=dict)

    @property
    def counted(self) -> bool:
        """Whether there are too many for all to be told of each."""
        bound = PRESENCE_MEMBERS_AGAIN if self.told.counted else PRESENCE_MEMBERS_MAX
        return len(self.members) > bound

    @property
    def untold(self) -> list[str]:
        """Users who are there and not told, or told and not there."""
        return sorted(self.members.keys() ^ self.told.users.keys())


@dataclass(frozen=True, slots=True)
class Visit:
    """A connection of a user's in a channel."""

    user_id: str
    connection_id: str

    def to_push(self, channel: str, event: Literal["join", "leave"]) -> dict[str, Any]:
        """Return what those are told who want to know of connections; docs/protocol.md has no such push."""
        who = {"user_id": self.user_id, "connection_id": self.connection_id}
        return {"type": "connection", "channel": channel, "event": event, **who}


@dataclass(frozen=True, slots=True)
class Look:
    """A wish that somebody may look whether a channel's subscribers know who is there.

    Attributes:
        users: To be told of whatever was told before,
        after: ... unless that has been since this version of what was told.
        came: The connection that has come there: whoever wants to know of connections is told.
        went: The one that has gone.
    """

    channel: str
    users: tuple[str, ...] = ()
    after: int | None = None
    came: Visit | None = None
    went: Visit | None = None
