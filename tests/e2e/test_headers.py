"""The pages under their own policy: a browser holds them to it, and finds nothing to hold against them."""

from typing import Any, Final

import pytest
from playwright.async_api import Page, expect

from tests.e2e.board import Board
from tests.e2e.chat import Window
from tests.e2e.conftest import OpenConsole, OpenWindow
from tests.e2e.network_panel import Panel
from tests.integration.checks import eventually

pytestmark = pytest.mark.timeout(600)  # the first test starts the stack, and all functions

# Browsers tell the page, whatever becomes of it: www.w3.org/TR/CSP3, section 5.
_LISTEN: Final = """
window.violations = [];
addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) =>
    window.violations.push([effectiveDirective, blockedURI]));
"""
# No script of a page's own host, no style of an attribute, no host that is not the stage's.
_BAD: Final = """() => {
    const script = document.createElement("script");
    script.textContent = "window.ran = true";
    document.head.append(script);
    document.body.insertAdjacentHTML("beforeend", "<p style='color: red'>x</p>");
    return fetch("https://elsewhere.example/").catch(() => undefined);
}"""


async def _violations(page: Page) -> list[Any]:
    found: list[Any] = await page.evaluate("window.violations")
    return found


async def test_the_demo_works_by_every_way_within_its_policy(open_window: OpenWindow, room: str) -> None:
    # Ann complains: a session that has ended is answered with 410.
    ann, ben = await open_window(complains=True), await open_window()
    await ann.page.add_init_script(_LISTEN)
    await ann.enter("Ann", room)
    await ben.enter("Ben", room)
    panel, board = Panel(ann), Board(ann)
    await expect(panel.way).to_have_text("WebSocket")
    await board.fill()
    await board.rename("Start Tidewire", "Look at the policy")
    for way in ("SSE", "HTTP stream", "Long polling", "WebSocket"):
        await panel.force(way)
        await expect(panel.way).to_have_text(way)
        await ann.say(f"By {way}")
        await expect(ben.message(f"By {way}")).to_have_count(1)
        await ben.say(f"Heard by {way}")
        await expect(ann.message(f"Heard by {way}")).to_have_count(1)
    await board.drag("Look at the policy", board.column("To do"))  # last: clicks are ignored for 50 ms after a drag
    assert await _violations(ann.page) == []
    assert not [complaint for complaint in ann.complaints if "410 (Gone)" not in complaint]


async def test_the_console_works_within_its_policy(open_console: OpenConsole) -> None:
    console = await open_console()
    await console.page.add_init_script(_LISTEN)
    await console.page.reload()
    await console.come_in()
    await expect(console.page.locator("canvas").first).to_be_visible()
    await console.is_filled()
    assert await _violations(console.page) == []


async def test_what_is_not_the_pages_own_is_not_run(open_window: OpenWindow, room: str) -> None:
    ann: Window = await open_window(complains=True)
    await ann.page.add_init_script(_LISTEN)
    await ann.visit(room)
    await ann.page.evaluate(_BAD)
    assert await ann.page.evaluate("window.ran") is None
    assert {directive for directive, _ in await _violations(ann.page)} == {
        "script-src-elem",
        "style-src-attr",
        "connect-src",
    }


@pytest.mark.parametrize("path", ["/", "/console"])
async def test_no_other_page_has_them_in_a_frame(page_url: str, open_window: OpenWindow, path: str) -> None:
    ann = await open_window(complains=True)
    await ann.page.set_content(f"<iframe src='{page_url}{path}'></iframe>")
    await eventually(lambda: [text for text in ann.complaints if "frame-ancestors 'none'" in text])
    assert "Tidewire" not in await ann.page.frames[1].content()
