"""The demo page as somebody uses it: one object a window. Waits by what is to be seen, never by time."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Final

import httpx
from playwright.async_api import Browser, ConsoleMessage, Error, Locator, Page, Route, expect

from localstack.stack import LocalStack

# What is waited for comes within milliseconds; cold functions on a busy machine take their time.
DEADLINE_MS: Final = 60_000
expect.set_options(timeout=DEADLINE_MS)

DESK: Final = (1280, 800)
PHONE: Final = (390, 780)

CONNECTED: Final = "Connected"
RECONNECTING: Final = "Reconnecting …"
TABS_MAX: Final = 60


class Window:
    """One person's window: storage and sockets of its own.

    Attributes:
        complaints: Errors in the browser's console, and exceptions that nobody caught.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page, self._url = page, url
        self.complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", self._threw)

    @classmethod
    async def open(
        cls,
        browser: Browser,
        url: str,
        *,
        dark: bool = False,
        size: tuple[int, int] = DESK,
        pixels_per_point: float = 1,
    ) -> "Window":
        """Open an empty window."""
        context = await browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            device_scale_factor=pixels_per_point,
            locale="en-GB",
            timezone_id="Europe/London",
        )
        context.set_default_timeout(DEADLINE_MS)
        return cls(await context.new_page(), url)

    async def close(self) -> None:
        await self.page.context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def _threw(self, error: Error) -> None:
        self.complaints.append(str(error))

    # doing

    async def visit(self, room: str) -> None:
        """Load the page with a room's address."""
        await self.page.goto(f"{self._url}/#{room}")

    async def come_in(self, name: str) -> None:
        """Enter; return at once."""
        await self.page.get_by_label("Your name").fill(name)
        await self.page.get_by_role("button", name="Come in").click()

    async def enter(self, name: str, room: str) -> None:
        """Load the page, enter, and wait until the room is open."""
        await self.visit(room)
        await self.come_in(name)
        await self.has_opened()

    async def say(self, text: str) -> None:
        """Write and send; return at once."""
        await self.field.fill(text)
        await self.page.keyboard.press("Enter")

    async def type(self, text: str) -> None:
        """Write, and do not send."""
        await self.field.press_sequentially(text)

    async def be(self, status: str) -> None:
        """Choose a status."""
        await self.page.get_by_label("Your status").select_option(label=status)

    async def look_at(self, view: str) -> None:
        """Choose what is shown; on a phone."""
        await self.page.get_by_role("navigation", name="Views").get_by_role("button", name=view).click()

    async def tab_to(self, wanted: Locator) -> None:
        """Press Tab until it has the focus."""
        for _ in range(TABS_MAX):
            if await wanted.evaluate("element => element === document.activeElement"):
                return
            await self.page.keyboard.press("Tab")
        raise AssertionError(f"{wanted} is out of the keyboard's reach")

    async def open_room(self, name: str) -> None:
        await self.room_field.fill(name)
        await self.page.get_by_role("button", name="Open the room").click()

    @contextlib.asynccontextmanager
    async def kept_away(self) -> AsyncIterator[None]:
        """Inside, it gets no token: once its connection ends, it has none until the end of this."""
        over = asyncio.Event()

        async def wait(route: Route) -> None:
            await over.wait()
            with contextlib.suppress(Error):  # the page may have given up on this one
                await route.continue_()

        await self.page.route("**/v1/demo/token", wait)
        yield
        over.set()
        await self.page.unroute_all(behavior="wait")

    # seeing

    @property
    def room_field(self) -> Locator:
        return self.page.get_by_label("Open a room")

    @property
    def field(self) -> Locator:
        """Where messages are written."""
        return self.page.get_by_label("Message", exact=True)

    @property
    def notice(self) -> Locator:
        return self.page.locator(".notice")

    def room(self, name: str) -> Locator:
        """The entry of a room in the list."""
        return self.page.locator(".rooms li button", has_text=name)

    def message(self, text: str) -> Locator:
        return self.page.locator(".message", has_text=text)

    def person(self, name: str) -> Locator:
        """The entry of somebody in the list of people; how they are is in it."""
        return self.page.locator(".view-people li", has_text=name)

    @property
    def typing(self) -> Locator:
        return self.page.locator(".typing")

    def seen(self, text: str) -> Locator:
        """Who has read up to the message with that text."""
        return self.message(text).locator(".seen")

    async def has_opened(self) -> None:
        await self.is_in_state(CONNECTED)
        await expect(self.page.locator(".empty", has_text="Opening")).to_have_count(0)

    async def is_in_state(self, text: str) -> None:
        await expect(self.page.locator(".state-text")).to_have_text(text)

    async def shows(self, *texts: str) -> None:
        """Wait until exactly these messages are there, in this order, all known to the server."""
        await expect(self.page.locator(".message .text")).to_have_text([re.compile(f"^{re.escape(t)}$") for t in texts])
        await expect(self.page.locator(".message.sending")).to_have_count(0)

    async def texts(self) -> list[str]:
        return await self.page.locator(".message .text").all_text_contents()

    async def authors(self) -> list[str]:
        """Who spoke, in order; whoever goes on speaking is named once."""
        return await self.page.locator(".message .author").all_text_contents()


def publish(stack: LocalStack, room: str, *texts: str, author: str = "Cleo") -> None:
    """Say something without a window: by HTTP."""
    with httpx.Client(base_url=stack.url, timeout=DEADLINE_MS / 1000) as http:
        token = http.post("/v1/dev/token", json={"user_id": author}).raise_for_status().json()["token"]
        for text in texts:
            body = {"channel": f"room:{room}", "name": "said", "data": {"text": text, "author": author}}
            http.post("/v1/publish", json=body, headers={"Authorization": f"Bearer {token}"}).raise_for_status()


def cut_sockets(stack: LocalStack) -> None:
    """Close every connection, as API Gateway does when it pleases."""

    def cut() -> None:
        for connection in list(stack.edge.gateway.connections.values()):
            connection.socket.close(1001, "Going away")

    stack.edge.call(cut)
