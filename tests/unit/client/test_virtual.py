"""The tests' clock: what waits long ends at once, in its order; what is left running shows."""

import asyncio
import time

import pytest

from tests.unit.client.virtual import virtual_time


@pytest.mark.parametrize("hours", [1, 100])
@virtual_time
async def test_hours_pass_at_once(hours: int) -> None:
    loop, began_s, wall_s = asyncio.get_running_loop(), asyncio.get_running_loop().time(), time.monotonic()
    await asyncio.gather(asyncio.sleep(1800), asyncio.sleep(3600 * hours))
    assert loop.time() - began_s == pytest.approx(3600 * hours)
    assert time.monotonic() - wall_s < 60


def test_what_is_left_running_is_told() -> None:
    @virtual_time
    async def forgets() -> None:
        left = [asyncio.ensure_future(asyncio.sleep(10))]
        assert not left[0].done()

    with pytest.raises(AssertionError, match="left running"):
        forgets()


def test_what_would_wait_for_ever_fails() -> None:
    @virtual_time
    async def waits() -> None:
        await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="nothing will ever come"):
        waits()


def test_an_error_that_nobody_looks_at_is_told() -> None:
    @virtual_time
    async def forgets() -> None:
        asyncio.get_running_loop().create_future().set_exception(ValueError("unseen"))

    with pytest.raises(AssertionError, match="unseen"):
        forgets()


def test_what_a_callback_of_the_loop_raises_is_told() -> None:
    def fails() -> None:
        raise ValueError("raised")

    @virtual_time
    async def calls() -> None:
        asyncio.get_running_loop().call_soon(fails)

    with pytest.raises(AssertionError, match="raised"):
        calls()
