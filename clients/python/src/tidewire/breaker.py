"""A circuit breaker for one way to the server: after some failures in a row it is left alone, then tried once."""

from dataclasses import dataclass
from math import inf
from typing import Final, Literal

_FAILURES: Final = 3
_OPEN_S: Final = 60
_OPEN_MAX_S: Final = 600

BreakerState = Literal["closed", "open", "half-open"]


@dataclass(slots=True)
class Breaker:
    """Times are those of the event loop, in seconds."""

    _failures: int = 0
    _closes_s: float = -inf  # until then it is open

    def state(self, now_s: float) -> BreakerState:
        """Half-open: it may be tried, and one more failure opens it for twice as long."""
        if self._failures < _FAILURES:
            return "closed"
        return "open" if now_s < self._closes_s else "half-open"

    def failed(self, now_s: float) -> None:
        """It was tried in vain."""
        self._failures += 1
        excess = self._failures - _FAILURES
        if excess >= 0:
            self._closes_s = now_s + min(_OPEN_MAX_S, _OPEN_S * 2 ** min(excess, 10))

    def succeeded(self) -> None:
        """It has lasted."""
        self._failures = 0

    def forgive(self) -> None:
        """The network has changed: it may be tried at once."""
        self._closes_s = -inf
