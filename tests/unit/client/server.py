"""A tiny Tidewire in memory: just enough of docs/protocol.md for one namespace, and a network that a test may spoil."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.unit.client.fakes import HELLO, error, event
from tidewire.frames import Frame
from tidewire.transports.transport import Endpoints, Handlers

AS_EVER: Final[Any] = object()
"""What stands in the place of an answer says that there is none: the server answers itself."""

_RECOVERY_LIMIT: Final = 5
_HISTORY_PAGE: Final = 3


@dataclass
class Network:
    """What it does to what goes through.

    Attributes:
        copies: Called for each push: how often it arrives.
        delay_s: Called for each message, either way: how long it takes.
    """

    copies: Callable[[], int] = lambda: 1
    delay_s: Callable[[], float] = lambda: 0.0


@dataclass
class Stream:
    """A channel's publications. ``kept``: how many of the last can still be read."""

    epoch: str = "e1"
    log: list[Frame] = field(default_factory=list)
    kept: int = 1_000_000


class Socket:
    """The transport that the client has, and the server's end of it."""

    def __init__(self, server: "Server", handlers: Handlers) -> None:
        self.server = server
        self.sent: list[str] = []
        self.subscriptions: set[str] = set()
        self.max_bytes = server.max_bytes
        self.for_good = False
        self.ended = False
        self._handlers = handlers
        self._opened = False
        server.arrive(self._open)

    # The client's side.

    def send(self, text: str) -> None:
        self.sent.append(text)
        self.server.arrive(lambda: None if self.ended else self.server.handle(self, text))

    def retire(self) -> None:
        pass

    def close(self, *, for_good: bool = False) -> None:
        self.ended = True
        self.for_good = self.for_good or for_good
        self.server.sockets.discard(self)

    async def wait_closed(self) -> None:
        pass

    # The server's side.

    def say(self, message: Any) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        self.server.arrive(lambda: self.hear(text))

    def hear(self, text: str) -> None:
        """Something arrives at the client, whoever says it: what that raises is the caller's to see."""
        if not self.ended:
            self._handlers.message(text)

    def end(self) -> None:
        """It ends by itself, as when the network goes."""
        if not self.ended:
            self.close()
            self._handlers.close()

    def _open(self) -> None:
        if self.ended:
            return
        if self.server.down:
            self.end()
        elif not self._opened:
            self._opened = True
            self.server.sockets.add(self)
            self._handlers.open()


class Server:
    """What clients talk to.

    Attributes:
        sockets: Those that are open.
        opened: All that ever were asked for, in order.
        requests: All that has come.
        instead: What answers requests of a type in the server's place: a result, ``{"error": …}``, nothing at all
            (``None``), or :data:`AS_EVER`.
        down: Nobody gets through.
        max_bytes: The most that sockets take.
    """

    def __init__(self, network: Network | None = None) -> None:
        self.network = network or Network()
        self.sockets: set[Socket] = set()
        self.opened: list[Socket] = []
        self.requests: list[Frame] = []
        self.streams: dict[str, Stream] = {}
        self.instead: dict[str, Callable[[Frame], Any]] = {}
        self.down = False
        self.max_bytes: int | None = None

    def open_transport(self, _endpoints: Endpoints, handlers: Handlers) -> Socket:
        """See :data:`~tidewire.transports.transport.OpenTransport`."""
        socket = Socket(self, handlers)
        self.opened.append(socket)
        return socket

    @property
    def last(self) -> Socket:
        return self.opened[-1]

    def asked(self, kind: str) -> list[Frame]:
        return [request for request in self.requests if request["type"] == kind]

    def arrive(self, happens: Callable[[], Any]) -> None:
        loop, delay_s = asyncio.get_running_loop(), self.network.delay_s()
        if delay_s:
            loop.call_later(delay_s, happens)
        else:
            loop.call_soon(happens)

    def cut_all(self) -> None:
        for socket in [each for each in self.opened if not each.ended]:
            socket.end()

    def stream(self, channel: str) -> Stream:
        return self.streams.setdefault(channel, Stream())

    def publish(self, channel: str, *, priority: str = "normal", **fields: Any) -> Frame:
        """Publish from the server's side; return what is in the stream then."""
        stream = self.stream(channel)
        before = [entry["offset"] for entry in stream.log if entry["priority"] == priority]
        place = {"channel": channel, "epoch": stream.epoch, "prev_offset": before[-1] if before else 0}
        pushed = event(len(stream.log) + 1, **{**place, "priority": priority, **fields})
        stream.log.append({name: value for name, value in pushed.items() if name != "type"})
        self.push(channel, pushed)
        return stream.log[-1]

    def push(self, channel: str, frame: Frame) -> None:
        for socket in list(self.sockets):
            if channel in socket.subscriptions:
                for _ in range(self.network.copies()):
                    socket.say(frame)

    def handle(self, socket: Socket, text: str) -> None:
        message = json.loads(text)
        failed: dict[Any, Frame] = {}  # a publish that may be tried again, by channel: none overtakes it
        requests = message if isinstance(message, list) else [message]
        replies = [reply for request in requests for reply in self._reply(socket, request, failed)]
        if replies:
            socket.say(replies if isinstance(message, list) else replies[0])

    def _reply(self, socket: Socket, request: Frame, failed: dict[Any, Frame]) -> list[Frame]:
        self.requests.append(request)
        kind, channel = request["type"], request.get("channel")
        if kind == "ping":
            return [{"type": "pong", "id": request["id"]}]
        answer = AS_EVER
        if kind == "publish" and channel in failed:
            answer = {"error": failed[channel]}
        elif kind in self.instead:
            answer = self.instead[kind](request)
        if answer is AS_EVER:
            answer = self._answer(socket, request)
        if answer is None:
            return []
        refusal = answer.get("error") if isinstance(answer, dict) else None
        if kind == "publish" and refusal and refusal["retryable"]:
            failed[channel] = refusal
        return [{"type": "reply", "id": request["id"], **({"error": refusal} if refusal else {"result": answer})}]

    def _answer(self, socket: Socket, request: Frame) -> Any:
        channel = request.get("channel", "")
        match request["type"]:
            case "hello":
                return HELLO
            case "subscribe":
                socket.subscriptions.add(channel)
                return self._subscribe(channel, request.get("since"), request.get("history", 0))
            case "unsubscribe":
                socket.subscriptions.discard(channel)
                return {}
            case "publish":
                return self._publish(request)
            case "history":
                return self._history(channel, request)
            case "refresh":
                return {"expires_at_ms": HELLO["server_time_ms"] + 3_600_000}
            case "sync":
                return {"behind": self._behind(request["positions"])}
            case _:
                return {"error": error(1001, "unknown_type")}

    def _subscribe(self, channel: str, since: Frame | None, history: int) -> Frame:
        stream = self.stream(channel)
        result: Frame = {"channel": channel, "position": {"epoch": stream.epoch, "offset": len(stream.log)}}
        missed = stream.log[since["offset"] :] if since else []
        if since and since["epoch"] == stream.epoch and len(missed) <= min(_RECOVERY_LIMIT, stream.kept):
            more = {"more": True} if len(missed) > _HISTORY_PAGE else {}
            return {**result, "recovered": True, "publications": missed[:_HISTORY_PAGE], **more}
        return {**result, "recovered": False, "publications": stream.log[-history:] if history else []}

    def _publish(self, request: Frame) -> Frame:
        channel, message_id = request["channel"], request["message_id"]
        if all(entry["message_id"] != message_id for entry in self.stream(channel).log):
            fields = {name: request[name] for name in ("name", "data", "message_id", "priority") if name in request}
            self.publish(channel, **fields)
        return {"message_id": message_id, "status": "accepted"}

    def _history(self, channel: str, request: Frame) -> Frame:
        stream, since = self.stream(channel), request.get("since")
        position = {"epoch": stream.epoch, "offset": len(stream.log)}
        if since and since["epoch"] != stream.epoch:
            return {"publications": [], "position": position, "more": False}
        if request.get("reverse"):
            return {"publications": stream.log[-request["limit"] :][::-1], "position": position, "more": False}
        after = stream.log[max(0, len(stream.log) - stream.kept, since["offset"] if since else 0) :]
        return {"publications": after[:_HISTORY_PAGE], "position": position, "more": len(after) > _HISTORY_PAGE}

    def _behind(self, positions: dict[str, Frame]) -> dict[str, Frame]:
        ends = {name: {"epoch": self.stream(name).epoch, "offset": len(self.stream(name).log)} for name in positions}
        return {
            name: end
            for name, end in ends.items()
            if positions[name]["epoch"] != end["epoch"] or positions[name]["offset"] < end["offset"]
        }
