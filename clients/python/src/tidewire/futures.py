"""Futures of which whoever waits may have gone, or nobody ever looks at the error: asyncio would log that."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from tidewire.errors import TidewireError, closed

T = TypeVar("T")


def answer() -> "asyncio.Future[Any]":
    """Return a future whose error may go unseen."""
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(failure)
    return future


def refused(error: BaseException) -> "asyncio.Future[Any]":
    """Return such a future that has failed already."""
    future = answer()
    future.set_exception(error)
    return future


def resolve(future: "asyncio.Future[T]", result: T) -> None:
    """Settle it, unless it is settled or nobody waits for it any more."""
    if not future.done():
        future.set_result(result)


def refuse(future: "asyncio.Future[Any]", error: BaseException) -> None:
    """As :func:`resolve`, with an error. That it was closed is no news to whoever does not look at it."""
    if not future.done():
        future.set_exception(error)
        if isinstance(error, TidewireError) and error.kind == "closed":
            future.exception()


async def outcome(future: "asyncio.Future[T]") -> T:
    """Return its result, or raise its error: whoever waits for it, and no more, does not end it."""
    await asyncio.wait([future])
    return future.result()


def failure(future: "asyncio.Future[Any]") -> BaseException | None:
    """Return what a settled one raises, which is then nobody else's to look at; ``None`` if it has a result."""
    return closed("the client was closed") if future.cancelled() else future.exception()


async def awaited(theirs: Awaitable[T]) -> T:
    """Return the result of something of the user's. Where that was cancelled, and not we, it is an error like any."""
    try:
        return await theirs
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RuntimeError("it was cancelled") from error
