"""Rates with bursts, as a token bucket: kept as the time at which the bucket will be full again, one number."""

from dataclasses import dataclass


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
