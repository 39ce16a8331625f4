"""Centrifugo's JavaScript client, as it comes from npm, in a page of Chromium or in Node."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, Page

from tests.e2e.browser import ROOT

_HARNESS: Final = Path(__file__).with_name("harness.js")
_NODE: Final = Path(__file__).with_name("node.js")
_CLIENT: Final = ROOT / "node_modules/centrifuge/dist/centrifuge.js"
# Of Node 20: nodejs.org/docs/latest-v20.x/api/cli.html
_FLAGS: Final = ("--experimental-websocket", "--experimental-eventsource", "--no-warnings")
_ANSWER_MAX_BYTES: Final = 2**20


class Node:
    """A process of Node's with the client in it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def evaluate(self, script: str, arguments: list[Any]) -> Any:
        """Call a function; return what it returns."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"script": script, "arguments": arguments}).encode() + b"\n")
        answer = json.loads(await self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer.get("result")


@asynccontextmanager
async def node() -> AsyncIterator[Node]:
    """Start Node."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "node", *_FLAGS, str(_NODE), stdin=pipe, stdout=pipe, limit=_ANSWER_MAX_BYTES
    )
    try:
        yield Node(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def page_at(browser: Browser, url: str) -> AsyncIterator[Page]:
    """Open a page there, with the client in it."""
    context = await browser.new_context()
    await context.add_init_script(path=_CLIENT)
    await context.add_init_script(path=_HARNESS)
    page = await context.new_page()
    await page.goto(url)
    yield page
    await context.close()


async def call(where: Page | Node, script: str, *arguments: Any) -> Any:
    """Call a function there; return what it returns."""
    if isinstance(where, Node):
        return await where.evaluate(script, list(arguments))
    return await where.evaluate(f"(args) => ({script})(...args)", list(arguments))
