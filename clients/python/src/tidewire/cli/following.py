"""What commands share that keep a connection: what is said of it, and how they end."""

import asyncio
import os
import stat
import sys
from collections.abc import Coroutine
from typing import Any

from tidewire import Tidewire
from tidewire.cli.output import note
from tidewire.errors import TidewireError, closed


def tell_states(client: Tidewire) -> None:
    """Say on standard error when the connection goes, and when one stands and by which way."""
    lost = False

    def changed(state: str, error: TidewireError | None) -> None:
        nonlocal lost
        if state == "reconnecting" and not lost:
            note("reconnecting…" + (f" ({error})" if error else ""))
        elif state == "connected":
            note(f"connected by {client.transport}")
        lost = state == "reconnecting"

    client.on_state(changed)


async def until_first(client: Tidewire, *work: Coroutine[Any, Any, None]) -> None:
    """Run them beside each other until one of them ends, or there is no more use in it; end the others.

    Raises:
        BrokenPipeError: Nobody reads standard output any more.
        TidewireError: What the one raises, or why the client has ended for good.
    """
    tasks = [asyncio.create_task(one) for one in (_ended(client), *work, _reader_gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ended(client: Tidewire) -> None:
    """Raise when the client has ended for good: what was awaited of it may just end."""
    ended: asyncio.Future[TidewireError | None] = asyncio.get_running_loop().create_future()

    def changed(state: str, error: TidewireError | None) -> None:
        if state == "closed" and not ended.done():
            ended.set_result(error)

    stop = client.on_state(changed)
    try:
        raise await ended or closed("the client was closed")
    finally:
        stop()


async def _reader_gone() -> None:
    """Raise when standard output is a pipe that nobody reads: not at the next line, which may never come."""
    gone = asyncio.Event()
    pipe = _pipe()
    if pipe is not None:
        # Of a pipe's writing end nothing can be read: it counts as readable when the other end is closed.
        asyncio.get_running_loop().add_reader(pipe, gone.set)
    try:
        await gone.wait()
    finally:
        if pipe is not None:
            asyncio.get_running_loop().remove_reader(pipe)
    raise BrokenPipeError


def _pipe() -> int | None:
    """Return the descriptor of standard output, if that is a pipe that can be watched."""
    try:
        output = sys.stdout.fileno()
        return output if os.name == "posix" and stat.S_ISFIFO(os.fstat(output).st_mode) else None
    except (OSError, ValueError):
        return None  # it has none
