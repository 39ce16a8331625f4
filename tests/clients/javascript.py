"""The JavaScript client in a browser's page."""

import subprocess
from collections.abc import Awaitable, Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

from playwright.async_api import BrowserContext, Page

from tests.clients.network import Network
from tests.clients.scenario import Arguments, RefusedError

ROOT: Final = Path(__file__).resolve().parents[2]
_HARNESS: Final = Path(__file__).with_name("page.js")


def harness() -> str:
    """Return the script that gives each page ``openHarness``, the client included."""
    return _bundled(_HARNESS)


def worker() -> str:
    """Return the client's script for a SharedWorker."""
    return _bundled(ROOT / "clients/js/src/tabs/worker.ts")


@cache
def _bundled(source: Path) -> str:
    esbuild = [str(ROOT / "node_modules/.bin/esbuild"), str(source), "--bundle", "--format=iife", "--target=es2022"]
    return subprocess.run(esbuild, capture_output=True, text=True, check=True).stdout


class JavaScriptDriver:
    """One client: a page that the server itself serves, by way of a network of its own.

    Attributes:
        page: The page.
        options: Of its client.
    """

    def __init__(self, page: Page, network: Network, user_id: str, options: dict[str, Any]) -> None:
        self.page, self._network = page, network
        self.options = {"user": user_id, "websocketUrl": network.websocket_url, **options}
        self._noticed = -1

    @classmethod
    async def open(
        cls, context: BrowserContext, network: Network, user_id: str, *, origin: str | None = None, **options: Any
    ) -> Self:
        """Open a page in a context that has the harness as init script, and start a client there.

        Args:
            origin: Where the page and all but the WebSocket is, if not behind the network.
        """
        driver = cls(await context.new_page(), network, user_id, options)
        await driver.page.goto(f"{origin or network.url}/healthz")
        await driver.begin()
        return driver

    async def begin(self) -> None:
        """Start a client; a page that was loaded anew has none."""
        self._noticed = -1
        await self.page.evaluate("options => openHarness(options)", self.options)

    async def start(self, action: str, arguments: Arguments) -> Awaitable[Any]:
        """See :class:`tests.clients.scenario.Driver`."""
        if action in ("cut", "away", "back"):
            getattr(self._network, action)()
            if action == "back":  # as the system tells a browser, and that its pages
                await self.page.evaluate("window.dispatchEvent(new Event('online'))")
            return _Outcome(self.page)
        id_ = await self.page.evaluate("([action, args]) => harness.start(action, args)", [action, dict(arguments)])
        return _Outcome(self.page, id_)

    async def do(self, action: str, **arguments: Any) -> Any:
        """Do one of the actions; return its result."""
        return await (await self.start(action, arguments))

    async def see(self, what: str, arguments: Arguments) -> Any:
        """See :class:`tests.clients.scenario.Driver`."""
        seen = await self.page.evaluate("([what, args]) => harness.see(what, args)", [what, dict(arguments)])
        self._noticed = seen["noticed"]
        return seen["value"]

    async def news(self) -> None:
        """See :class:`tests.clients.scenario.Driver`."""
        await self.page.evaluate("noticed => harness.news(noticed)", self._noticed)

    async def complaints(self) -> list[str]:
        """See :class:`tests.clients.scenario.Driver`."""
        complaints: list[str] = await self.page.evaluate("harness.complaints")
        return complaints


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Of an action that the page has begun; without an id it is over."""

    page: Page
    id_: int | None = None

    def __await__(self) -> Generator[Any, None, Any]:
        return self._value().__await__()

    async def _value(self) -> Any:
        if self.id_ is None:
            return None
        outcome = await self.page.evaluate("id => harness.outcome(id)", self.id_)
        if "error" in outcome:
            raise RefusedError(outcome["error"])
        return outcome["value"]
