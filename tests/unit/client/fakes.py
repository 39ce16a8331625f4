"""What the tests put in the place of the network."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from tidewire.errors import TidewireError
from tidewire.frames import Frame
from tidewire.transports.transport import Endpoints, Handlers, OpenTransport

ENDPOINTS: Final = Endpoints("ws://test/v1/ws", "http://test", "http://test")
HELLO: Final[Frame] = {
    "session_id": "s1",
    "connection_id": "c1",
    "user_id": "ann",
    "server_time_ms": 1_700_000_000_000,
    "heartbeat_s": 480,
    "connection_max_age_s": 7200,
    "limits": {},
    "subscriptions": [],
}


class FakeTransport:
    """A transport that the test opens, speaks through and cuts by hand."""

    max_bytes: int | None = None

    def __init__(self, handlers: Handlers) -> None:
        self.sent: list[str] = []
        self.ended = self.retired = self.for_good = False
        self._handlers = handlers

    # The client's side.

    def send(self, text: str) -> None:
        self.sent.append(text)

    def retire(self) -> None:
        self.retired = True

    def close(self, *, for_good: bool = False) -> None:
        self.ended = True
        self.for_good = self.for_good or for_good

    async def wait_closed(self) -> None:
        pass

    # The test's side.

    @property
    def requests(self) -> list[Frame]:
        """All that were sent, out of their batches."""
        messages = [json.loads(text) for text in self.sent]
        return [frame for each in messages for frame in (each if isinstance(each, list) else [each])]

    def asked(self, kind: str) -> list[Frame]:
        return [request for request in self.requests if request["type"] == kind]

    def request(self, kind: str) -> Frame:
        """Return the last of that type."""
        return self.asked(kind)[-1]

    def open(self) -> None:
        self._handlers.open()

    def end(self) -> None:
        """It ends by itself, as when the network goes."""
        if not self.ended:
            self.ended = True
            self._handlers.close()

    def say(self, message: Any) -> None:
        self._handlers.message(message if isinstance(message, str) else json.dumps(message))

    def reply(self, request: Mapping[str, Any], result: Any) -> None:
        self.say({"type": "reply", "id": request["id"], "result": result})

    def refuse(self, request: Mapping[str, Any], error: Mapping[str, Any]) -> None:
        self.say({"type": "reply", "id": request["id"], "error": error})

    def greet(self, hello: Mapping[str, Any] = HELLO) -> None:
        """Open, unless it is, and answer hello."""
        if not self.asked("hello"):
            self.open()
        self.reply(self.request("hello"), hello)


class FakeNetwork:
    """Makes transports.

    Attributes:
        made: Every one, with the name of its way, in order.
    """

    def __init__(self) -> None:
        self.made: list[tuple[str, FakeTransport]] = []

    def ways(self, *names: str) -> dict[str, OpenTransport]:
        return {name: self._opener(name) for name in names}

    def all(self, way: str = "websocket") -> list[FakeTransport]:
        return [transport for name, transport in self.made if name == way]

    def last(self, way: str = "websocket") -> FakeTransport:
        return self.all(way)[-1]

    @property
    def tried(self) -> list[str]:
        return [name for name, _ in self.made]

    def _opener(self, name: str) -> OpenTransport:
        def open_(_endpoints: Endpoints, handlers: Handlers) -> FakeTransport:
            transport = FakeTransport(handlers)
            self.made.append((name, transport))
            return transport

        return open_


async def error_of(future: "asyncio.Future[Any]") -> TidewireError:
    """Return the error with which it fails."""
    try:
        result = await future
    except TidewireError as error:
        return error
    raise AssertionError(f"it was answered: {result}")


def error(code: int, name: str = "no", **fields: Any) -> Frame:
    return {"code": code, "name": name, "message": name, "retryable": 2000 <= code < 3000, **fields}


def event(offset: int, **fields: Any) -> Frame:
    """Return an event's push."""
    sender = {"user_id": "ann", "connection_id": None}
    frame = {"type": "event", "channel": "room:a", "name": "said", "data": offset, "message_id": f"m{offset}"}
    place = {"epoch": "e1", "offset": offset, "prev_offset": max(0, offset - 1)}
    return {**frame, "sender": sender, "published_at_ms": 0, "priority": "normal", **place, **fields}
