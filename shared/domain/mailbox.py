"""Mailboxes: where what is pushed to an HTTP session waits until it is read (docs/data-model.md, "Mailboxes").

A mailbox is a connection like any other: it has a record, subscriptions and a way to it. Messages are numbered from 1.
A writer first takes the next number and then puts its message there, so that no number of writers hinder one another;
until it has, there is a hole, and readers do not go past it. A writer may fail between the two: then it will not come.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from shared.domain.connection import SESSION_GRACE_S

# How a client reads it.
Way = Literal["sse", "stream", "long_poll", "short_poll"]

# API Gateway makes no such ids: its are base64.
_PREFIX: Final = "mailbox."
# Of what nobody has fetched. Then its session is told `lagged` once, and fetches the rest from the log.
MAILBOX_MAX_MESSAGES: Final = 1_000
# Whoever is silent for this long has gone, a little later than its session: clocks differ.
GONE_AFTER_S: Final = SESSION_GRACE_S + 10
# A hole with a message behind it that has been there for so long stays one: puts take milliseconds.
HOLE_MS: Final = 2_000
READ_MAX_MESSAGES: Final = 25  # 32,000 bytes each: one answer stays below what Lambda and API Gateway let through


def is_mailbox(connection_id: str) -> bool:
    """Tell whether it is a mailbox's id, or a WebSocket's."""
    return connection_id.startswith(_PREFIX)


def mailbox_id(random: str) -> str:
    """Return the id of the mailbox with this random part."""
    return _PREFIX + random


def is_farewell(text: str) -> bool:
    """Tell whether a push says that the connection ends, and why.

    Ours is sent by itself, never with others. Where Centrifugo's protocol is spoken, there is one frame a line.
    """
    return any(_ends(json.loads(line)) for line in text.split("\n"))


def _ends(frame: Any) -> bool:
    if not isinstance(frame, dict):
        return False
    return (frame.get("type"), frame.get("event")) == ("system", "disconnect") or "disconnect" in frame.get("push", ())


@dataclass(frozen=True, slots=True)
class Mailbox:
    """What is known of a mailbox beside its messages.

    Attributes:
        expires_at_s: When it ends, whoever reads it. What is in it is kept until then.
        seen_at_s: When its client was last heard of.
        last: The last number that a writer has taken.
        fetched: Number of the last message that was read. Its client may not have got it.
        confirmed: Number of the last message that its client said it has.
        reader: Who reads it; a newer reader takes its place.
        way: How; ``None`` if nobody has yet.
    """

    expires_at_s: int
    seen_at_s: int
    last: int = 0
    fetched: int = 0
    confirmed: int = 0
    reader: str = ""
    way: Way | None = None

    def gone(self, now_s: int) -> bool:
        """Tell whether its client has been silent for too long."""
        return now_s >= min(self.seen_at_s + GONE_AFTER_S, self.expires_at_s)

    @property
    def full(self) -> bool:
        """Tell whether there is no room for the last message."""
        return self.last - self.fetched > MAILBOX_MAX_MESSAGES


@dataclass(frozen=True, slots=True)
class Message:
    """What one push brought.

    Attributes:
        text: A frame or an array of them, as JSON; ``None`` stands for one that did not find room, or, as the first
            of a mailbox, for all that its session may have missed before.
        put_at_ms: When it was put, Unix milliseconds.
    """

    number: int
    text: str | None
    put_at_ms: int

    @property
    def opening(self) -> bool:
        """Tell whether it stands for what was before the mailbox: nothing behind it is missing for that."""
        return self.number == 1 and self.text is None
