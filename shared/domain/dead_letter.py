"""What failed for good and may be tried again."""

from dataclasses import dataclass
from typing import Literal

RedrivenQueue = Literal["high", "normal", "low", "events"]  # a lane, or the queue of events that ask for a publication


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message as its dead-letter queue hands it out.

    Attributes:
        receipt: Names this handing out.
        sent_at_ms: When it was put there, Unix milliseconds.
        group: Within which the queue that it came from keeps an order; ``None`` if that keeps none.
    """

    message_id: str
    receipt: str
    body: str
    sent_at_ms: int
    group: str | None
