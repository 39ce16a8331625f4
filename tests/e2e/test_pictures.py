"""Pictures of the page and of the command line, to be looked at: in ``.local/pictures``.

With ``PICTURES=1`` those that README shows as well.
"""

import asyncio
import base64
import io
import os
import pty
import re
import secrets
import sys
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, expect
from rich.console import Console
from rich.text import Text

from localstack.stack import LocalStack
from tests.e2e.board import Board
from tests.e2e.browser import ROOT
from tests.e2e.chat import PHONE, Window, publish
from tests.e2e.conftest import OpenWindow
from tests.e2e.network_panel import Panel
from tests.integration.command_line import forget_dead_letters

pytestmark = pytest.mark.timeout(600)  # the first test starts the stack, and all functions

_SCRATCH: Final = ROOT / ".local" / "pictures"
_COMMITTED: Final = ROOT / "docs" / "pictures"
_FONTS: Final = ROOT / "node_modules" / "@fontsource" / "jetbrains-mono" / "files"
_COLUMNS: Final = 80
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
    ann, ben = await open_window(pixels_per_point=2), await open_window(size=PHONE, pixels_per_point=2)
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


def _for_readme(name: str) -> Path:
    return (_COMMITTED if os.environ.get("PICTURES") else _SCRATCH) / name


async def _on_a_terminal(stack: LocalStack, *arguments: str) -> str:
    """Return what a command of ``tidewire`` shows to people, and what it says beside."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tidewire.cli.main", *arguments, "--url", stack.url),
        stdout=theirs,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": str(_COLUMNS), "TIDEWIRE_CONFIG": os.devnull},
    )
    os.close(theirs)
    shown, (_, beside) = await asyncio.gather(asyncio.to_thread(_read, ours), process.communicate())
    assert process.returncode == 0, (shown, beside)
    notes = "".join(f"\x1b[2m{line}\x1b[0m\n" for line in beside.decode().splitlines())
    return shown + notes if arguments[0] == "doctor" else notes + shown


def _read(terminal: int) -> str:
    shown = b""
    try:
        while text := os.read(terminal, 65_536):
            shown += text
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    return shown.decode().replace("\r\n", "\n")


async def _draw(browser: Browser, screen: str, title: str, path: Path) -> None:
    console = Console(record=True, width=_COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(screen))
    # The font that it names is on a server; ours is here.
    picture = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title=title), flags=re.DOTALL)
    page = await browser.new_page(device_scale_factor=2)
    await page.set_content(f'<style>{_fonts("Fira Code")}</style><body style="margin: 0">{picture}</body>')
    await page.evaluate("document.fonts.ready")
    path.parent.mkdir(parents=True, exist_ok=True)
    await page.locator("svg").screenshot(path=path, omit_background=True)
    await page.close()
    assert path.stat().st_size > 10_000


def _fonts(name: str) -> str:
    """Return a typewriter's font under this name, as CSS: a browser in a container has none."""
    faces = []
    for weight in (400, 700):
        font = base64.b64encode((_FONTS / f"jetbrains-mono-latin-{weight}-normal.woff2").read_bytes()).decode()
        face = f"font-family: '{name}'; font-weight: {weight}; src: url(data:font/woff2;base64,{font})"
        faces.append(f"@font-face {{ {face} }}")
    return "".join(faces)


async def test_the_workspace_on_a_desk_and_on_a_phone(open_window: OpenWindow, stack: LocalStack) -> None:
    """Everything that it has is in use: rooms, people, typing, who has read; cards and a pointer; the network, lost."""
    ann, ben = await _talk(open_window, "quay")
    cleo = await open_window()
    await cleo.enter("Cleo", "quay")
    await Board(ann).fill()
    await Board(cleo).choose("Start Tidewire", "Plum")
    await ben.be("Busy")
    await expect(ann.person("Ben")).to_contain_text("Busy")
    await expect(ben.seen(_TALK[-1][1])).to_contain_text("Ann")
    publish(stack, "tide-pool", "Low water at six.")
    for window in (ann, ben):
        await window.room("tide-pool").locator(".badge").wait_for()
    await Panel(ann).kill()
    await expect(Panel(ann).last).to_contain_text("Back by")
    await cleo.type("Shall we")
    await expect(ann.typing).to_contain_text("Cleo")
    await Board(cleo).point_at(Board(cleo).card("Watch cursors go by"))
    await expect(Board(ann).cursor("Cleo")).to_be_visible()
    await _take(ann, _for_readme("demo.png"))
    await _take(ben, _for_readme("phone-light.png"))
    await ann.page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    await _take(ann, _SCRATCH / "desk-dark.png")

    await ben.look_at("Board")
    await _take(ben, _SCRATCH / "phone-board-light.png")
    await ben.page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    await _take(ben, _SCRATCH / "phone-board-dark.png")
    await ben.look_at("Network")
    await Panel(ben).switch()
    await ben.look_at("Chat")
    await ben.say("From the tunnel")
    await _take(ben, _SCRATCH / "phone-dark-chat.png")
    await ben.look_at("Network")
    await expect(Panel(ben).figure("Waiting")).to_have_text("1")
    await _take(ben, _for_readme("phone-dark.png"))


async def test_an_empty_room(open_window: OpenWindow, room: str) -> None:
    ann = await open_window(dark=True)
    await ann.visit(room)
    await _take(ann, _SCRATCH / "entrance-dark.png")
    await ann.come_in("Ann")
    await ann.has_opened()
    await _take(ann, _SCRATCH / "empty-dark.png")


async def test_the_command_line_with_a_healthy_stack(browser: Browser, stack: LocalStack) -> None:
    forget_dead_letters(stack)
    room = f"room:{secrets.token_hex(4)}"
    for user, text in (("ann", "Low water at six."), ("ben", "Then we walk over.")):
        await _on_a_terminal(stack, "pub", room, f'{{"text": "{text}"}}', "--name", "said", "--user", user)
    screens = {
        "doctor http://localhost:8080": await _on_a_terminal(stack, "doctor", "--user", "ann"),
        "sub room:lobby --history 2": await _on_a_terminal(stack, "sub", room, "--history", "2", "--count", "2"),
    }
    screen = "\n".join(f"\x1b[1m$ tidewire {command}\x1b[0m\n{shown}" for command, shown in screens.items())
    assert "✗" not in screen
    # As who follows README has it; the tests' stack is on another port.
    await _draw(browser, screen.replace(stack.url, "http://localhost:8080"), "tidewire", _for_readme("doctor.png"))
