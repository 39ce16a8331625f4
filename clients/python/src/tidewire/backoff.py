"""How long to wait before the next attempt."""

from collections.abc import Callable
from random import random as _random
from typing import Final

from tidewire.errors import TidewireError

MIN_MS: Final = 500
MAX_MS: Final = 20_000


def backoff_ms(attempt: int, random: Callable[[], float] = _random) -> float:
    """Return the delay before an attempt (0 is the first one after a failure).

    Exponential with full jitter, so that clients that were cut off together do not come back together.

    Returns:
        Milliseconds, at least 250 and below the ceiling of this attempt, which is 500 at first and 20,000 at most.
    """
    ceiling_ms: int = min(MAX_MS, MIN_MS * 2 ** min(attempt, 16))
    return MIN_MS / 2 + random() * (ceiling_ms - MIN_MS / 2)


def again_after_ms(error: TidewireError, attempt: int, random: Callable[[], float]) -> float:
    """Return the delay before something is tried again: what the server asks for, or as :func:`backoff_ms`."""
    return backoff_ms(attempt, random) if error.retry_after_ms is None else error.retry_after_ms
