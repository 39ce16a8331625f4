"""A WebSocket client for tests: follows docs/protocol.md, keeps all that comes, and waits by event, never by sleep."""

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Self, TypeVar

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Frame = dict[str, Any]
T = TypeVar("T")

# What is waited for comes within milliseconds; a cold function on a busy machine takes seconds. API Gateway waits 29.
DEADLINE_S: Final = 30
_OF_CHANNELS: Final = ("event", "state", "presence", "typing")


class RequestError(Exception):
    """A request was answered with an error.

    Attributes:
        error: The error object.
    """

    def __init__(self, error: Frame) -> None:
        super().__init__(f"{error['code']} {error['name']}: {error['message']}")
        self.error = error


class UncertainError(Exception):
    """A frame without ``type`` came: whether what was asked has been done is unknown (docs/protocol.md section 2)."""


class Client:
    """One connection.

    Attributes:
        messages: Every message as it came: an object, or an array of them.
        frames: The same, arrays unpacked.
        welcome: The result of ``hello``.
        largest_bytes: Size of the largest message.
        close_code: Why it was closed; ``None`` while it is open.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.messages: list[Any] = []
        self.frames: list[Frame] = []
        self.welcome: Frame = {}
        self.largest_bytes = 0
        self.close_code: int | None = None
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[Any, asyncio.Future[Frame]] = {}
        self._news = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, url: str, *, ticket: str | None = None, origin: str | None = None) -> Self:
        """Connect to the edge at ``url``; say nothing.

        Raises:
            websockets.exceptions.InvalidStatus: The handshake was refused.
        """
        query = "" if ticket is None else f"?ticket={ticket}"
        headers = {} if origin is None else {"Origin": origin}
        websocket_url = f"{url.replace('http', 'ws', 1)}/v1/ws{query}"
        # No pings of its own: what the connection does is what the test does.
        socket = await connect(
            websocket_url,
            additional_headers=headers,
            proxy=None,
            open_timeout=DEADLINE_S,
            ping_interval=None,
            max_size=None,
        )
        return cls(socket)

    async def close(self) -> None:
        """Close properly, and wait for the end."""
        await self._socket.close()
        await self._reader

    async def cut(self) -> None:
        """Drop the socket, as a network does: no close frame."""
        self._socket.transport.abort()
        await self._reader

    # asking

    async def hello(self, token: str | None = None, **fields: Any) -> Frame:
        """Say who this is; return the result."""
        credentials = {} if token is None else {"token": token}
        self.welcome = await self.ask("hello", protocol=1, **credentials, **fields)
        return self.welcome

    async def ask(self, type_: str, **fields: Any) -> Frame:
        """Send one request; return its result.

        Raises:
            RequestError: It was answered with an error.
            UncertainError: It is unknown whether it was done.
        """
        reply = await self.request({"type": type_, **fields})
        if "error" in reply:
            raise RequestError(reply["error"])
        result: Frame = reply["result"]
        return result

    async def request(self, frame: Mapping[str, Any]) -> Frame:
        """Give a frame an id and send it; return the whole reply."""
        [reply] = await self._exchange([{"id": next(self._ids), **frame}], batch=False)
        return reply

    async def batch(self, frames: Sequence[Mapping[str, Any]]) -> list[Frame]:
        """Send requests as one array; return their replies, by request."""
        return await self._exchange([{"id": next(self._ids), **frame} for frame in frames], batch=True)

    async def publish(self, channel: str, data: Any, **fields: Any) -> Frame:
        """Publish an event named ``said``; return the result."""
        return await self.ask("publish", channel=channel, name="said", data=data, **fields)

    async def answer(self, text: str | bytes) -> Any:
        """Send whatever this is, well-formed or not; return the next message that is not what a channel tells."""
        seen = len(self.messages)
        await self._socket.send(text)

        def answers() -> list[Any]:
            return [m for m in self.messages[seen:] if isinstance(m, list) or m.get("type") not in _OF_CHANNELS]

        return (await self.wait_for(answers))[0]

    # listening

    def events(self, channel: str) -> list[Frame]:
        """Return the channel's events that have come, in the order in which they came, repeats included."""
        return [frame for frame in self.frames if frame.get("type") == "event" and frame["channel"] == channel]

    async def wait_for(self, predicate: Callable[[], T], *, deadline_s: float = DEADLINE_S) -> T:
        """Return what ``predicate`` gives as soon as that is true; it is asked again after each message.

        Raises:
            TimeoutError: It never was.
            ConnectionError: It never will be, since the connection is closed.
        """
        try:
            async with asyncio.timeout(deadline_s), self._news:
                while not (value := predicate()):
                    if self.close_code is not None:
                        raise ConnectionError(f"closed with {self.close_code}; it had sent {self.messages}")
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"not within {deadline_s} s; there came {self.messages}") from None
        return value

    async def wait_for_events(self, channel: str, count: int) -> list[Frame]:
        """Return the channel's events that have a place in its stream, by offset, as soon as there are ``count``."""

        def events() -> list[Frame]:
            found = {event["offset"]: event for event in self.events(channel) if "offset" in event}
            return [found[offset] for offset in sorted(found)] if len(found) >= count else []

        return await self.wait_for(events)

    async def wait_closed(self) -> int:
        """Return the code with which the server closes."""
        await self.wait_for(lambda: self.close_code is not None)
        assert self.close_code is not None
        return self.close_code

    async def _exchange(self, frames: Sequence[Frame], *, batch: bool) -> list[Frame]:
        futures = [asyncio.get_running_loop().create_future() for _ in frames]
        for frame, future in zip(frames, futures, strict=True):
            self._waiting[frame["id"]] = future
        try:
            await self._socket.send(json.dumps(frames if batch else frames[0]))
            async with asyncio.timeout(DEADLINE_S):
                return list(await asyncio.gather(*futures))
        finally:
            for frame in frames:
                self._waiting.pop(frame["id"], None)

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                self.largest_bytes = max(self.largest_bytes, len(text.encode() if isinstance(text, str) else text))
                self._take(json.loads(text))
                async with self._news:
                    self._news.notify_all()
        except ConnectionClosed:
            pass
        finally:
            self.close_code = self._socket.close_code
            self._fail_all(ConnectionError("closed"))
            async with self._news:
                self._news.notify_all()

    def _take(self, message: Any) -> None:
        self.messages.append(message)
        for frame in message if isinstance(message, list) else [message]:
            self.frames.append(frame)
            if "type" not in frame:
                self._fail_all(UncertainError(frame.get("message")))
                continue
            future = self._waiting.pop(frame.get("id"), None)
            if future is not None and not future.done():
                future.set_result(frame)

    def _fail_all(self, error: Exception) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
        self._waiting.clear()


def dev_token(url: str, user_id: str, **fields: Any) -> str:
    """Ask the edge at ``url`` for a token: of everything but ``admin``, unless ``caps`` say otherwise."""
    body = {"user_id": user_id, **fields}
    # Certificates take long to load, and plain HTTP needs none.
    response = httpx.post(f"{url}/v1/dev/token", json=body, timeout=DEADLINE_S, verify=False)
    token: str = response.raise_for_status().json()["token"]
    return token
