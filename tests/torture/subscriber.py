"""Subscribers that live through everything: the receiving rules over connections that come and go."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from tests.torture.http_wire import HttpWire
from tests.torture.journal import digest
from tests.torture.watch import Scene
from tests.torture.wire import Frame, NotConnectedError, Reply, Wire, error_code
from tidewire.members import Members
from tidewire.receiver import (
    Action,
    AskHistory,
    AskSync,
    Deliver,
    Receiver,
    StartOver,
    positions_to_wire,
)

_BACKOFF_S: Final = (0.1, 4.0)
# 9 minutes for a client that has no more to do; here a run has only minutes.
_HEARTBEAT_S: Final = 120
_UNAUTHENTICATED: Final = 1004
_SESSION_UNKNOWN: Final = 1011


OpenWire = Callable[[str, Callable[[Frame], None]], Awaitable[Wire | HttpWire]]


class Subscriber:
    """One application: its channels, and what it was handed of them.

    Attributes:
        reconnects: How often it came anew.
        subscribed: It has subscribed to every channel, for the first time.
        connected: It has said hello, and its connection stands.
    """

    def __init__(
        self,
        name: str,
        token: str,
        channels: Sequence[str],
        scene: Scene,
        *,
        open_wire: OpenWire = Wire.open,
        keeps_session: float = 0.5,
        presence: bool = False,
    ) -> None:
        self.name, self.channels = name, channels
        self._open_wire, self._keeps_session = open_wire, keeps_session
        self._presence, self._members = presence, dict[str, Members]()
        self.reconnects = 0
        self._url, self._token, self._journal, self._watch = scene.url, token, scene.journal, scene.watch
        self._dice = random.Random(f"{scene.seed} {name}")
        self._receiver = Receiver()
        self._wire: Wire | HttpWire | None = None
        self._session_id: str | None = None
        self._pushed: set[tuple[str, str, int]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.subscribed = asyncio.Event()
        self.connected = asyncio.Event()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        failures = 0
        try:
            while True:
                try:
                    wire = await self._open_wire(self._url, self._push)
                    self._wire = wire
                    await self._hello(wire)
                except NotConnectedError:
                    failures += 1
                    if self._wire is not None:
                        self._wire.cut()
                else:
                    failures = 0
                    self.connected.set()
                    await self._stay(wire)
                    self.connected.clear()
                self._wire = None
                self.reconnects += 1
                ceiling_s = min(_BACKOFF_S[1], _BACKOFF_S[0] * 2**failures)
                await asyncio.sleep(self._dice.uniform(0, ceiling_s))
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in self._tasks:
                task.cancel()
            if self._wire is not None:
                self._wire.cut()

    def cut(self, *, half_open: bool) -> bool:
        """Lose the connection; return whether there was one."""
        if self._wire is None or self._wire.closed.is_set():
            return False
        if half_open:
            self._wire.abandon()
        else:
            self._wire.cut()
        return True

    async def at_the_end(self) -> bool:
        """Ask whether there is more than this has. It is not told of it: that is its own affair."""
        known = {channel: self._receiver.since(channel) for channel in self.channels}
        positions = {channel: position for channel, position in known.items() if position}
        if len(positions) < len(self.channels):
            return False
        reply = await self._ask(self._wire, {"type": "sync", "positions": positions_to_wire(positions)})
        return reply is not None and "result" in reply and not reply["result"]["behind"]

    async def members(self) -> dict[str, set[str]]:
        """Return who is in each channel, as far as this was told; what it knows to have missed is asked for."""
        for channel, members in self._members.items():
            if members.needs_get(now_ms=_now_ms()):
                await self._read_members(channel, members)
        return {channel: set(members.members) for channel, members in self._members.items()}

    async def nudge(self) -> None:
        """Have something pushed in every channel: so the server meets the connections that have gone without a word."""
        for channel in self.channels:
            frame = {"type": "publish", "channel": channel, "name": "nudge", "data": None, "ephemeral": True}
            await self._ask(self._wire, frame)

    async def _read_members(self, channel: str, members: Members) -> None:
        members.asked()
        pages: list[Frame] = []
        while not pages or pages[-1].get("more"):
            after = {"after": pages[-1]["members"][-1]["user_id"]} if pages else {}
            reply = await self._ask(self._wire, {"type": "presence.get", "channel": channel, **after})
            if reply is None or "error" in reply:
                return  # it is asked again
            pages.append(reply["result"])
        members.answered(pages, now_ms=_now_ms())

    async def _hello(self, wire: Wire | HttpWire) -> None:
        subscriptions = []
        for channel in self.channels:
            self._receiver.open(channel)
            subscriptions.append(self._subscription(channel))
        asked_at_ms = _now_ms()
        hello: Frame = {"type": "hello", "protocol": 1, "token": self._token, "subscribe": subscriptions}
        # A session's subscriptions are taken over from wherever it was; without one, everything begins anew.
        if self._session_id is not None and self._dice.random() < self._keeps_session:
            hello["session_id"] = self._session_id
        [reply] = await wire.ask(hello)
        if reply is None or "error" in reply:
            if error_code(reply) == _SESSION_UNKNOWN:
                self._session_id = None
            raise NotConnectedError
        self._session_id = reply["result"]["session_id"]
        for asked, result in zip(subscriptions, reply["result"]["subscriptions"], strict=True):
            if "error" in result:
                self._start(self._subscribe(wire, asked["channel"]))
            else:
                self._take_subscription(asked, result, asked_at_ms)

    def _subscription(self, channel: str) -> Frame:
        since = self._receiver.since(channel)
        asked: Frame = {"channel": channel} | ({} if since is None else {"since": since.to_wire()})
        if self._presence:
            self._members[channel] = Members()
            asked["presence"] = True
        return asked

    async def _subscribe(self, wire: Wire | HttpWire, channel: str) -> None:
        """Subscribe, as often as it takes."""
        while not wire.closed.is_set():
            await asyncio.sleep(self._dice.uniform(0.1, 1))
            asked, asked_at_ms = self._subscription(channel), _now_ms()
            reply = await self._ask(wire, {"type": "subscribe", **asked})
            if reply is not None and "result" in reply:
                self._take_subscription(asked, reply["result"], asked_at_ms)
                return

    def _take_subscription(self, asked: Frame, result: Frame, asked_at_ms: int) -> None:
        if "presence" in result:
            self._members[asked["channel"]].answered([result["presence"]], now_ms=_now_ms())
        position = result["position"]
        if "since" in asked:
            self._journal.write(
                "recovered",
                subscriber=self.name,
                channel=asked["channel"],
                since=asked["since"],
                position=position,
                whole=result["recovered"],
                more=result.get("more", False),
                offsets=[event["offset"] for event in result["publications"]] if result["recovered"] else [],
                asked_at_ms=asked_at_ms,
            )
        else:
            self._journal.write("subscribed", subscriber=self.name, channel=asked["channel"], **position)
        self._act(self._receiver.subscribed(result, _now_ms()))
        if not self.subscribed.is_set() and all(self._receiver.since(channel) for channel in self.channels):
            self.subscribed.set()

    async def _stay(self, wire: Wire | HttpWire) -> None:
        """Return when the connection has ended."""
        while not wire.closed.is_set():
            try:
                await asyncio.wait_for(wire.closed.wait(), _HEARTBEAT_S)
            except TimeoutError:
                self._act(self._receiver.sync())

    def _push(self, frame: Frame) -> None:
        if frame["type"] == "event":
            if "offset" in frame:
                self._pushed.add((frame["channel"], frame["epoch"], frame["offset"]))
            self._act(self._receiver.event(frame, _now_ms()))
        elif frame["type"] == "presence" and frame["channel"] in self._members:
            self._members[frame["channel"]].push(frame, now_ms=_now_ms())
        elif frame["type"] == "system" and frame["event"] == "lagged":
            self._act(self._receiver.behind({frame["channel"]: frame["position"]}))
        elif frame["type"] == "system" and frame["event"] == "disconnect" and self._wire is not None:
            self._wire.cut()

    def _act(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Deliver(event):
                    self._hand_over(event)
                case StartOver(channel, position):
                    self._journal.write("started_over", subscriber=self.name, channel=channel, **position.to_wire())
                case AskHistory():
                    self._start(self._history(action))
                case AskSync():
                    self._start(self._sync(action))
        self._schedule()

    def _hand_over(self, event: Mapping[str, Any]) -> None:
        if event.get("ephemeral"):
            return  # nothing is promised of it
        place = event["channel"], event["epoch"], event["offset"]
        fields = {"covers_from": event["covers_from"]} if "covers_from" in event else {}
        self._journal.write(
            "handed",
            subscriber=self.name,
            channel=event["channel"],
            epoch=event["epoch"],
            offset=event["offset"],
            user=event["sender"]["user_id"],
            message_id=event["message_id"],
            priority=event["priority"],
            digest=digest(event["data"]),
            at_ms=_now_ms(),
            by="push" if place in self._pushed else "repair",
            **fields,
        )
        self._pushed.discard(place)
        self._watch.was_handed(event)

    async def _history(self, asked: AskHistory) -> None:
        frame = {"type": "history", "channel": asked.channel, "since": asked.since.to_wire(), "limit": asked.limit}
        reply = await self._ask(self._wire, frame)
        if reply is None or "error" in reply:
            self._act(self._receiver.not_filled(asked.channel, _now_ms()))
        else:
            self._act(self._receiver.filled(asked.channel, reply["result"], _now_ms()))

    async def _sync(self, asked: AskSync) -> None:
        frame = {"type": "sync", "positions": positions_to_wire(asked.positions)}
        reply = await self._ask(self._wire, frame)
        if reply is None or "error" in reply:
            self._receiver.not_synced(asked.positions, _now_ms())
            self._schedule()
        else:
            self._act(self._receiver.behind(reply["result"]["behind"]))

    async def _ask(self, wire: Wire | HttpWire | None, frame: Frame) -> Reply:
        if wire is None:
            return None
        reply = await wire.request(**frame)
        if error_code(reply) == _UNAUTHENTICATED:
            wire.cut()  # the server does not know this connection any more: it had been told that it was gone
        return reply

    def _schedule(self) -> None:
        """Let the receiver know when the time comes that it waits for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_ms = self._receiver.next_tick_ms()
        if due_ms is not None:
            delay_s = max(0, due_ms - _now_ms()) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._act(self._receiver.tick(_now_ms()))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
