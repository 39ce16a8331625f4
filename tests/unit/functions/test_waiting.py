"""The watcher: it works while somebody waits, and not a moment longer."""

import asyncio
from collections.abc import Mapping, Sequence

from functions.http_api.waiting import Watcher, look_again_s, too_late
from shared.domain.connection import Connection
from shared.services.mailbox_reader import Reading
from tests.unit.client.virtual import virtual_time

Awaited = tuple[str, int]


def nothing(_awaited: Sequence[Awaited]) -> Mapping[Awaited, tuple[str | None, bool]]:
    return {}


def reading() -> Reading:
    return Reading(Connection("m-1", 0, 0, None, None), "session", "ann", "reader", 0, 0)


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


THROWN_OUT_WITHIN_S = 2  # docs/protocol.md 4.1
LEFT_FOR_THE_REST_S = 0.7  # the store's answers, the last words, the way to the client


@virtual_time
async def test_who_has_long_heard_nothing_is_looked_for_in_time_to_be_thrown_out() -> None:
    loop, pauses_s = asyncio.get_running_loop(), list[float]()
    silent_since_s = loop.time()
    while (silence_s := loop.time() - silent_since_s) < 600:
        await asyncio.sleep(look_again_s(silence_s))
        pauses_s.append(loop.time() - silent_since_s - silence_s)
    assert 1 < max(pauses_s) <= THROWN_OUT_WITHIN_S - LEFT_FOR_THE_REST_S


@virtual_time
async def test_a_stream_without_a_session_asks_in_time_however_its_looks_fall() -> None:
    loop, gaps_s = asyncio.get_running_loop(), list[float]()
    silent_since_s = checked_s = loop.time()
    while loop.time() - silent_since_s < 600:
        pause_s = look_again_s(loop.time() - silent_since_s)
        if too_late(loop.time() + pause_s - checked_s):
            gaps_s.append(loop.time() - checked_s)
            checked_s = loop.time()
        await asyncio.sleep(pause_s)
    assert 1 < max(gaps_s) <= THROWN_OUT_WITHIN_S - LEFT_FOR_THE_REST_S
