"""The console as an admin uses it: one object a window. Waits by what is to be seen, never by time."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Request, expect

from tests.e2e.browser import ROOT
from tests.integration.checks import eventually

# Metrics are on their way for seconds, and the server answers with the same for ten.
DEADLINE_MS: Final = 60_000
DESK: Final = (1280, 800)
PHONE: Final = (390, 780)
_AXE: Final = ROOT / "node_modules" / "axe-core" / "axe.min.js"
_REFUSED: Final = "Failed to load resource"  # the browser's own words for each answer that is no success
_ROUND_TRIP: Final = "fetch('/healthz').then((answer) => answer.text())"


class Console:
    """A window on it.

    Attributes:
        asked: The paths that were asked for.
        complaints: Errors in the browser's console, and exceptions that nobody caught.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self._waiting: set[Request] = set()
        page.on("request", lambda request: self._waiting.add(request))
        page.on("requestfinished", lambda request: self._waiting.discard(request))
        page.on("requestfailed", lambda request: self._waiting.discard(request))
        page.on("request", lambda request: self.asked.append(request.url.partition("/v1/")[2]))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)

    @classmethod
    async def open(cls, browser: Browser, url: str, *, dark: bool = False, size: tuple[int, int] = DESK) -> "Console":
        """Open it, outside."""
        context = await browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            device_scale_factor=2,
            locale="en-GB",
            timezone_id="Europe/London",
        )
        context.set_default_timeout(DEADLINE_MS)
        console = cls(await context.new_page())
        await console.page.goto(f"{url}/console")
        return console

    async def close(self) -> None:
        await self.page.context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error" and _REFUSED not in message.text:
            self.complaints.append(message.text)

    # the way in

    @property
    def secret(self) -> Locator:
        return self.page.get_by_label("Token or API key")

    @property
    def reason(self) -> Locator:
        return self.page.locator("#secret-error")

    async def try_with(self, secret: str) -> None:
        """Paste this and ask to come in; return at once."""
        await self.secret.fill(secret)
        await self.page.get_by_role("button", name="Come in", exact=True).click()

    async def come_in(self) -> None:
        """As the local stage offers it."""
        await self.page.get_by_role("button", name="Come in as admin").click()
        await self.is_inside()

    async def is_inside(self) -> None:
        await expect(self.page.get_by_role("button", name="Leave")).to_be_visible(timeout=DEADLINE_MS)

    async def is_outside(self) -> None:
        """Nothing of the console is there."""
        await expect(self.secret).to_be_visible(timeout=DEADLINE_MS)
        await expect(self.page.locator("#console > *")).to_have_count(1)
        await expect(self.page.get_by_role("region")).to_have_count(0)

    # seeing

    def panel(self, title: str) -> Locator:
        return self.page.get_by_role("region", name=title, exact=True)

    def figure(self, panel: str, label: str) -> Locator:
        named = self.page.get_by_text(label, exact=True)
        return self.panel(panel).locator("dl > div").filter(has=named).get_by_role("definition").first

    async def total(self, panel: str, label: str) -> int:
        """A count that is shown."""
        await expect(self.panel(panel)).to_have_attribute("aria-busy", "false", timeout=DEADLINE_MS)
        return int((await self.figure(panel, label).inner_text()).replace(",", ""))

    async def shows(self, panel: str, label: str, value: int | str) -> None:
        text = value if isinstance(value, str) else f"{value:,}"
        await expect(self.figure(panel, label)).to_have_text(text, timeout=DEADLINE_MS)

    async def is_filled(self) -> None:
        """All that is asked for has been answered."""
        await expect(self.page.locator("[aria-busy=true]")).to_have_count(0, timeout=DEADLINE_MS)

    async def is_refreshed(self) -> None:
        await expect(self.page.locator(".updated")).to_have_text(re.compile("updated [012] s ago"), timeout=DEADLINE_MS)

    async def sees(self, locator: Locator) -> None:
        await expect(locator).to_be_visible(timeout=DEADLINE_MS)

    async def violations(self) -> list[str]:
        """What axe finds."""
        await self.page.evaluate(_AXE.read_text())
        found: dict[str, Any] = await self.page.evaluate("axe.run()")
        return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found["violations"]]

    async def overflows(self) -> bool:
        """Tell whether the page is wider than its window."""
        wider: bool = await self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        return wider

    # doing

    async def hide(self, *, hidden: bool) -> None:
        """As a browser does when another tab is looked at."""
        await self.page.evaluate(
            "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
            " document.dispatchEvent(new Event('visibilitychange')); }",
            hidden,
        )

    async def asked_within(self, duration_ms: int) -> set[str]:
        """Return what is asked for as this time goes by, on a clock that was installed; all was answered before."""
        self.asked.clear()
        await self.page.clock.fast_forward(duration_ms)
        await self.page.evaluate(_ROUND_TRIP)  # behind all that was sent
        await eventually(lambda: not self._waiting)
        await self.page.evaluate(_ROUND_TRIP)  # what was answered has been taken
        return set(filter(None, self.asked))

    async def refresh(self) -> None:
        """Ask for all of it now; return when it is answered."""
        async with self.page.expect_response("**/v1/connections*"), self.page.expect_response("**/v1/metrics*"):
            await self.page.get_by_role("button", name="Refresh").click()
        await self.page.evaluate(_ROUND_TRIP)  # what was answered has been taken

    async def shows_soon(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Refresh until what is shown is as it should be: the console asks by itself but once in ten seconds."""
        async with asyncio.timeout(DEADLINE_MS / 1000):
            while not await condition():
                await self.refresh()

    async def follow(self, channel: str) -> None:
        """Tail a channel; return when it is live."""
        tail = self.panel("Tail")
        await tail.get_by_label("Channel to follow").fill(channel)
        await tail.get_by_role("button", name="Follow").click()
        await self.sees(tail.get_by_text("Live"))

    @property
    def events(self) -> Locator:
        return self.panel("Tail").get_by_role("listitem")

    async def publish(self, data: str, *, channel: str | None = None, ephemeral: bool = False) -> None:
        """Fill the form and send it; return at once."""
        form = self.panel("Publish")
        if channel is not None:
            await form.get_by_label("Channel").fill(channel)
        await form.get_by_label("Data, as JSON").fill(data)
        await form.get_by_label("Ephemeral").set_checked(ephemeral)
        await form.get_by_role("button", name="Publish").click()
