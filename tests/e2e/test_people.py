"""People see each other on the page: who is there and how, who types, and who has read what."""

import pytest
from playwright.async_api import expect

from tests.e2e.chat import PHONE
from tests.e2e.conftest import OpenWindow

pytestmark = pytest.mark.timeout(600)  # the first test starts the stack, and all functions


async def test_two_see_each_other_come_and_go(open_window: OpenWindow, room: str) -> None:
    ann, ben = await open_window(), await open_window()
    await ann.enter("Ann", room)
    await expect(ann.page.get_by_text("You are alone here.")).to_be_visible()
    await expect(ann.page.get_by_text("1 here")).to_be_visible()
    await ben.enter("Ben", room)
    for window, other in ((ann, "Ben"), (ben, "Ann")):
        await expect(window.person(other)).to_contain_text("Online")
        await expect(window.page.get_by_text("2 here")).to_be_visible()
        await expect(window.page.get_by_role("list", name="Others who are here")).to_have_text(
            f"{other[0]}{other}: Online"
        )
    await expect(ann.page.get_by_text("You are alone here.")).to_be_hidden()

    await ben.room("lobby").click()
    await expect(ann.person("Ben")).to_have_count(0)
    await ben.room(room).click()
    await expect(ann.person("Ben")).to_be_visible()

    await ben.close()
    await expect(ann.person("Ben")).to_have_count(0)
    await expect(ann.page.get_by_text("You are alone here.")).to_be_visible()


async def test_a_status_goes_along_into_every_room(open_window: OpenWindow, room: str) -> None:
    ann, ben = await open_window(), await open_window()
    await ann.enter("Ann", room)
    await ben.enter("Ben", room)
    for status in ("Busy", "Away"):
        await ben.be(status)
        await expect(ann.person("Ben")).to_contain_text(status)
        await expect(ben.person("Ben")).to_contain_text(status)
    for window in (ann, ben):
        await window.open_room(f"{room}-too")
    await expect(ann.person("Ben")).to_contain_text("Away")


async def test_who_types_is_seen_to(open_window: OpenWindow, room: str) -> None:
    ann, ben = await open_window(), await open_window()
    await ann.enter("Ann", room)
    await ben.enter("Ben", room)
    await ben.type("I wonder")
    await expect(ann.typing).to_have_text("Ben is typing …")
    await expect(ann.person("Ben")).to_contain_text("Typing …")
    await expect(ben.typing).to_have_text("")  # one knows what one does oneself
    await ben.page.keyboard.press("Enter")
    await ann.shows("I wonder")
    await expect(ann.typing).to_have_text("")


async def test_who_has_read_what_shows_at_the_message(open_window: OpenWindow, room: str) -> None:
    ann, ben = await open_window(), await open_window(size=PHONE)
    await ann.enter("Ann", room)
    await ben.enter("Ben", room)
    await ann.say("First")
    await expect(ann.seen("First")).to_contain_text("Seen by Ben")
    await ben.look_at("Board")  # what is not on the screen is not read
    await ann.say("Second")
    views = ben.page.get_by_role("navigation", name="Views")
    await expect(views.get_by_role("button", name="Chat 1 unread")).to_be_visible()
    await expect(ann.seen("First")).to_contain_text("Seen by Ben")
    await expect(ann.seen("Second")).to_have_count(0)
    await ben.look_at("Chat")
    await expect(ann.seen("Second")).to_contain_text("Seen by Ben")
    await expect(ann.seen("First")).to_have_count(0)
    await expect(views.locator(".badge")).to_have_count(0)


async def test_names_with_markup_and_without_end_stay_text_in_their_place(open_window: OpenWindow, room: str) -> None:
    name = "<b>" + "W" * 37
    ann, ben = await open_window(), await open_window(size=PHONE)
    await ann.enter(name, room)
    await ben.enter("<img src=x onerror=alert(1)>", room)
    await ben.look_at("People")
    await expect(ben.person(name)).to_be_visible()
    await expect(ann.person("<img src=x onerror=alert(1)>")).to_be_visible()
    await expect(ann.page.locator(":is(.bar, .view-people) :is(b, img:not(.brand img))")).to_have_count(0)
    for window in (ann, ben):
        assert await window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
