"""Calls that block, beside the event loop."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def beside(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what the function returns, or raise what it raises, from a thread of its own.

    Who is cancelled does not wait for it, and nor does the process's end: after Ctrl-C a server that stays silent has
    nobody waiting. (``asyncio.to_thread`` has.)
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(result: T) -> None:
        if not answer.done():
            answer.set_result(result)

    def fail(error: BaseException) -> None:
        if not answer.done():
            answer.set_exception(error)

    def work() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                loop.call_soon_threadsafe(fail, error)
            else:
                loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=work, daemon=True).start()
    return await answer
