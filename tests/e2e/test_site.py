"""The site of docs/ in a browser: diagrams are drawn, nothing comes from elsewhere, and pages fit a phone."""

import re
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

import pytest
from playwright.async_api import Browser, Page, Request

import tidewire
from localstack.deploy import ROOT

_SITE: Final = ROOT / ".local" / "site"
# The theme puts an element of its own, which hides what is in it, in the place of each diagram that Mermaid can read.
_TO_DRAW: Final = ".diagram:not(:has(div.mermaid))"
_UNREADABLE: Final = "svg[aria-roledescription=error]"
_WIDTHS: Final = (1280, 390)
_WIDE: Final = ("components", "comparison", "reference/cli", "reference/http-api", "reference/python", "quotas")

pytestmark = pytest.mark.timeout(300)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Where the site is served, built anew."""
    subprocess.run(["make", "docs"], cwd=ROOT, check=True, capture_output=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(_SITE))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def _visit(page: Page, url: str) -> list[str]:
    """Open a page; return what is wrong with it."""
    wrong: list[str] = []
    origin = "/".join(url.split("/")[:3])

    def look(request: Request) -> None:
        if not request.url.startswith((origin, "data:", "blob:")):
            wrong.append(f"comes from elsewhere: {request.url}")

    page.on("request", look)
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    await page.goto(url, wait_until="networkidle")
    await page.wait_for_function(f"!document.querySelector('{_TO_DRAW}') || document.querySelector('{_UNREADABLE}')")
    wrong += ["a diagram is not drawn"] * await page.locator(_TO_DRAW).count()
    if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        wrong.append("is wider than the window")
    return wrong


def _pages() -> list[str]:
    drawn = [path.parent for path in _SITE.rglob("index.html") if 'class="mermaid"' in path.read_text()]
    return sorted({*(path.relative_to(_SITE).as_posix() for path in drawn), *_WIDE})


@pytest.mark.parametrize("width", _WIDTHS)
async def test_its_pages_are_whole(site: str, browser: Browser, width: int) -> None:
    wrong: dict[str, list[str]] = {}
    pages = _pages()
    assert {".", "architecture", "delivery", "security"} <= {*pages}
    for path in pages:
        page = await browser.new_page(viewport={"width": width, "height": 900})
        if found := await _visit(page, f"{site}/{path}/"):
            wrong[path] = found
        await page.close()
    assert wrong == {}


def test_no_page_asks_for_what_is_elsewhere(site: str) -> None:
    """Also not those that no test has opened: sources of scripts, styles and pictures."""
    asked = [
        f"{path.relative_to(_SITE)}: {line.strip()[:120]}"
        for path in _SITE.rglob("*.html")
        for line in path.read_text().splitlines()
        if 'src="http' in line or ("<link" in line and 'href="http' in line)
    ]
    assert asked == []


def test_the_clients_apis_have_all_that_users_import(site: str) -> None:
    python = (_SITE / "reference" / "python" / "index.html").read_text()
    assert [name for name in tidewire.__all__ if f'id="tidewire.{name}"' not in python] == []
    folder, missing = _SITE / "reference" / "typescript", []
    for module, page in (("index.ts", "tidewire"), ("react.ts", "tidewire/react")):
        headings = re.findall(r'<h[34] id="[^"]*">([\w$]+)', (folder / page / "index.html").read_text())
        missing += [name for name in _exported(module) if name not in headings]
    assert missing == []


def _exported(module: str) -> set[str]:
    text = (ROOT / "clients" / "js" / "src" / module).read_text()
    lists = re.findall(r"^export (?:type )?\{([^}]+)\}", text, re.MULTILINE)
    names = {name.split(" as ")[-1].split()[-1] for names in lists for name in names.split(",") if name.strip()}
    return {*names, *re.findall(r"^export (?:function|class|interface|type|const) (\w+)", text, re.MULTILINE)}


async def test_a_diagram_that_cannot_be_read_is_noticed(site: str, browser: Browser) -> None:
    folder = Path(_SITE / "spoilt")
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_text((_SITE / "delivery" / "index.html").read_text().replace("flowchart LR", "chart"))
    page = await browser.new_page()
    assert "a diagram is not drawn" in await _visit(page, f"{site}/spoilt/")
    await page.close()
