"""Time of the test's own: where everything waits, the clock goes on at once to whatever is due next.

For what does no I/O: a thread that works beside the loop does not stop the clock.
"""

import asyncio
import gc
import selectors
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

Test = Callable[..., Coroutine[Any, Any, None]]


class _Selector(selectors.DefaultSelector):
    """Waits for nothing: what it was to wait, the clock goes on by."""

    now_s = 1_000_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everything waits, and nothing will ever come")
        self.now_s += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with such a clock; its time begins somewhere."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Return the clock's seconds."""
        return self._clock.now_s


def virtual_time(test: Test) -> Callable[..., None]:
    """Run an async test in such a loop. What it leaves running is its fault, and so is what the loop complains of."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        complaints: list[dict[str, Any]] = []

        async def checked() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
            await test(*args, **kwargs)
            await settle()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"left running: {left}"

        gc.freeze()  # what was there before need not be looked through
        try:
            with asyncio.Runner(loop_factory=VirtualLoop) as runner:
                runner.run(checked())
                gc.collect()  # errors that nobody looked at
        finally:
            gc.unfreeze()
        assert not complaints, f"the loop complains: {complaints}"

    return run


async def settle() -> None:
    """Return when everything that can go on now has done so. No time passes."""
    for _ in range(50):
        await asyncio.sleep(0)
