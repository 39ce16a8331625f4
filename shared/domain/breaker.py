"""A circuit breaker: a service that fails is left alone for a while, instead of being waited for again and again."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

State = Literal["closed", "half_open", "open"]

_WINDOW_MS: Final = 5_000  # this one and the one before count
_MIN_CALLS: Final = 20  # fewer say nothing
_FAILURE_RATIO: Final = 0.5
_OPEN_MS: Final = 1_000  # doubled each time that a trial fails
_OPEN_MAX_MS: Final = 30_000
_TRIALS: Final = 3


@dataclass(slots=True)
class CircuitBreaker:
    """Closed: calls go through. Open: none does. Half open: three may try; if all succeed it closes, else it opens.

    It opens when half of at least 20 calls in the last 5 to 10 s have failed; where there were fewer, when so many in a
    row have as is said. Safe to use from many threads.

    Attributes:
        on_change: Is told of each new state.
        in_a_row: For calls that fail slowly, made one after the other: there are never 20 of them in 10 s.
    """

    now_ms: Callable[[], int]
    on_change: Callable[[State], None] = lambda _state: None
    uniform: Callable[[float, float], float] = random.uniform
    in_a_row: int | None = None
    _state: State = "closed"
    _calls: list[int] = field(default_factory=lambda: [0, 0])  # in this window, and in the one before
    _failures: list[int] = field(default_factory=lambda: [0, 0])
    _window: int = 0
    _failed_in_a_row: int = 0
    _opened: int = 0
    _until_ms: float = 0
    _trials: int = 0
    _successes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def state(self) -> State:
        """As it is now: half open as soon as it may be tried, though nobody has tried yet."""
        if self._state == "open" and self.now_ms() >= self._until_ms:
            return "half_open"
        return self._state

    def allows(self) -> bool:
        """Tell whether a call may go through now; who is allowed must :meth:`record` its outcome."""
        return self._state == "closed" or self._may_try()

    def record(self, *, failed: bool) -> None:
        """Say how an allowed call went."""
        with self._lock:
            if self._state == "half_open":
                self._tried(failed)
            elif self._state == "closed":
                self._count(failed)

    def _may_try(self) -> bool:
        with self._lock:
            if self._state == "closed":
                return True
            if self.now_ms() >= self._until_ms:
                # Half open already: its trials never told how they went (their process froze, say), so others may.
                self._trials = self._successes = 0
                self._until_ms = self.now_ms() + _OPEN_MAX_MS
                if self._state == "open":
                    self._enter("half_open")
            self._trials += 1
            return self._state == "half_open" and self._trials <= _TRIALS

    def _tried(self, failed: bool) -> None:
        if failed:
            self._open()
            return
        self._successes += 1
        if self._successes >= _TRIALS:
            self._opened = 0
            self._enter("closed")

    def _count(self, failed: bool) -> None:
        window = self.now_ms() // _WINDOW_MS
        if window != self._window:
            next_to = window == self._window + 1
            self._calls = [0, self._calls[0] if next_to else 0]
            self._failures = [0, self._failures[0] if next_to else 0]
            self._window = window
        self._calls[0] += 1
        if not failed:
            self._failed_in_a_row = 0
            return
        self._failures[0] += 1
        self._failed_in_a_row += 1
        calls = sum(self._calls)
        if calls >= _MIN_CALLS:
            opens = sum(self._failures) >= _FAILURE_RATIO * calls
        else:
            opens = self.in_a_row is not None and self._failed_in_a_row >= self.in_a_row
        if opens:
            self._open()

    def _open(self) -> None:
        self._calls, self._failures, self._failed_in_a_row = [0, 0], [0, 0], 0
        longest_ms = min(_OPEN_MS * 2**self._opened, _OPEN_MAX_MS)
        # Jitter: processes that saw the same failure do not all try again at once.
        self._until_ms = self.now_ms() + self.uniform(longest_ms / 2, longest_ms)
        self._opened = min(self._opened + 1, 10)
        self._enter("open")

    def _enter(self, state: State) -> None:
        self._state = state
        self.on_change(state)
