"""Everybody can use the page: axe finds nothing, and the keyboard reaches everything."""

from typing import Final, Literal

import pytest
from playwright.async_api import expect

from localstack.stack import LocalStack
from tests.e2e.browser import ROOT
from tests.e2e.chat import PHONE, Window, publish
from tests.e2e.conftest import OpenWindow

pytestmark = pytest.mark.timeout(600)  # the first test starts the stack, and all functions

_AXE: Final = ROOT / "node_modules" / "axe-core" / "axe.min.js"
_SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
_VIOLATIONS: Final = """async () => (await axe.run()).violations.map(
    ({ id, nodes }) => [id, ...nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)]
)"""


async def _is_accessible(window: Window) -> None:
    """Light and dark; colours that are still changing count for nothing."""
    for scheme in _SCHEMES:
        await window.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert await window.page.evaluate(_VIOLATIONS) == [], scheme


async def test_axe_finds_nothing_on_a_desk_and_on_a_phone(
    open_window: OpenWindow, room: str, stack: LocalStack
) -> None:
    ann, ben = await open_window(), await open_window(size=PHONE)
    for window, name in ((ann, "Ann"), (ben, "Ben")):
        await window.visit(room)
        await window.page.evaluate(_AXE.read_text())  # as a script of the page it would not be run
        await window.come_in(" ")
        await expect(window.page.get_by_role("alert")).to_have_text("Please give a name.")
        await _is_accessible(window)
        await window.come_in(name)
        await window.has_opened()
        if window is ann:
            await expect(ann.page.get_by_text("You are alone here.")).to_be_visible()
            await _is_accessible(ann)
    publish(stack, room, "Is that easy to read?")
    await ann.say("I can read it")
    await ben.be("Busy")
    await ann.open_room("not a name")
    await ben.type("So can")
    await expect(ann.typing).to_contain_text("Ben")
    await expect(ann.person("Ben")).to_contain_text("Typing")
    await expect(ann.seen("I can read it")).to_be_visible()
    await _is_accessible(ann)
    for view in ("Chat", "Board", "People", "Network"):
        await ben.look_at(view)
        await _is_accessible(ben)


async def test_the_keyboard_alone_is_enough(open_window: OpenWindow, room: str) -> None:
    ann = await open_window()
    await ann.visit(room)
    press = ann.page.keyboard.press
    await expect(ann.page.get_by_label("Your name")).to_be_focused()
    await ann.page.keyboard.type("Ann")
    await press("Enter")
    message = ann.page.get_by_label("Message", exact=True)
    await expect(message).to_be_focused()
    await ann.page.keyboard.type("By hand")
    await press("Enter")
    await ann.shows("By hand")
    await expect(message).to_be_focused()

    await ann.tab_to(ann.room("tide-pool"))
    await press("Enter")
    await expect(ann.page.get_by_role("heading", level=1)).to_have_text("tide-pool")
    await expect(message).to_be_focused()
    await ann.tab_to(ann.room_field)
    await ann.page.keyboard.type(room)
    await press("Enter")
    await ann.shows("By hand")

    await ann.tab_to(ann.page.get_by_label("Your status"))
    await press("ArrowDown")
    await press("ArrowDown")
    await expect(ann.person("Ann")).to_contain_text("Busy")
    for name in ("Put up example cards", "Invite a colleague", "Kill the connection"):
        await ann.tab_to(ann.page.get_by_role("button", name=name))
