"""One WebSocket as torture's clients use it: requests and replies, pushes to a callback, and rude ways to leave."""

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

Frame = dict[str, Any]
Reply = Frame | None  # no reply: whether it was done is unknown

_OPEN_TIMEOUT_S: Final = 15
_REPLY_TIMEOUT_S: Final = 20  # a function may go through several of AWS's timeouts
_HALF_OPEN_S: Final = 20


class NotConnectedError(Exception):
    """The connection could not be opened, or was not welcome."""


class Wire:
    """One connection."""

    def __init__(self, socket: ClientConnection, on_push: Callable[[Frame], None]) -> None:
        self._socket, self._on_push = socket, on_push
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._reader = asyncio.create_task(self._read())
        self.closed = asyncio.Event()

    @classmethod
    async def open(cls, url: str, on_push: Callable[[Frame], None]) -> Self:
        """Connect to the edge whose origin is ``url``.

        Raises:
            NotConnectedError: It refuses, or does not answer.
        """
        address = f"{url.replace('http', 'ws', 1)}/v1/ws"
        try:
            # No pings of its own: only what the protocol has keeps connections open.
            socket = await connect(
                address,
                proxy=None,
                compression=None,
                ping_interval=None,
                max_size=None,
                open_timeout=_OPEN_TIMEOUT_S,
                close_timeout=1,
            )
        except (OSError, InvalidHandshake, TimeoutError, EOFError) as error:
            raise NotConnectedError(type(error).__name__) from error
        return cls(socket, on_push)

    async def ask(self, *frames: Mapping[str, Any]) -> list[Reply]:
        """Send requests, several as a batch; return their replies: ``None`` for those that were not answered."""
        numbered = [{"id": next(self._ids), **frame} for frame in frames]
        futures = [asyncio.get_running_loop().create_future() for _ in numbered]
        if self.closed.is_set():
            return [None for _ in frames]
        self._waiting.update(zip((frame["id"] for frame in numbered), futures, strict=True))
        with suppress(ConnectionClosed):
            await self._socket.send(json.dumps(numbered if len(numbered) > 1 else numbered[0]))
        await asyncio.wait(futures, timeout=_REPLY_TIMEOUT_S)
        for frame in numbered:
            self._waiting.pop(frame["id"], None)
        return [future.result() if future.done() else None for future in futures]

    async def request(self, **frame: Any) -> Reply:
        """Send one request; return its reply."""
        [reply] = await self.ask(frame)
        return reply

    def cut(self) -> None:
        """Drop the socket without a word, as a network does."""
        self._reader.cancel()
        self._socket.transport.abort()

    def abandon(self) -> None:
        """Stop reading and leave the socket open: the server can't know that nobody is there any more."""
        self._reader.cancel()
        asyncio.get_running_loop().call_later(_HALF_OPEN_S, self._socket.transport.abort)

    async def close(self) -> None:
        """Close it properly."""
        await self._socket.close()
        self._reader.cancel()
        await self.closed.wait()

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                message = json.loads(text)
                for frame in message if isinstance(message, list) else [message]:
                    self._take(frame)
        except ConnectionClosed:
            pass  # everybody is told below
        finally:
            self.closed.set()
            self._give_up()

    def _take(self, frame: Frame) -> None:
        if "type" not in frame:
            self._give_up()  # API Gateway's own error: it does not say whose request it was
        elif (future := self._waiting.pop(frame.get("id", 0) or 0, None)) is not None:
            if not future.done():
                future.set_result(frame)
        elif frame["type"] != "reply":  # a reply that comes too late is nobody's
            self._on_push(frame)

    def _give_up(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_result(None)
        self._waiting.clear()


def error_code(reply: Reply) -> int:
    """Return the code of an error reply; 0 for a result."""
    return int(reply["error"]["code"]) if reply is not None and "error" in reply else 0
