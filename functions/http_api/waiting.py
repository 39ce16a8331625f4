"""Wait for what comes into mailboxes: one watcher looks for all who wait in a process, many at a time."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from shared.services.mailbox_reader import Reading

Outcome = Literal["arrived", "another reader", "timeout"]

# Who has heard something lately soon hears more; who has not for 24 s is looked for every 1.2 s. So a message waits
# for a twentieth of the silence before it at most, and an idle session costs 0.8 read units a second. Whoever is thrown
# out is to know within 2 s: what is left of that is for the store, and for the way to the client.
_SHORTEST_S: Final = 0.05
_LONGEST_S: Final = 1.2
_SHARE_OF_SILENCE: Final = 0.05
_TOGETHER_SHARE: Final = 0.25  # of the way to the next look: who has no more left is looked for with others already


def look_again_s(silence_s: float) -> float:
    """Return when to look again for somebody who has not heard anything for so long."""
    return min(max(_SHORTEST_S, silence_s * _SHARE_OF_SILENCE), _LONGEST_S)


def too_late(since_s: float) -> bool:
    """Tell whether to look so long after the last time would be too late for whoever is thrown out."""
    return since_s > _LONGEST_S


@dataclass(eq=False, slots=True)
class _Waiter:
    reading: Reading
    awaited: tuple[str, int]
    silent_since_s: float
    pace_s: float
    due_at_s: float
    outcome: "asyncio.Future[Outcome]"


class Watcher:
    """One for each process. It works while somebody waits.

    Attributes:
        closed: The process is about to end: nobody waits any more.
    """

    def __init__(
        self,
        look: Callable[[Sequence[tuple[str, int]]], Mapping[tuple[str, int], tuple[str | None, bool]]],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """Make one.

        Args:
            look: As :meth:`shared.ports.MailboxStore.look`.
            on_failure: Is told when the store does not answer.
        """
        self._look_at = look
        self._on_failure = on_failure
        self.closed = False
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
        if self.closed:
            return "timeout"
        loop = asyncio.get_running_loop()
        waiter = _Waiter(
            reading=reading,
            awaited=(reading.mailbox_id, reading.after + 1),
            silent_since_s=silent_since_s,
            pace_s=(pace_s := look_again_s(loop.time() - silent_since_s)),
            # Not from now on: who waits often and never long would not be looked for at all.
            due_at_s=max(silent_since_s, reading.looked_at_s) + pace_s,
            outcome=loop.create_future(),
        )
        self._waiters.add(waiter)
        if self._looking is None or self._looking.done():
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

    def close(self) -> None:
        """Let everybody who waits go, as if their time was over."""
        self.closed = True
        for waiter in self._waiters:
            if not waiter.outcome.done():
                waiter.outcome.set_result("timeout")

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._more.clear()
            next_s = min(waiter.due_at_s for waiter in self._waiters) - loop.time()
            if next_s > 0:
                # Not `wait_for`: it would take no notice of being cancelled in the moment in which more came.
                with suppress(TimeoutError):
                    async with asyncio.timeout(next_s):
                        await self._more.wait()
                continue
            now_s = loop.time()
            due = [waiter for waiter in self._waiters if waiter.due_at_s - now_s <= _TOGETHER_SHARE * waiter.pace_s]
            await self._look_for(due)
            for waiter in due:
                waiter.reading.looked_at_s = looked_at_s = loop.time()
                waiter.pace_s = look_again_s(looked_at_s - waiter.silent_since_s)
                waiter.due_at_s = looked_at_s + waiter.pace_s

    async def _look_for(self, due: list[_Waiter]) -> None:
        try:
            seen = await asyncio.to_thread(self._look_at, [waiter.awaited for waiter in due])
        except Exception as error:  # whatever it is, others wait as well, and it may be over the next time
            self._on_failure(error)
            return
        for waiter in due:
            reader, arrived = seen.get(waiter.awaited, ("", False))
            if waiter.outcome.done():
                continue
            if reader is not None and reader != waiter.reading.reader:
                waiter.outcome.set_result("another reader")
            elif arrived:
                waiter.outcome.set_result("arrived")
