"""A client of Centrifugo's by HTTP: its stream, and what it sends beside that, to the app over a stack in memory."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import httpx

from tests.streams import Lines, streaming
from tests.unit.centrifugo.client import token
from tests.unit.stack import MemoryStack

Way = Literal["http_stream", "sse"]
WAYS: Final[tuple[Way, ...]] = ("http_stream", "sse")
ROOM: Final = "room:a"


class Stream:
    """A stream, and what its client sends beside it."""

    def __init__(self, http: httpx.AsyncClient, lines: Lines, way: Way) -> None:
        self.response = lines.response
        self._http, self._lines, self._way = http, lines, way
        self._come: list[Any] = []
        self.connected: dict[str, Any] = {}

    async def next(self) -> Any:
        """Return the next reply or push."""
        while not self._come:
            if self._way == "sse":
                self._come = [json.loads(line) for line in (await self._lines.sse())["data"].split("\n")]
            else:
                self._come = [await self._lines.ndjson()]
        return self._come.pop(0)

    async def send(self, *commands: dict[str, Any]) -> httpx.Response:
        """Send commands."""
        body = {"session": self.connected["session"], "node": self.connected["node"]}
        return await self._http.post(
            "/v1/centrifugo/emulation", json=body | {"data": "\n".join(map(json.dumps, commands))}
        )

    async def ask(self, id_: int, **command: Any) -> Any:
        """Send a command; return the next that comes."""
        assert (await self.send({"id": id_, **command})).status_code == 204
        return await self.next()


@asynccontextmanager
async def opened(http: httpx.AsyncClient, way: Way, body: str | None = None) -> AsyncIterator[Stream]:
    """Ask for a stream: as ann, if nothing else is said."""
    body = (
        json.dumps({"id": 1, "connect": {"token": token("ann", caps={"room:*": ["subscribe"]})}})
        if body is None
        else body
    )
    url = f"{http.base_url}/v1/stream/centrifugo/{way}"
    if way == "sse":
        asking = streaming(url, params={"cf_connect": body})
    else:
        asking = streaming(url, "POST", content=body, headers={"Content-Type": "application/json"})
    async with asking as lines:
        yield Stream(http, lines, way)


@asynccontextmanager
async def connected(http: httpx.AsyncClient, way: Way, **options: Any) -> AsyncIterator[Stream]:
    """Open a stream; its client has been told that it is connected."""
    async with opened(http, way, **options) as stream:
        reply = await stream.next()
        assert reply["id"] == 1
        stream.connected = reply["connect"]
        yield stream


def says(stack: MemoryStack, channel: str, *values: Any) -> None:
    """Have somebody publish by our own protocol."""
    if "bob" not in stack.transport.inboxes:
        stack.connect("bob", "bob")
    for value in values:
        assert "result" in stack.ask("bob", {"type": "publish", "channel": channel, "name": "message", "data": value})
        stack.drain()


def names_of(stack: MemoryStack) -> set[str]:
    """Return the connections that there are, beside bob's."""
    return set(stack.connections.connections) - {"bob"}
