"""Pictures of the page, to be looked at: in ``.local/pictures``; with ``PICTURES=1`` the one that README shows, too."""

import os
from pathlib import Path
from typing import Final

import pytest

from localstack.stack import LocalStack
from tests.e2e.browser import ROOT
from tests.e2e.chat import Window, publish
from tests.e2e.conftest import OpenWindow

pytestmark = pytest.mark.timeout(600)  # the first test starts the stack, and all functions

_SCRATCH: Final = ROOT / ".local" / "pictures"
_COMMITTED: Final = ROOT / "docs" / "pictures"
# Whether Ann says it, and what.
_TALK: Final = (
    (False, "Is anybody here yet?"),
    (False, "I have opened two windows and feel a little silly."),
    (True, "You are not alone. I came by way of API Gateway."),
    (False, "Through SQS and EventBridge, then?"),
    (True, "All the way down to DynamoDB, and back in well under a second."),
    (True, "I closed the laptop on the train, by the way. Nothing is missing:\nit picked up where it had stopped."),
    (False, "And nothing twice. I counted."),
)


async def _talk(open_window: OpenWindow, room: str) -> tuple[Window, Window]:
    ann, ben = await open_window(pixels_per_point=2), await open_window(dark=True, size=(390, 780), pixels_per_point=2)
    await ann.enter("Ann", room)
    await ben.enter("Ben", room)
    said: list[str] = []
    for by_ann, text in _TALK:
        await (ann if by_ann else ben).say(text)
        said.append(text)
        for window in (ann, ben):
            await window.shows(*said)
    return ann, ben


async def _take(window: Window, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    await window.page.screenshot(path=path)
    assert path.stat().st_size > 10_000


async def test_a_conversation_on_a_desk_and_on_a_phone(open_window: OpenWindow, stack: LocalStack) -> None:
    ann, ben = await _talk(open_window, "harbour")
    publish(stack, "tide-pool", "Low water at six.")
    for window in (ann, ben):
        await window.room("tide-pool").locator(".badge").wait_for()
    await _take(ann, (_COMMITTED if os.environ.get("PICTURES") else _SCRATCH) / "chat.png")
    await _take(ben, _SCRATCH / "phone-dark.png")


async def test_an_empty_room(open_window: OpenWindow, room: str) -> None:
    ann = await open_window(dark=True)
    await ann.visit(room)
    await _take(ann, _SCRATCH / "entrance-dark.png")
    await ann.come_in("Ann")
    await ann.has_opened()
    await _take(ann, _SCRATCH / "empty-dark.png")
