"""A client on a tiny Tidewire in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

from tests.unit.client.fakes import error_of
from tests.unit.client.server import Network, Server
from tests.unit.client.virtual import settle
from tidewire.client import Tidewire
from tidewire.errors import TidewireError


class SetUp:
    """A client, its server, and what its user was told."""

    def __init__(self, network: Network | None = None, **options: Any) -> None:
        self.server = Server(network)
        self.states: list[str] = []
        self.ends: list[TidewireError | None] = []
        self.errors: list[BaseException] = []
        self.client = Tidewire(
            "http://127.0.0.1:1",  # nobody answers by HTTP here, and no name has to be looked up
            **{
                "get_token": lambda _fresh: "good",
                "transports": {"websocket": self.server.open_transport},
                "websocket_url": "ws://test",
                "on_error": self.errors.append,
                **options,
            },
        )
        self.client.on_state(self._told)

    def _told(self, state: str, error: TidewireError | None) -> None:
        self.states.append(state)
        self.ends.append(error)

    async def listen(self, name: str = "room:a") -> list[int | None]:
        """Subscribe to a room; return the offsets that its listeners hear."""
        heard: list[int | None] = []
        self.client.channel(name).on("*", lambda event: heard.append(event.offset))
        await self.client.channel(name).subscribe()
        return heard

    async def lose(self) -> None:
        """The network goes, and stays away."""
        self.server.down = True
        self.server.cut_all()
        await settle()


@asynccontextmanager
async def set_up(network: Network | None = None, **options: Any) -> AsyncIterator[SetUp]:
    it = SetUp(network, **options)
    async with it.client:
        yield it


async def kind_of(work: Awaitable[Any]) -> str:
    """Return the kind of the error with which it fails."""
    failed: TidewireError = await error_of(asyncio.ensure_future(work))
    return failed.kind


async def pass_(seconds: float) -> None:
    await asyncio.sleep(seconds)
    await settle()
