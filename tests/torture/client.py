"""The Python client as a subscriber: the application hands over what it is given; a spy writes down what was asked."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from tests.torture.journal import Journal, digest
from tests.torture.watch import Scene
from tidewire import Event, Position, Tidewire, TidewireError
from tidewire.transports.transport import Endpoints, Handlers, Transport
from tidewire.transports.websocket import websocket_transport

_HALF_OPEN_S: Final = 20
Place = tuple[str, str, int]


class ClientSubscriber:
    """What :class:`tests.torture.subscriber.Subscriber` is, by the client as its users have it.

    Attributes:
        reconnects: How often it came anew.
        subscribed: It has subscribed to every channel, for the first time.
    """

    def __init__(self, name: str, token: str, channels: Sequence[str], scene: Scene) -> None:
        self.name, self.channels = name, channels
        self.reconnects = 0
        self.subscribed = asyncio.Event()
        self._journal, self._watch = scene.journal, scene.watch
        self._spy = _Spy(name, scene.journal)
        self._faults: list[BaseException] = []
        self._client = _Asking(
            scene.url,
            lambda _fresh: token,
            websocket_url=f"{scene.url.replace('http', 'ws', 1)}/v1/ws",
            transports={"websocket": self._spy.open},
            on_error=self._faults.append,
        )
        self._client.on_state(lambda state, _error: self._changed(state))

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises:
            AssertionError: The client has reported an error, or has closed.
        """
        async with self._client:
            for name in self.channels:
                channel = self._client.channel(name)
                channel.on("*", self._hand_over)
                channel.on_reset(partial(self._start_over, name))
            await asyncio.gather(*(self._subscribe(name) for name in self.channels))
            self.subscribed.set()
            while self._client.state != "closed" and not self._faults:
                await asyncio.sleep(1)  # it is to go on for ever
        raise AssertionError(f"{self.name} is {self._client.state}, with {self._faults}")

    def cut(self, *, half_open: bool) -> bool:
        """Lose the connection; return whether there was one."""
        return self._spy.cut(half_open=half_open)

    async def at_the_end(self) -> bool:
        """Ask whether there is more than this has. It is not told of it: that is its own affair."""
        positions = {name: self._client.channel(name).position for name in self.channels}
        known = {name: position.to_wire() for name, position in positions.items() if position}
        if len(known) < len(self.channels):
            return False
        with suppress(TidewireError):
            return not (await self._client.ask({"type": "sync", "positions": known}))["behind"]
        return False

    async def members(self) -> dict[str, set[str]]:
        """Return who is in each channel, as far as this was told."""
        return {
            name: {member.user_id for member in self._client.channel(name).presence.members} for name in self.channels
        }

    async def nudge(self) -> None:
        """Have something pushed in every channel: so the server meets the connections that have gone without a word."""
        asked = [self._client.channel(name).publish("nudge", None, ephemeral=True) for name in self.channels]
        await asyncio.gather(*asked, return_exceptions=True)

    async def _subscribe(self, name: str) -> None:
        channel = self._client.channel(name)
        await channel.presence.join()
        await channel.subscribe()

    def _changed(self, state: str) -> None:
        self.reconnects += state == "reconnecting"

    def _hand_over(self, event: Event) -> None:
        if event.ephemeral:
            return  # nothing is promised of it
        assert event.epoch is not None and event.offset is not None
        place = event.channel, event.epoch, event.offset
        self._journal.write(
            "handed",
            subscriber=self.name,
            channel=event.channel,
            epoch=event.epoch,
            offset=event.offset,
            user=event.sender.user_id,
            message_id=event.message_id,
            priority=event.priority,
            digest=digest(event.data),
            at_ms=_now_ms(),
            by="push" if place in self._spy.pushed else "repair",
            **({} if event.covers_from is None else {"covers_from": event.covers_from}),
        )
        self._spy.pushed.discard(place)
        self._watch.was_handed(asdict(event))

    def _start_over(self, channel: str, position: Position) -> None:
        self._journal.write("started_over", subscriber=self.name, channel=channel, **position.to_wire())


class _Asking(Tidewire):
    """A client of which the run asks more than users can."""

    def ask(self, request: dict[str, Any]) -> "asyncio.Future[Any]":
        """Send a request; return what its result can be awaited of."""
        return self._host.ask(request)


class _Spy:
    """Stands between the client and its WebSockets: sees all, and loses them when it is told to."""

    def __init__(self, name: str, journal: Journal) -> None:
        self.pushed: set[Place] = set()
        self._name, self._journal = name, journal
        self._wires: set[_Wire] = set()

    def open(self, endpoints: Endpoints, handlers: Handlers) -> Transport:
        """Open one."""
        wire = _Wire(self, endpoints, handlers)
        self._wires.add(wire)
        return wire

    def cut(self, *, half_open: bool) -> bool:
        """Lose all; return whether there was one."""
        wires, self._wires = self._wires, set()
        for wire in wires:
            wire.cut(after_s=_HALF_OPEN_S if half_open else 0)
        return bool(wires)

    def gone(self, wire: "_Wire") -> None:
        """It is no more."""
        self._wires.discard(wire)

    def came(self, frame: dict[str, Any]) -> None:
        """Something was pushed, or answered."""
        if frame.get("type") == "event" and "offset" in frame:
            self.pushed.add((frame["channel"], frame["epoch"], frame["offset"]))

    def subscribed(self, request: dict[str, Any], result: dict[str, Any], asked_at_ms: int) -> None:
        """A subscription was answered that was asked for then."""
        if "since" not in request:
            self._journal.write("subscribed", subscriber=self._name, channel=request["channel"], **result["position"])
            return
        self._journal.write(
            "recovered",
            subscriber=self._name,
            channel=request["channel"],
            since=request["since"],
            position=result["position"],
            whole=result["recovered"],
            more=result.get("more", False),
            offsets=[event["offset"] for event in result["publications"]] if result["recovered"] else [],
            asked_at_ms=asked_at_ms,
        )


class _Wire:
    """One WebSocket of the client's."""

    def __init__(self, spy: _Spy, endpoints: Endpoints, handlers: Handlers) -> None:
        self._spy, self._handlers = spy, handlers
        self._asked: dict[str, tuple[int, dict[str, Any], int]] = {}
        self._lost = False
        self._inner = websocket_transport(endpoints, _Side(self._opened, self._came, self._ended))
        self.max_bytes = self._inner.max_bytes

    def cut(self, *, after_s: float) -> None:
        """Have the client lose it; the server may find out some time later."""
        self._lost = True
        loop = asyncio.get_running_loop()
        loop.call_soon(self._handlers.close)
        loop.call_later(after_s, self._inner.close)

    # The client's side.

    def send(self, text: str) -> None:
        for frame in _frames(text):
            if frame["type"] == "subscribe":
                # Who asks again has given up the first.
                self._asked[frame["channel"]] = frame["id"], frame, _now_ms()
        self._inner.send(text)

    def retire(self) -> None:
        self._inner.retire()

    def close(self, *, for_good: bool = False) -> None:
        self._spy.gone(self)
        if not self._lost:
            self._lost = True
            self._inner.close(for_good=for_good)

    async def wait_closed(self) -> None:
        if not self._lost:
            await self._inner.wait_closed()

    # The transport's side.

    def _opened(self) -> None:
        if not self._lost:
            self._handlers.open()

    def _came(self, text: str) -> None:
        if self._lost:
            return
        for frame in _frames(text):
            self._spy.came(frame)
            for channel, (id_, request, asked_at_ms) in list(self._asked.items()):
                if frame.get("type") == "reply" and frame["id"] == id_:
                    del self._asked[channel]
                    if "result" in frame:
                        self._spy.subscribed(request, frame["result"], asked_at_ms)
        self._handlers.message(text)

    def _ended(self) -> None:
        self._spy.gone(self)
        if not self._lost:
            self._lost = True
            self._handlers.close()


@dataclass(frozen=True, slots=True)
class _Side:
    """Handlers."""

    open: Callable[[], None]
    message: Callable[[str], None]
    close: Callable[[], None]


def _frames(text: str) -> list[dict[str, Any]]:
    message = json.loads(text)
    return message if isinstance(message, list) else [message]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
