"""Wait for what comes into mailboxes: one watcher looks for all who wait in a process, many at a time."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from shared.errors import TidewireError
from shared.ports import MailboxStore
from shared.services.mailbox_reader import Reading

Outcome = Literal["arrived", "another reader", "timeout"]

# Who has heard something lately soon hears more; who has not for a minute is looked for every 2 s. So a message waits
# for a twentieth of the silence before it at most, and an idle session costs half a read a second.
_SHORTEST_S: Final = 0.05
_LONGEST_S: Final = 2.0
_SHARE_OF_SILENCE: Final = 0.05
_TOGETHER_S: Final = 0.02  # those who are due so soon are looked for as well


def look_again_s(silence_s: float) -> float:
    """Return when to look again for somebody who has not heard anything for so long."""
    return min(max(_SHORTEST_S, silence_s * _SHARE_OF_SILENCE), _LONGEST_S)


@dataclass(eq=False, slots=True)
class _Waiter:
    awaited: tuple[str, int]
    reader: str
    silent_since_s: float
    due_at_s: float
    outcome: "asyncio.Future[Outcome]"


class Watcher:
    """One for each process. It works while somebody waits."""

    def __init__(self, store: MailboxStore, on_failure: Callable[[Exception], None]) -> None:
        self._store = store
        self._on_failure = on_failure
        self._waiters: set[_Waiter] = set()
        self._more: asyncio.Event
        self._looking: asyncio.Task[None] | None = None

    async def wait(self, reading: Reading, *, silent_since_s: float, timeout_s: float) -> Outcome:
        """Return when there is something to read, when it seems that another reads, or when the time is over.

        Args:
            reading: Whose.
            silent_since_s: When something last came, by the loop's clock.
            timeout_s: How long at most.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(
            awaited=(reading.mailbox_id, reading.after + 1),
            reader=reading.reader,
            silent_since_s=silent_since_s,
            due_at_s=loop.time() + look_again_s(loop.time() - silent_since_s),
            outcome=loop.create_future(),
        )
        self._waiters.add(waiter)
        if self._looking is None:
            self._more = asyncio.Event()  # here, since it is one loop's
            self._looking = loop.create_task(self._look())
        self._more.set()
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter.outcome
        except TimeoutError:
            return "timeout"
        finally:
            self._waiters.discard(waiter)
            # Not a moment longer: Lambda stops the process when the last one has its answer.
            if not self._waiters and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._more.clear()
            next_s = min(waiter.due_at_s for waiter in self._waiters) - loop.time()
            if next_s > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._more.wait(), next_s)
                continue
            due = [waiter for waiter in self._waiters if waiter.due_at_s <= loop.time() + _TOGETHER_S]
            await self._look_for(due)
            for waiter in due:
                waiter.due_at_s = loop.time() + look_again_s(loop.time() - waiter.silent_since_s)

    async def _look_for(self, due: list[_Waiter]) -> None:
        try:
            seen = await asyncio.to_thread(self._store.look, [waiter.awaited for waiter in due])
        except TidewireError as error:
            self._on_failure(error)  # the store may answer the next time
            return
        for waiter in due:
            reader, arrived = seen.get(waiter.awaited[0], ("", False))
            if waiter.outcome.done():
                continue
            if arrived:
                waiter.outcome.set_result("arrived")
            elif reader != waiter.reader:
                waiter.outcome.set_result("another reader")
