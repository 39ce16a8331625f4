"""People talk on the page."""

import asyncio
import re

import pytest
from playwright.async_api import expect

from localstack.stack import LocalStack
from tests.e2e.chat import CONNECTED, Window, publish
from tests.e2e.conftest import OpenWindow

pytestmark = pytest.mark.timeout(600)  # the first test starts the stack, and all functions


async def test_two_windows_see_both_messages_in_order_and_with_names(open_window: OpenWindow, room: str) -> None:
    ann, ben = await open_window(), await open_window()
    await ann.enter("Ann", room)
    await ben.enter("Ben", room)
    await ann.say("Hello, Ben")
    await ben.shows("Hello, Ben")
    await ben.say("Hello yourself")
    for window, authors in ((ann, ["You", "Ben"]), (ben, ["Ann", "You"])):
        await window.shows("Hello, Ben", "Hello yourself")
        assert await window.authors() == authors


async def test_whoever_enters_later_sees_what_was_said(open_window: OpenWindow, room: str) -> None:
    ann = await open_window()
    await ann.enter("Ann", room)
    said = ["One", "Two", "Three"]
    for text in said:
        await ann.say(text)
    await ann.shows(*said)
    cleo = await open_window()
    await cleo.enter("Cleo", room)
    await cleo.shows(*said)
    assert await cleo.authors() == ["Ann"]


async def test_windows_that_talk_at_once_agree_on_the_order(open_window: OpenWindow, room: str) -> None:
    windows = [await open_window(), await open_window()]
    await windows[0].enter("Ann", room)
    await windows[1].enter("Ben", room)

    async def talk(index: int) -> None:
        for number in range(10):
            await windows[index].say(f"{'AB'[index]}{number}")

    await asyncio.gather(talk(0), talk(1))
    for window in windows:
        await expect(window.page.locator(".message:not(.sending)")).to_have_count(20)
    orders = [await window.texts() for window in windows]
    assert orders[0] == orders[1]
    for who in "AB":  # nobody's own words are swapped
        assert [text for text in orders[0] if text.startswith(who)] == [f"{who}{number}" for number in range(10)]


async def test_a_reload_keeps_the_name_the_room_and_who_said_what(open_window: OpenWindow, room: str) -> None:
    ann = await open_window()
    await ann.enter("Ann", room)
    await ann.say("I will be back")
    await ann.shows("I will be back")
    await ann.page.reload()
    await expect(ann.page.get_by_label("Your name")).to_have_value("Ann")
    await ann.page.keyboard.press("Enter")
    await ann.shows("I will be back")
    assert await ann.authors() == ["You"]
    await expect(ann.page.get_by_role("heading", level=1)).to_have_text(room)


async def test_a_copy_of_a_window_is_another_person(open_window: OpenWindow, room: str, page_url: str) -> None:
    ann = await open_window()
    await ann.enter("Ann", room)
    async with ann.page.context.expect_page() as opened:
        await ann.page.evaluate("open(location.href)")  # storage and all, as when a tab is duplicated
    ben = Window(await opened.value, page_url)
    await ben.come_in("Ben")
    await expect(ann.person("Ben")).to_be_visible()
    await ben.say("Not Ann")
    await ann.shows("Not Ann")
    assert await ann.authors() == ["Ben"]
    assert ben.complaints == []


async def test_markup_stays_text(open_window: OpenWindow, room: str, stack: LocalStack) -> None:
    texts = ["<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "&lt;b&gt; & <b>bold</b>"]
    ann = await open_window()
    await ann.enter("Ann", room)
    publish(stack, room, *texts, author="<i>Cleo</i>")
    await ann.shows(*texts)
    assert await ann.authors() == ["<i>Cleo</i>"]
    await expect(ann.page.locator(".messages :is(img, script, b, i)")).to_have_count(0)


async def test_lines_and_long_words_stay_within_the_window(open_window: OpenWindow, room: str) -> None:
    ann = await open_window(size=(360, 640))
    await ann.enter("Ann", room)
    await ann.say("first line\nsecond line")
    await ann.say("w" * 300)
    await ann.shows("first line\nsecond line", "w" * 300)
    assert await ann.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await ann.page.evaluate(
        "(list => list.scrollWidth <= list.clientWidth)(document.querySelector('.messages'))"
    )


async def test_a_bad_room_name_is_told_at_the_field(open_window: OpenWindow, room: str) -> None:
    problems = {
        "no spaces": "Use letters",
        "café": "Use letters",
        "": "Give the room a name",
        "r" * 196: "at most 195",
    }
    ann = await open_window()
    await ann.enter("Ann", room)
    for name, problem in problems.items():
        await ann.open_room(name)
        await expect(ann.room_field).to_have_attribute("aria-invalid", "true")
        await expect(ann.room_field).to_have_accessible_description(re.compile(problem))
        await expect(ann.room_field).to_be_focused()
        await ann.room_field.fill("good")
        await expect(ann.room_field).to_have_attribute("aria-invalid", "false")
    await expect(ann.page.get_by_role("heading", level=1)).to_have_text(room)


async def test_a_name_must_be_given(open_window: OpenWindow, room: str) -> None:
    nobody = await open_window()
    await nobody.visit(room)
    await nobody.come_in("   ")
    await expect(nobody.page.get_by_role("alert")).to_have_text("Please give a name.")


async def test_a_long_name_of_any_letters_is_a_name(open_window: OpenWindow, room: str) -> None:
    somebody, other = await open_window(), await open_window()
    await somebody.enter("潮" * 40, room)
    await other.enter("Ben", room)
    await somebody.say("こんにちは")
    await other.shows("こんにちは")
    assert await other.authors() == ["潮" * 40]


async def test_news_in_another_room_is_counted_until_it_is_read_and_what_was_begun_here_waits_here(
    open_window: OpenWindow, room: str, stack: LocalStack
) -> None:
    ann = await open_window()
    await ann.enter("Ann", room)
    other = f"{room}-too"
    await ann.open_room(other)
    await ann.has_opened()
    await ann.room(other).click()
    await ann.room(room).first.click()
    publish(stack, other, "Over here", "Anybody?")
    await expect(ann.room(other).locator(".badge")).to_have_text("2 unread")
    await expect(ann.page).to_have_title(f"(2) {room} · Tidewire")
    await ann.type("Not for ")
    await ann.room(other).click()
    await ann.shows("Over here", "Anybody?")
    await expect(ann.field).to_have_value("")
    await expect(ann.room(other).locator(".badge")).to_have_count(0)
    await expect(ann.page).to_have_title(f"{other} · Tidewire")
    await ann.room(room).first.click()
    await expect(ann.field).to_have_value("Not for ")


async def test_the_address_names_the_room(open_window: OpenWindow, room: str) -> None:
    ann = await open_window()
    await ann.visit("100%")  # no encoding of anything
    await ann.come_in("Ann")
    await ann.is_in_state(CONNECTED)
    await expect(ann.page.get_by_role("heading", level=1)).to_have_text("lobby")
    await ann.page.evaluate("room => { location.hash = room }", room)
    await expect(ann.page.get_by_role("heading", level=1)).to_have_text(room)


async def test_whoever_reads_further_up_is_told_of_news_and_not_moved(
    open_window: OpenWindow, room: str, stack: LocalStack
) -> None:
    publish(stack, room, *(f"Line {number}" for number in range(30)))
    ann = await open_window(size=(600, 480))
    await ann.enter("Ann", room)
    await expect(ann.message("Line 29")).to_be_in_viewport()
    await ann.page.locator(".messages").evaluate("list => { list.scrollTop = 0 }")
    publish(stack, room, "News")
    await expect(ann.page.get_by_role("button", name="New messages")).to_be_visible()
    await expect(ann.message("Line 0")).to_be_in_viewport()
    await ann.page.get_by_role("button", name="New messages").click()
    await expect(ann.message("News")).to_be_in_viewport()
    await expect(ann.page.get_by_role("button", name="New messages")).to_be_hidden()
