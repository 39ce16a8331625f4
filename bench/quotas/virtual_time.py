"""Discrete events in virtual time, for code that knows nothing of it: each task is a thread, one runs at a time."""

import heapq
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class VirtualTime:
    """A clock that goes on to the next event when every task waits. Tasks read it, sleep by it, and start others."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._baton = threading.Semaphore(0)
        self._errors: list[BaseException] = []

    def now_s(self) -> float:
        """Return the time in seconds."""
        return self._now_s

    def now_ms(self) -> int:
        """Return the time in milliseconds."""
        return int(self._now_s * 1000)

    def at(self, time_s: float, task: Callable[[], None]) -> None:
        """Start a task at a time, or now if that has passed."""

        def start() -> None:
            self._threads.submit(self._run, task)

        self._call(time_s, start)

    def sleep_until(self, time_s: float) -> None:
        """Let the others go on until then; only tasks may call this."""
        if time_s <= self._now_s:
            return
        mine = threading.Semaphore(0)
        self._call(time_s, mine.release)
        self._baton.release()
        mine.acquire()

    def run(self, *, tasks_max: int) -> None:
        """Return when nothing is left to happen.

        Args:
            tasks_max: Who starts more at a time than so many is stuck.
        """
        with ThreadPoolExecutor(tasks_max) as self._threads:
            while self._due and not self._errors:
                time_s, _, go_on = heapq.heappop(self._due)
                self._now_s = max(self._now_s, time_s)
                go_on()
                self._baton.acquire()
        if self._errors:
            raise self._errors[0]

    def _call(self, time_s: float, go_on: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time_s, next(self._order), go_on))

    def _run(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:  # raised again by run
            self._errors.append(error)
        finally:
            self._baton.release()
