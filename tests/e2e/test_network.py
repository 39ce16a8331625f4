"""The network panel: what happens to the connection, and that nothing is lost by it."""

import asyncio
import re
from typing import Final

import pytest
from playwright.async_api import expect

from localstack.stack import LocalStack
from tests.e2e.board import Board
from tests.e2e.chat import Window, publish
from tests.e2e.conftest import OpenWindow
from tests.e2e.network_panel import Panel

pytestmark = pytest.mark.timeout(600)  # the first test starts the stack, and all functions

WAYS: Final = ("SSE", "HTTP stream", "Long polling", "Short polling", "WebSocket")


async def _two(open_window: OpenWindow, room: str) -> tuple[Window, Window]:
    # Hers complains: a session that has ended is answered with 410.
    ann, ben = await open_window(size=(1280, 800), complains=True), await open_window()
    await ann.enter("Ann", room)
    await ben.enter("Ben", room)
    return ann, ben


def _only_lost_sessions(window: Window) -> bool:
    return all("410 (Gone)" in complaint for complaint in window.complaints)


async def test_what_is_done_without_a_network_is_sent_once_and_what_was_missed_comes(
    open_window: OpenWindow, room: str, stack: LocalStack
) -> None:
    ann, ben = await _two(open_window, room)
    panel, board = Panel(ann), Board(ann)
    await ann.open_room(f"{room}-2")
    await ann.has_opened()
    await ann.room(room).first.click()
    await expect(panel.way).to_have_text("WebSocket")
    await expect(ann.page.locator(".network-ping")).to_contain_text(re.compile(r"\d ms"))

    await panel.switch()
    await expect(panel.way).to_have_text("No network")
    await ann.say("from the tunnel")
    await ann.say("still in it")
    await board.add("Find the way out")
    await expect(board.column("To do").locator(".board-saving")).to_have_count(1)
    await expect(panel.figure("Waiting")).to_have_text("3")
    await expect(panel.now).to_have_text(re.compile(r"^Offline for \d+ s · 3 waiting$"))

    for text in ("one", "two", "three"):
        await ben.say(text)
    await ben.shows("one", "two", "three")
    await expect(ann.message("three")).to_have_count(0)
    await asyncio.to_thread(publish, stack, f"{room}-2", "elsewhere")

    await panel.switch()
    await expect(panel.last).to_have_text(
        re.compile(r"^Back by (WebSocket|SSE) after [\d.]+ s · 3 sent · 4 recovered$")
    )
    for name, figure in (("Waiting", "0"), ("Recovered", "4"), ("Reconnects", "1")):
        await expect(panel.figure(name)).to_have_text(figure)
    for window in (ann, ben):
        await window.shows("one", "two", "three", "from the tunnel", "still in it")
        await Board(window).shows("To do", "Find the way out")
    assert _only_lost_sessions(ann), ann.complaints


async def test_every_way_can_be_forced_and_carries_both_directions(open_window: OpenWindow, room: str) -> None:
    ann, ben = await _two(open_window, room)
    panel = Panel(ann)
    said: list[str] = []
    for way in WAYS:
        await panel.force(way)
        await expect(panel.way).to_have_text(way)
        await ann.say(f"mine by {way}")
        await expect(ben.message(f"mine by {way}")).to_be_visible()
        await ben.say(f"yours by {way}")
        await expect(ann.message(f"yours by {way}")).to_be_visible()
        said += [f"mine by {way}", f"yours by {way}"]
    await panel.force("Short polling")
    await expect(panel.way).to_have_text("Short polling")
    await panel.force("Best")
    await expect(panel.way).to_have_text("WebSocket")
    for window in (ann, ben):
        await window.shows(*said)
    assert _only_lost_sessions(ann), ann.complaints


async def test_a_killed_connection_comes_back(open_window: OpenWindow, room: str) -> None:
    ann, ben = await _two(open_window, room)
    panel = Panel(ann)
    await expect(panel.way).to_have_text("WebSocket")
    await panel.kill()
    await expect(panel.figure("Reconnects")).to_have_text("1")
    await expect(panel.last).to_have_text(re.compile(r"^Back by .+ after [\d.]+ s"))
    await ben.say("Are you there?")
    await ann.shows("Are you there?")
    await ann.say("I am")
    await ben.shows("Are you there?", "I am")
    assert _only_lost_sessions(ann), ann.complaints
