"""Words on their way to the server: one request at a time, since of two it may handle the later one first."""

import asyncio
from collections.abc import Callable
from functools import partial

from tidewire.backoff import again_after_ms
from tidewire.errors import TidewireError, is_passing
from tidewire.frames import Frame
from tidewire.futures import failure, refuse, resolve
from tidewire.host import Host


def _nobody(_words: Frame) -> None:
    """Nobody is told."""


class Line:
    """Words for one kind of request.

    Args:
        request: The request without its words.
        ready: Whether something can be said now.
        again: Send again what failed in passing.
        told: Is given words that the server has, unless they were cleared meanwhile.
    """

    def __init__(
        self,
        request: Frame,
        host: Host,
        ready: Callable[[], bool],
        *,
        again: bool = True,
        told: Callable[[Frame], None] = _nobody,
    ) -> None:
        self._request, self._host, self._ready, self._again, self._told = request, host, ready, again, told
        self._next: Frame | None = None
        self._sent: Frame | None = None
        self._waiting: list[asyncio.Future[None]] = []  # for `_next`
        self._failures = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def words(self) -> Frame:
        """What has not been answered yet."""
        return {**(self._sent or {}), **(self._next or {})}

    def put(self, words: Frame) -> None:
        """Say this as soon as it can be said; of what waits, each word counts as it was said last.

        What nobody waits for is reported if it fails.
        """
        self._next = {**(self._next or {}), **words}
        if self._timer is None:
            self.flush()

    def add(self, words: Frame) -> "asyncio.Future[None]":
        """As :meth:`put`; return what is settled when the server has it, or has refused it."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self.put(words)
        return waiting

    def flush(self) -> None:
        """Send what waits, if it can be sent, whatever was to be waited for."""
        self._wait_no_more()
        if self._next is None or self._sent is not None or not self._ready():
            return
        words, self._next, self._sent = self._next, None, self._next
        waiting, self._waiting = self._waiting, []
        # No task: who waits is answered even if the client ends all of them.
        self._host.ask({**self._request, **words}).add_done_callback(partial(self._answered, words, waiting))

    def clear(self, error: BaseException) -> None:
        """Refuse what waits; what has been sent is not sent again."""
        self._next = self._sent = None
        self._wait_no_more()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            refuse(one, error)

    def _answered(self, words: Frame, waiting: "list[asyncio.Future[None]]", answer: "asyncio.Future[object]") -> None:
        error = failure(answer)
        stands = self._sent is words  # or it was cleared meanwhile
        if error is None:
            self._failures = 0
            if stands:
                self._told(words)
            for one in waiting:
                resolve(one, None)
        elif stands and self._again and isinstance(error, TidewireError) and error.retryable:
            self._send_again(words, waiting, error)
        else:
            for one in waiting:
                refuse(one, error)
            if not waiting and not is_passing(error):
                self._host.report(error)
        if stands:
            self._sent = None
            if self._timer is None:
                self.flush()

    def _send_again(self, words: Frame, waiting: "list[asyncio.Future[None]]", error: TidewireError) -> None:
        self._next = {**words, **(self._next or {})}
        self._waiting = [*waiting, *self._waiting]
        wait_ms = again_after_ms(error, self._failures, self._host.random)
        self._failures += 1
        self._timer = asyncio.get_running_loop().call_later(wait_ms / 1000, self.flush)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
