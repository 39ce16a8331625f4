"""Answers that may be of no interest to anybody: asyncio would log an error that nobody looks at."""

import asyncio
from typing import Any


def answer() -> "asyncio.Future[Any]":
    """Return a future whose error may go unseen."""
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(look)
    return future


def refused(error: BaseException) -> "asyncio.Future[Any]":
    """Return such a future that has failed already."""
    future = answer()
    future.set_exception(error)
    return future


def look(future: "asyncio.Future[Any]") -> None:
    """Look at the error of one that is done."""
    if not future.cancelled():
        future.exception()
