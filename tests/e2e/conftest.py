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
_SOURCES: Final = ("web/src", "web/public", "clients/js/src")

OpenWindow = Callable[..., Awaitable[Window]]
OpenConsole = Callable[..., Awaitable[Console]]


@pytest.fixture(scope="session")
def page_url(request: pytest.FixtureRequest) -> str:
    """Where the page is. It is built first: the stack serves the files that it finds when it starts.

    Not if it is built already: ``make test`` did that, and runs tests beside these that deploy it, and a build begins
    by removing it.
    """
    if not _is_built():
        subprocess.run(["node", "build.js"], cwd=ROOT / "web", check=True)
    stack: LocalStack = request.getfixturevalue("stack")
    return stack.url


def _is_built() -> bool:
    built = ROOT / "web/dist/demo/main.js"
    sources = [ROOT / "web/build.js", *(file for folder in _SOURCES for file in (ROOT / folder).rglob("*"))]
    return built.exists() and built.stat().st_mtime > max(file.stat().st_mtime for file in sources)


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
