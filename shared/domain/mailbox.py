"""Mailboxes: where what is pushed to an HTTP session waits until it is read (docs/data-model.md, "Mailboxes").

A mailbox is a connection like any other: it has a record, subscriptions and a way to it. Messages are numbered from 1
without holes; the put of one *is* the allocation of its number.
"""

from dataclasses import dataclass
from typing import Final

from shared.domain.connection import SESSION_GRACE_S

# API Gateway makes no such ids: its are base64.
_PREFIX: Final = "mailbox."
# Of what nobody has fetched. Then its session is told `lagged` once, and fetches the rest from the log.
MAILBOX_MAX_MESSAGES: Final = 1_000
# Whoever is silent for this long has gone, a little later than its session: clocks differ.
GONE_AFTER_S: Final = SESSION_GRACE_S + 10
READ_MAX_MESSAGES: Final = 25  # 32,000 bytes each: one answer stays below what Lambda and API Gateway let through


def is_mailbox(connection_id: str) -> bool:
    """Tell whether it is a mailbox's id, or a WebSocket's."""
    return connection_id.startswith(_PREFIX)


def mailbox_id(random: str) -> str:
    """Return the id of the mailbox with this random part."""
    return _PREFIX + random


@dataclass(frozen=True, slots=True)
class Mailbox:
    """What is known of a mailbox beside its messages.

    Attributes:
        expires_at_s: When it ends, whoever reads it. What is in it is kept until then.
        seen_at_s: When its client was last heard of.
        fetched: Number of the last message that was read. Its client may not have got it.
        confirmed: Number of the last message that its client said it has.
        reader: Who reads it; a newer reader takes its place.
    """

    expires_at_s: int
    seen_at_s: int
    fetched: int = 0
    confirmed: int = 0
    reader: str = ""

    def gone(self, now_s: int) -> bool:
        """Tell whether its client has been silent for too long."""
        return now_s >= min(self.seen_at_s + GONE_AFTER_S, self.expires_at_s)


@dataclass(frozen=True, slots=True)
class Message:
    """What one push brought.

    Attributes:
        text: A frame or an array of them, as JSON; ``None`` stands for all that did not find room.
    """

    number: int
    text: str | None
