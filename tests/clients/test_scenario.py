"""The runner sees what a client does wrong: here it has one that is as good as it is told to be."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from tests.clients import scenario
from tests.clients.scenario import Arguments, RefusedError, Scenario, matches

PUBLISH = {"client": "ann", "do": "publish", "channel": "room:$r", "data": 1}


class Parrot:
    """Hears what it says itself, so many times; its publishing fails with ``fails``."""

    def __init__(self, times: int = 1, fails: str | None = None, complaints: tuple[str, ...] = ()) -> None:
        self._times, self._fails, self._complaints = times, fails, complaints
        self._events: list[Any] = []
        self._heard = asyncio.Event()

    async def start(self, action: str, arguments: Arguments) -> Awaitable[Any]:
        async def publish() -> None:
            if self._fails:
                raise RefusedError(self._fails)
            self._events += [arguments["data"]] * self._times
            self._heard.set()

        return publish()

    async def see(self, what: str, arguments: Arguments) -> Any:
        self._heard.clear()
        return self._events if what == "events" else None

    async def news(self) -> None:
        await self._heard.wait()

    async def complaints(self) -> list[str]:
        return list(self._complaints)


async def run(parrot: Parrot, *steps: dict[str, Any]) -> None:
    async def open_(user_id: str, token: Arguments) -> Parrot:
        return parrot

    await Scenario("a parrot", list(steps)).run(open_)


def hears(*events: Any) -> dict[str, Any]:
    return {"client": "ann", "sees": "events", "channel": "room:$r", "is": list(events)}


async def test_what_comes_later_is_waited_for() -> None:
    later = PUBLISH | {"later": "one"}
    await run(Parrot(), later, {"client": "ann", "settled": "one"}, hears(1))


async def test_what_never_comes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario, "DEADLINE_S", 0.01)
    with pytest.raises(AssertionError, match=r"not \[1\] within"):
        await run(Parrot(times=0), PUBLISH, hears(1))


async def test_what_comes_twice_is_found_at_the_end() -> None:
    with pytest.raises(AssertionError, match="at the end ann sees events"):
        await run(Parrot(), PUBLISH, hears(1), PUBLISH)


async def test_errors_are_expected_or_not() -> None:
    await run(Parrot(fails="forbidden"), PUBLISH | {"fails": "forbidden"})
    with pytest.raises(AssertionError, match="failed: forbidden"):
        await run(Parrot(fails="forbidden"), PUBLISH)
    with pytest.raises(AssertionError, match="did not fail"):
        await run(Parrot(), PUBLISH | {"fails": "forbidden"})
    with pytest.raises(AssertionError, match="ann"):
        await run(Parrot(complaints=("oh",)), PUBLISH)


@pytest.mark.parametrize(
    "steps",
    [
        [{"client": "ann", "do": "shout", "channel": "room:$r"}],
        [PUBLISH | {"chanel": "room:$r"}],
        [PUBLISH | {"later": "one"}],
        [{"do": "close"}],
    ],
)
def test_what_is_no_scenario_is_refused(steps: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match=r"step|later"):
        Scenario("none", steps)


def test_patterns() -> None:
    assert matches({"a": [1, "$any"]}, {"a": [1, {"b": 2}], "c": 3})
    assert not matches({"a": 1}, {"b": 1})
    assert not matches([1], [1, 1])
    assert not matches(1, True)
