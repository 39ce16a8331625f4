"""The watcher: it works while somebody waits, and not a moment longer."""

import asyncio
from collections.abc import Mapping, Sequence

from functions.http_api.waiting import Watcher
from shared.domain.connection import Connection
from shared.services.mailbox_reader import Reading

Awaited = tuple[str, int]


def nothing(_awaited: Sequence[Awaited]) -> Mapping[Awaited, tuple[str | None, bool]]:
    return {}


def reading() -> Reading:
    return Reading(Connection("m-1", 0, 0, None, None), "session", "ann", "reader", 0)


async def looks(count: int) -> None:
    """Let the loop go round so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_it_ends_when_the_last_one_leaves_as_another_comes() -> None:
    watcher = Watcher(nothing, lambda error: None)
    now_s = asyncio.get_running_loop().time()

    def waiting() -> asyncio.Task[str]:
        return asyncio.create_task(watcher.wait(reading(), silent_since_s=now_s - 40, timeout_s=9))

    ours = asyncio.current_task()
    first = waiting()
    await looks(5)
    second = waiting()
    [looking] = asyncio.all_tasks() - {ours, first, second}
    await looks(1)
    first.cancel()
    second.cancel()
    await asyncio.wait([looking], timeout=5)
    assert looking.cancelled()


async def test_who_waits_often_and_never_long_is_looked_for() -> None:
    def there(awaited: Sequence[Awaited]) -> Mapping[Awaited, tuple[str | None, bool]]:
        return dict.fromkeys(awaited, ("reader", True))

    watcher, waiting = Watcher(there, lambda error: None), reading()
    now_s = asyncio.get_running_loop().time()
    async with asyncio.timeout(5):
        while await watcher.wait(waiting, silent_since_s=now_s, timeout_s=0.02) != "arrived":
            pass
