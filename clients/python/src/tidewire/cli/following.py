"""What commands share that keep a connection: what is said of it, and how they end."""

import asyncio
import os
import stat
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from tidewire import Tidewire
from tidewire.cli.output import note
from tidewire.errors import TidewireError


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


async def until_first(*work: Coroutine[Any, Any, None]) -> None:
    """Run them beside each other until one of them ends, or nobody reads standard output any more; end the others.

    Raises:
        BrokenPipeError: Whoever read has gone.
        TidewireError: What the one raises.
    """
    tasks = [asyncio.create_task(one) for one in (*work, _reader_gone())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _reader_gone() -> None:
    """Raise when standard output is a pipe that nobody reads: not at the next line, which may never come."""
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    with suppress(OSError, ValueError, NotImplementedError):  # no descriptor, or one that can't be waited for
        output = sys.stdout.fileno()
        if stat.S_ISFIFO(os.fstat(output).st_mode):
            # Of a pipe's writing end nothing can be read: it counts as readable when the other end is closed.
            loop.add_reader(output, gone.set)
            try:
                await gone.wait()
            finally:
                loop.remove_reader(output)
            raise BrokenPipeError
    await asyncio.Event().wait()
