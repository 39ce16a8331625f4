"""A browser, windows on the demo page, and rooms that no other test uses."""

import re
import secrets
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest
from playwright.async_api import Browser, expect

from localstack.stack import LocalStack
from tests.e2e.browser import ROOT
from tests.e2e.chat import CONNECTED, Window
from tests.e2e.console import Console
from tests.integration.conftest import admin, api_key, channel, connect, http

__all__ = ["admin", "api_key", "channel", "connect", "http"]  # fixtures, for the tests here too

_WARM_UP_MS: Final = 240_000

OpenWindow = Callable[..., Awaitable[Window]]
OpenConsole = Callable[..., Awaitable[Console]]


@pytest.fixture(scope="session")
def page_url(request: pytest.FixtureRequest) -> str:
    """Where the page is. It is built first: the stack serves the files that it finds when it starts."""
    subprocess.run(["node", "build.js"], cwd=ROOT / "web", check=True)
    stack: LocalStack = request.getfixturevalue("stack")
    return stack.url


@pytest.fixture(scope="session")
async def warm(page_url: str, browser: Browser) -> None:
    """Everything has worked once: functions that start from cold on a busy machine take longer than tests wait."""
    window = await Window.open(browser, page_url)
    await window.visit(f"warm-up-{secrets.token_hex(4)}")
    await window.come_in("Ann")
    await expect(window.page.locator(".state-text")).to_have_text(CONNECTED, timeout=_WARM_UP_MS)
    await window.say("Is this on?")
    await expect(window.message("Is this on?")).not_to_have_class(re.compile("sending"), timeout=_WARM_UP_MS)
    await window.close()


@pytest.fixture
async def open_window(warm: None, page_url: str, browser: Browser) -> AsyncIterator[OpenWindow]:
    """Opens windows; at the end none may have complained, unless it was opened with ``complains=True``."""
    async with AsyncExitStack() as opened:
        windows: list[Window] = []

        async def open_(*, complains: bool = False, **options: Any) -> Window:
            window = await Window.open(browser, page_url, **options)
            opened.push_async_callback(window.close)
            if not complains:
                windows.append(window)
            return window

        yield open_
        assert [window.complaints for window in windows] == [[] for _ in windows]


@pytest.fixture
def room() -> str:
    return f"room-{secrets.token_hex(4)}"


@pytest.fixture
async def open_console(page_url: str, warm_stack: LocalStack, browser: Browser) -> AsyncIterator[OpenConsole]:
    """Opens windows on it; at the end none may have complained."""
    async with AsyncExitStack() as opened:
        consoles: list[Console] = []

        async def open_(**options: Any) -> Console:
            consoles.append(await Console.open(browser, page_url, **options))
            opened.push_async_callback(consoles[-1].close)
            return consoles[-1]

        yield open_
        assert [console.complaints for console in consoles] == [[] for _ in consoles]
