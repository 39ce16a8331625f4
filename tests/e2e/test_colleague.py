"""The simulated colleague: one person alone sees everything live."""

import pytest
from playwright.async_api import expect

from tests.e2e.board import Board
from tests.e2e.conftest import OpenWindow

pytestmark = pytest.mark.timeout(600)  # the first test starts the stack, and all functions


async def test_one_alone_sees_messages_typing_a_pointer_cards_and_what_was_missed(
    open_window: OpenWindow, room: str
) -> None:
    window = await open_window(size=(1280, 800), complains=True)  # a session that has ended is answered with 410
    await window.enter("Ann", room)
    board = Board(window)
    await window.page.get_by_role("button", name="Invite a colleague").click()
    await expect(window.person("Marina")).to_contain_text("Online")
    await expect(window.typing).to_have_text("Marina is typing …")
    await expect(window.message("Hi Ann!")).to_be_visible()
    await expect(board.cursor("Marina")).to_be_visible()
    await board.shows("Doing", "Say hello to Ann")

    await window.say("Hello Marina")
    await expect(window.message("Hello Ann!")).to_be_visible()
    await expect(window.seen("Hello Marina")).to_contain_text("Marina")

    # She goes on while the network is away, and all of it is there after that.
    network = window.page.get_by_role("switch", name="Network")
    await network.click()
    await expect(window.page.locator(".network-now")).to_contain_text("Offline for 6 s")
    await expect(window.message("Ann? You")).to_have_count(0)
    await network.click()
    await expect(window.message("Ann? You")).to_be_visible()
    await expect(window.page.get_by_role("log", name="What has happened")).to_contain_text("recovered")
    await expect(window.message("There you are!")).to_be_visible()

    # Along into another room, and home.
    await window.open_room(f"{room}-too")
    await expect(window.person("Marina")).to_be_visible()
    await expect(window.message("come along.")).to_be_visible()
    for hurry in (f"{room}-2", f"{room}-3", f"{room}-too"):
        await window.open_room(hurry)
    await expect(window.message("come along.")).to_have_count(2)
    await expect(window.person("Marina")).to_be_visible()
    await window.page.get_by_role("button", name="Send Marina home").click()
    await expect(window.person("Marina")).to_have_count(0)
    assert all("410 (Gone)" in complaint for complaint in window.complaints), window.complaints
