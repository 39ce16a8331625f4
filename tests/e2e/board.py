"""The board of a room as somebody uses it."""

from typing import Any, Final

import httpx
from playwright.async_api import Locator, expect

from localstack.stack import LocalStack
from tests.e2e.chat import DEADLINE_MS, Window

COLUMNS: Final = ("To do", "Doing", "Done")


class Board:
    """What is on the board in a window."""

    def __init__(self, window: Window) -> None:
        self.window, self.page = window, window.page

    # doing

    async def fill(self) -> None:
        """Put up the example cards."""
        await self.page.get_by_role("button", name="Put up example cards").click()

    async def add(self, title: str, column: str = "To do") -> None:
        await self.page.get_by_label(f"Add a card to {column}").fill(title)
        await self.page.keyboard.press("Enter")

    async def rename(self, title: str, to: str) -> None:
        await self.card(title).locator(".board-title").click()
        await self.page.get_by_label("Title", exact=True).fill(to)
        await self.page.keyboard.press("Enter")

    async def choose(self, title: str, option: str) -> None:
        """One of a card's options."""
        card = self.card(title)
        options = card.get_by_role("button", name="Options of")
        if await options.get_attribute("aria-expanded") == "false":
            await options.click()
        await card.get_by_role("button", name=option, exact=True).click()

    async def drag(self, title: str, to: Locator) -> None:
        """By mouse, into the middle of what is given."""
        start, end = await self.card(title).bounding_box(), await to.bounding_box()
        assert start and end
        mouse = self.page.mouse
        await mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
        await mouse.down()
        await mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=10)
        await mouse.up()

    async def point_at(self, where: Locator) -> None:
        await where.hover(position={"x": 10, "y": 10})

    # seeing

    def column(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name, exact=True)

    def card(self, title: str) -> Locator:
        return self.page.locator("[data-card]").filter(
            has=self.page.locator(".board-title").get_by_text(title, exact=True)
        )

    def cursor(self, name: str) -> Locator:
        return self.page.locator(".cursor", has_text=name)

    @property
    def note(self) -> Locator:
        return self.page.locator(".board-note")

    async def shows(self, column: str, *titles: str) -> None:
        """Wait until exactly these cards are in the column, in this order, and all is saved."""
        await expect(self.column(column).locator(".board-title")).to_have_text(list(titles))
        await expect(self.page.locator(".board-saving")).to_have_count(0)


def write_board(stack: LocalStack, room: str, value: object) -> None:
    """Write a board without a window: whatever it is."""
    headers: dict[str, Any] = {}
    with httpx.Client(base_url=stack.url, timeout=DEADLINE_MS / 1000) as http:
        token = http.post("/v1/dev/token", json={"user_id": "mallory"}).raise_for_status().json()["token"]
        headers["Authorization"] = f"Bearer {token}"
        http.put(f"/v1/channels/room:{room}/state/board", json=value, headers=headers).raise_for_status()
