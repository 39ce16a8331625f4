"""The network panel as somebody uses it."""

from playwright.async_api import Locator

from tests.e2e.chat import Window


class Panel:
    """The network panel in a window."""

    def __init__(self, window: Window) -> None:
        self.page = window.page

    async def switch(self) -> None:
        """Take the network away, or give it back."""
        await self.page.get_by_role("switch", name="Network").click()

    async def force(self, way: str) -> None:
        await self.page.get_by_role("radio", name=way, exact=True).check()

    async def kill(self) -> None:
        await self.page.get_by_role("button", name="Kill the connection").click()

    @property
    def way(self) -> Locator:
        return self.page.locator(".network-way")

    @property
    def now(self) -> Locator:
        return self.page.locator(".network-now")

    @property
    def last(self) -> Locator:
        """What has happened last."""
        return self.page.get_by_role("log", name="What has happened").locator("p").last

    def figure(self, name: str) -> Locator:
        return self.page.locator(".network dl div", has_text=name).locator("dd")
