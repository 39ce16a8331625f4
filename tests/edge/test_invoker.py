"""A burst of calls on a cold function: workers are started a few at a time, and nobody is kept out for good."""

import asyncio
from collections.abc import Iterator
from typing import Final

import pytest

from localstack.edge.invoker import Workers

STARTS: Final = 2


class Calls:
    """Calls that last until they are let go."""

    def __init__(self, *, start_max_s: float = 3600) -> None:
        self._workers = Workers(starts_at_a_time=STARTS, start_max_s=start_max_s)
        self._tasks: list[asyncio.Task[None]] = []
        self.running: dict[int, asyncio.Event] = {}

    async def begin(self, count: int, *, function: str = "f") -> None:
        first = len(self._tasks)
        self._tasks += [asyncio.create_task(self._call(first + number, function)) for number in range(count)]
        await self.settle()

    async def end(self, *numbers: int) -> None:
        for number in numbers:
            self.running[number].set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(50):  # every task gets as far as it can without time passing
            await asyncio.sleep(0)

    async def cancel(self, number: int) -> None:
        self.abandon(number)
        await self.settle()

    def abandon(self, number: int) -> None:
        self._tasks[number].cancel()

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _call(self, number: int, function: str) -> None:
        async with self._workers.one(function):
            self.running[number] = asyncio.Event()
            try:
                await self.running[number].wait()
            finally:
                del self.running[number]


@pytest.fixture
def calls() -> Iterator[Calls]:
    made = Calls()
    yield made
    made.stop()


async def test_a_burst_starts_few_workers(calls: Calls) -> None:
    await calls.begin(20)
    assert set(calls.running) == {0, 1}


async def test_a_burst_on_several_functions_starts_no_more(calls: Calls) -> None:
    await calls.begin(10, function="f")
    await calls.begin(10, function="g")
    assert set(calls.running) == {0, 1}


async def test_an_idle_worker_of_another_function_is_of_no_use(calls: Calls) -> None:
    await calls.begin(1, function="f")
    await calls.end(0)
    await calls.begin(STARTS + 1, function="g")
    assert len(calls.running) == STARTS
    await calls.begin(1, function="f")
    assert set(calls.running) == {1, 2, 4}


async def test_who_waits_gets_the_next_worker_in_order(calls: Calls) -> None:
    await calls.begin(20)
    await calls.end(0)
    # The worker of call 0 is idle, and another may be started instead of it.
    assert set(calls.running) == {1, 2, 3}


async def test_warm_workers_are_all_used_beside_those_that_start(calls: Calls) -> None:
    await calls.begin(2)
    await calls.end(0, 1)
    await calls.begin(20)
    assert len(calls.running) == STARTS + 2


async def test_calls_one_after_the_other_need_one_worker(calls: Calls) -> None:
    for number in range(5):
        await calls.begin(1)
        await calls.end(number)
    await calls.begin(20)
    assert len(calls.running) == STARTS + 1


async def test_a_call_that_is_given_up_keeps_no_place(calls: Calls) -> None:
    await calls.begin(5)
    await calls.cancel(4)
    await calls.cancel(0)
    assert set(calls.running) == {1, 2}


async def test_a_worker_that_a_call_has_broken_is_not_taken_for_idle(calls: Calls) -> None:
    await calls.begin(2)
    await calls.cancel(0)
    await calls.cancel(1)
    await calls.begin(5)
    assert len(calls.running) == STARTS


async def test_a_call_that_is_given_up_just_as_its_turn_comes_hands_it_on(calls: Calls) -> None:
    await calls.begin(4)
    calls.running[0].set()
    await asyncio.sleep(0)  # call 0 ends: its worker and its start are given to calls 2 and 3
    calls.abandon(2)
    await calls.settle()
    assert set(calls.running) == {1, 3}
    await calls.begin(2)
    assert set(calls.running) == {1, 3, 4}


async def test_long_calls_do_not_keep_others_out() -> None:
    calls = Calls(start_max_s=0.01)
    await calls.begin(STARTS + 1)
    async with asyncio.timeout(10):
        while len(calls.running) == STARTS:
            await asyncio.sleep(0.001)
    calls.stop()
