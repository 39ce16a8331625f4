"""Several people edit the board of a room at once."""

import asyncio
from typing import Any, Final

import pytest
from playwright.async_api import expect

from localstack.stack import LocalStack
from tests.e2e.board import COLUMNS, Board, write_board
from tests.e2e.conftest import OpenWindow

pytestmark = pytest.mark.timeout(600)  # the first test starts the stack, and all functions

MARKUP: Final = "<img src=x onerror='document.title=1'><b>Hi</b>"


async def _two(open_window: OpenWindow, room: str) -> tuple[Board, Board]:
    ann, ben = await open_window(size=(1280, 800)), await open_window(size=(1280, 800))
    await ann.enter("Ann", room)
    await ben.enter("Ben", room)
    return Board(ann), Board(ben)


async def test_what_two_change_at_once_stays(open_window: OpenWindow, room: str) -> None:
    ann, ben = await _two(open_window, room)
    await ann.fill()
    for board in (ann, ben):
        await board.shows("Done", "Start Tidewire")
        await expect(board.column("To do").locator("[data-card]")).to_have_count(3)
        await expect(board.page.get_by_text("Nothing here yet.")).to_have_count(0)

    # One card's title and its colour; and another card.
    await asyncio.gather(
        ann.rename("Start Tidewire", "Start it twice"),
        ben.choose("Start Tidewire", "Plum"),
    )
    await asyncio.gather(
        ann.choose("Watch cursors go by", "Move to the next column"),
        ben.rename("Watch cursors go by", "See them go"),
    )
    for board in (ann, ben):
        await board.shows("Done", "Start it twice", "See them go")
        await expect(board.card("Start it twice")).to_have_attribute("data-color", "plum")
        await expect(board.note).to_have_text("")


async def test_a_title_is_edited_whatever_others_do_to_the_card_meanwhile(open_window: OpenWindow, room: str) -> None:
    ann, ben = await _two(open_window, room)
    await ann.add("Buy rope")
    await ben.shows("To do", "Buy rope")

    # Moved: what was typed stays, and goes on.
    await ann.card("Buy rope").locator(".board-title").click()
    await ann.page.keyboard.type("Buy lo")
    await ben.choose("Buy rope", "Move to the next column")
    await expect(ann.column("Doing").get_by_label("Title", exact=True)).to_be_focused()
    await ann.page.keyboard.type("ng rope")
    await ann.page.keyboard.press("Enter")
    await ben.shows("Doing", "Buy long rope")

    # Renamed: who has changed nothing takes nothing back.
    await ann.card("Buy long rope").locator(".board-title").click()
    await ben.rename("Buy long rope", "Buy a net")
    await ben.shows("Doing", "Buy a net")
    await ann.add("Go", "Done")  # its field takes the focus
    await ben.shows("Done", "Go")
    for board in (ann, ben):
        await board.shows("Doing", "Buy a net")

    # Deleted: it stays so, and who edits it is told.
    await ann.card("Buy a net").locator(".board-title").click()
    await ann.page.keyboard.type("Buy two")
    await ben.choose("Buy a net", "Delete")
    await expect(ann.note).to_have_text("Somebody has deleted the card that you were editing")
    await expect(ann.page.get_by_role("heading", name="Board")).to_be_focused()
    await ann.add("Stop", "Done")
    await ben.shows("Done", "Go", "Stop")
    await ben.shows("Doing")


async def test_cards_are_added_moved_and_deleted_by_mouse_and_by_keyboard(open_window: OpenWindow, room: str) -> None:
    ann, ben = await _two(open_window, room)
    await ann.add("Buy rope")
    await ann.add("Mend nets")
    await ben.shows("To do", "Buy rope", "Mend nets")

    # By keyboard alone: the button keeps the focus, wherever the card goes.
    await ben.window.tab_to(ben.card("Buy rope").get_by_role("button", name="Options of Buy rope"))
    await ben.page.keyboard.press("Enter")
    await ben.window.tab_to(ben.card("Buy rope").get_by_role("button", name="Move down"))
    await ben.page.keyboard.press("Enter")
    await ann.shows("To do", "Mend nets", "Buy rope")
    await ben.window.tab_to(ben.card("Buy rope").get_by_role("button", name="Move to the next column"))
    for column in ("Doing", "Done"):
        await ben.page.keyboard.press("Enter")
        await expect(ben.page.get_by_text(f"“Buy rope” is in {column} now, 1 of 1.")).to_be_attached()
        await ann.shows(column, "Buy rope")
    await ben.page.keyboard.press("Escape")
    await expect(ben.card("Buy rope").get_by_role("button", name="Delete")).to_have_count(0)

    await ann.drag("Mend nets", ann.column("Doing"))
    await ben.shows("Doing", "Mend nets")
    await ann.drag("Mend nets", ann.card("Buy rope").locator(".board-title"))
    for board in (ann, ben):
        await expect(board.column("Done").locator(".board-title")).to_contain_text(["Mend nets", "Buy rope"])

    await ben.choose("Mend nets", "Delete")
    await expect(ben.page.get_by_role("heading", name="Board")).to_be_focused()
    for board in (ann, ben):
        await board.shows("Done", "Buy rope")
        await board.shows("Doing")


async def test_the_other_s_pointer_is_seen_and_goes(open_window: OpenWindow, room: str) -> None:
    ann, ben = await _two(open_window, room)
    for column in ("To do", "Done"):
        await ben.point_at(ben.column(column))
        pointer, there = ann.cursor("Ben"), await ann.column(column).bounding_box()
        assert there
        # In windows of one size it is in the same place: the tip is the element's upper left corner.
        await pointer.wait_for()
        await ann.page.wait_for_function(
            "([x, y]) => { const { left, top } = document.querySelector('.cursor').getBoundingClientRect();"
            " return Math.abs(left - x) < 3 && Math.abs(top - y) < 3 }",
            arg=[there["x"] + 10, there["y"] + 10],
        )
    await expect(ben.cursor("Ben")).to_have_count(0)
    await ben.page.mouse.move(5, 5)
    await expect(ann.cursor("Ben")).to_have_count(0)


@pytest.mark.parametrize("value", ["cards", {"cards": [1, 2]}, {"cards": {"a": 7, "b": None, "c": [MARKUP]}}])
async def test_what_is_no_board_is_an_empty_one(
    value: object, open_window: OpenWindow, stack: LocalStack, room: str
) -> None:
    write_board(stack, room, value)
    window = await open_window(size=(1280, 800))
    await window.enter("Ann", room)
    board = Board(window)
    await board.add("Begin")
    await board.shows("To do", "Begin")


async def test_what_anybody_wrote_stays_text(open_window: OpenWindow, stack: LocalStack, room: str) -> None:
    hostile: dict[str, Any] = {
        "__proto__": {"title": MARKUP, "column": "nowhere", "order": "x", "color": "red;}", "by": {"a": 1}},
        "wordy": {"title": "x" * 5_000, "column": "doing", "order": 1e300, "by": MARKUP},
        "none": {"column": "done"},
    }
    write_board(stack, room, {"cards": hostile})
    window = await open_window(size=(1280, 800))
    await window.enter("Ann", room)
    board = Board(window)
    await board.shows("To do", MARKUP)
    await board.shows("Doing", "x" * 120)
    await board.shows("Done")
    await expect(window.page).not_to_have_title("1")
    await board.choose(MARKUP, "Move to the next column")
    await board.shows("Doing", "x" * 120, MARKUP)
    for column in COLUMNS:
        await expect(board.column(column)).to_be_visible()
