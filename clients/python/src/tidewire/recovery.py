"""Does what the receiving rules ask for: hands over, asks ``history`` and ``sync``, and keeps their clock."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidewire.errors import FORBIDDEN, TidewireError, is_passing, uncertain
from tidewire.frames import Frame, Position
from tidewire.host import Host
from tidewire.receiver import (
    Action,
    AskHistory,
    AskSync,
    Deliver,
    Receiver,
    StartOver,
    is_history,
    is_position,
    positions_to_wire,
)


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told what.

    Attributes:
        deliver: An event's turn has come.
        start_over: What was missed in this channel up to this position can't be had.
        resubscribe: Have the channel subscribe again, from ``since`` on.
    """

    deliver: Callable[[Mapping[str, Any]], None]
    start_over: Callable[[str, Position], None]
    resubscribe: Callable[[str], None]


class Recovery:
    """Of all channels of one client."""

    def __init__(self, host: Host, told: Told) -> None:
        self._host, self._told = host, told
        self._receiver = Receiver(host.random)
        self._fills: dict[str, AskHistory] = {}  # by channel: an answer to any other is of no use any more
        self._timer: asyncio.TimerHandle | None = None

    def open(self, channel: str) -> None:
        """The channel is about to be subscribed to, from ``since`` on: until the answer is there, pushes wait."""
        self._receiver.open(channel)

    def close(self, channel: str) -> None:
        """The application wants no more of it."""
        self._receiver.close(channel)
        self._fills.pop(channel, None)

    def since(self, channel: str) -> Position | None:
        """Return what a subscription is to be continued from."""
        return self._receiver.since(channel)

    def subscribed(self, result: Frame) -> None:
        """``subscribe`` has been answered."""
        self._act(self._receiver.subscribed(result, _now_ms()))

    def not_subscribed(self, channel: str) -> None:
        """Subscribing once more was refused: the subscription that stands goes on."""
        self._act(self._receiver.not_subscribed(channel, _now_ms()))

    def event(self, event: Frame) -> None:
        """An event was pushed."""
        self._act(self._receiver.event(event, _now_ms()))

    def behind(self, positions: Mapping[str, Mapping[str, Any]]) -> None:
        """The server says that these streams go further than we know."""
        known = {channel: end for channel, end in positions.items() if is_position(end)}
        self._act(self._receiver.behind(known))

    def sync(self) -> None:
        """Ask which streams go further than we know. Without any it is the heartbeat alone."""
        self._act(self._receiver.sync() or [AskSync({})])

    def disconnected(self) -> None:
        """Nothing can be asked until the next answer to ``subscribe``."""
        if self._timer is not None:
            self._timer.cancel()

    def _act(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case AskSync():
                    self._host.spawn(self._sync(action))
                case Deliver(event) if event.get("ephemeral") or self._stands(event["channel"]):
                    self._told.deliver(event)
                case StartOver(channel, position) if self._stands(channel):
                    self._told.start_over(channel, position)
                case AskHistory(channel) if self._stands(channel):
                    self._fills[channel] = action
                    self._host.spawn(self._history(action))
        self._schedule()

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due_ms = self._receiver.next_tick_ms()
        if due_ms is not None and self._host.connected():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(due_ms / 1000, lambda: self._act(self._receiver.tick(_now_ms())))

    def _stands(self, channel: str) -> bool:
        """Whether an action's subscription is still the one: a listener may have ended it, or begun another."""
        return self.since(channel) is not None

    async def _history(self, asked: AskHistory) -> None:
        channel = asked.channel
        request = {"type": "history", "channel": channel, "since": asked.since.to_wire(), "limit": asked.limit}
        try:
            result = await self._host.ask(request)
            if not is_history(result):
                raise uncertain("the answer makes no sense")
        except TidewireError as error:
            if self._fills.get(channel) is asked:
                self._not_filled(channel, error)
        else:
            if self._fills.get(channel) is asked:
                self._act(self._receiver.filled(channel, result, _now_ms()))

    def _not_filled(self, channel: str, error: TidewireError) -> None:
        if error.code == FORBIDDEN:
            # The token allows to subscribe, not to read history; recovery comes with the subscription. It is the
            # channel that asks: without what its parts want it would be told no more of that.
            self._told.resubscribe(channel)
            return
        if not is_passing(error):
            self._host.report(error)
        self._act(self._receiver.not_filled(channel, _now_ms()))

    async def _sync(self, asked: AskSync) -> None:
        try:
            result = await self._host.ask({"type": "sync", "positions": positions_to_wire(asked.positions)})
            if not isinstance(result, dict) or not isinstance(result.get("behind"), dict):
                raise uncertain("the answer makes no sense")
        except TidewireError as error:
            if not is_passing(error):
                self._host.report(error)  # the next traffic or heartbeat asks again
                return
            self._receiver.not_synced(asked.positions, _now_ms())
            self._schedule()
        else:
            self.behind(result["behind"])


def _now_ms() -> int:
    """Milliseconds that only go forward, whatever happens to the machine's clock."""
    return round(asyncio.get_running_loop().time() * 1000)
