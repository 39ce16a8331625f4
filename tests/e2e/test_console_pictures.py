"""Pictures of the console, to be looked at: in ``.local/pictures``. With ``PICTURES=1`` that of README as well."""

import asyncio
import math
import os
import random
from typing import Final

import pytest
from playwright.async_api import expect

from localstack.stack import LocalStack
from tests.e2e.browser import ROOT
from tests.e2e.conftest import OpenConsole
from tests.e2e.console import DEADLINE_MS, DESK, PHONE
from tests.integration.client import Client
from tests.integration.conftest import Connect
from tests.integration.http_session import HttpSession

pytestmark = pytest.mark.timeout(1200)  # the first test starts the stack, and all functions

_SCRATCH: Final = ROOT / ".local" / "pictures"
_COMMITTED: Final = ROOT / "docs" / "pictures"
# README's picture is of a console that has something to show.
_PICTURES: Final = "PICTURES" in os.environ
_BUSY_S: Final = 180 if _PICTURES else 2
_USERS: Final = ("ann", "ben", "cleo", "dora", "emil")
_ROOMS: Final = ("room:harbour", "room:tide-pool", "room:lighthouse")
_TALK: Final = (
    "Low water at six.",
    "Then we walk over.",
    "Bring the dog?",
    "Back by nine, or we swim.",
    "The fog lifts.",
)


async def test_a_busy_quarter_of_an_hour(open_console: OpenConsole, stack: LocalStack, connect: Connect) -> None:
    rooms = [[{"channel": room} for room in _ROOMS[: 1 + place % 3]] for place in range(len(_USERS))]
    clients = [await connect(user, subscribe=some) for user, some in zip(_USERS, rooms, strict=True)]
    await _talk(clients)
    phone = await asyncio.to_thread(HttpSession.open, stack.url, user_id="finn", subscribe=rooms[1])
    await asyncio.to_thread(phone.poll, stack.url)
    console = await open_console()
    await console.come_in()
    await console.follow(_ROOMS[0])
    for text in _TALK:
        await clients[0].publish(_ROOMS[0], {"text": text})
    await console.shows_soon(
        console.panel("Channels").get_by_role("button", name=f"{_ROOMS[0]} 7 subscribers").is_visible
    )
    await console.sees(console.events.nth(len(_TALK) - 1))
    await console.is_filled()
    await console.page.evaluate("scrollTo(0, 0)")
    await console.page.screenshot(path=(_COMMITTED if _PICTURES else _SCRATCH) / "console.png")


async def _talk(clients: list[Client]) -> None:
    """Publish as people do: in waves; somebody comes back now and then, and once somebody errs."""
    chance = random.Random(7)
    for second in range(_BUSY_S):
        for _ in range(round(2 + 2 * math.sin(second / 20) + chance.random())):
            await chance.choice(clients).publish(chance.choice(_ROOMS), {"text": chance.choice(_TALK)})
        if second % 40 == 20:
            events = clients[0].events(_ROOMS[0])
            since = {"epoch": events[-1]["epoch"], "offset": events[-1]["offset"] - 1}
            await clients[0].ask("subscribe", channel=_ROOMS[0], since=since)
        if second == 100:
            await clients[1].request({"type": "no-such-type"})
        await asyncio.sleep(1)  # its pace


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_everybody_can_use_it(
    open_console: OpenConsole, connect: Connect, channel: str, size: tuple[int, int], dark: bool
) -> None:
    console = await open_console(size=size, dark=dark)
    name = f"console-{'desk' if size == DESK else 'phone'}-{'dark' if dark else 'light'}"
    _SCRATCH.mkdir(parents=True, exist_ok=True)
    await console.sees(console.page.get_by_role("button", name="Come in as admin"))
    await console.page.screenshot(path=_SCRATCH / f"{name}-way-in.png")
    assert await console.violations() == []
    await console.come_in()
    ann = await connect("ann", subscribe=[{"channel": channel}])
    await console.follow(channel)
    for text in _TALK:
        await ann.publish(channel, {"text": text})
    await expect(console.events).to_have_count(len(_TALK), timeout=DEADLINE_MS)
    await console.shows_soon(
        console.panel("Channels").get_by_role("button", name=f"{channel} 2 subscribers").is_visible
    )
    await console.page.evaluate("scrollTo(0, 0)")
    await console.page.screenshot(path=_SCRATCH / f"{name}.png")
    await console.page.screenshot(path=_SCRATCH / f"{name}-whole.png", full_page=True)
    await console.panel("Messages").get_by_role("button", name="As a table").click()
    await console.panel("Errors").get_by_text("By kind").click()
    assert await console.violations() == []
    assert not await console.overflows()
