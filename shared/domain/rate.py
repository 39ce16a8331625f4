"""Rates with bursts, as a token bucket: kept as the time at which the bucket will be full again, one number."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Rate:
    """``per_s`` a second in the long run, ``burst`` at once."""

    per_s: float
    burst: float

    def full_at_ms(self, before_ms: float, now_ms: float, tokens: float) -> float:
        """Return when a bucket that was to be full at ``before_ms`` is full again after these tokens are taken now."""
        return max(before_ms, now_ms) + tokens * 1000 / self.per_s

    def wait_ms(self, before_ms: float, now_ms: float, tokens: float) -> float:
        """Return how long to wait for so many tokens; 0 if they are there."""
        return max(0.0, self.full_at_ms(before_ms, now_ms, tokens) - self.burst * 1000 / self.per_s - now_ms)


_LATE_S: Final = 0.01


@dataclass(slots=True)
class Pacer:
    """Spreads calls evenly: at most ``per_s`` a second, from any number of threads.

    Who comes up to 10 ms late for a turn, as clocks make one, does not lose it.

    Attributes:
        now_s: A clock that only goes forward.
    """

    per_s: float
    now_s: Callable[[], float]
    _next_s: float = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def turn(self) -> float:
        """Take a turn; return in how many seconds it comes, 0 if it has."""
        now_s = self.now_s()
        with self._lock:
            turn_s, earliest_s = self._next_s, now_s - _LATE_S
            if turn_s < earliest_s:
                turn_s = earliest_s
            self._next_s = turn_s + 1 / self.per_s
        return turn_s - now_s if turn_s > now_s else 0
