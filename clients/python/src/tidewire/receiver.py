"""The receiving rules (docs/protocol.md section 3): order, holes, repeats, positions.

Pure: frames and the time go in, actions come out. Whoever runs it carries the actions out in their order, feeds the
answers back, and calls :meth:`Receiver.tick` at :meth:`Receiver.next_tick_ms`. tests/golden/receiver.json holds every
implementation to the same behaviour.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from random import random as _random
from typing import Any, Final

from tidewire.frames import Position
from tidewire.offsets import OffsetSet

# A hole still open after this is filled with `history`; when that fails, again after twice the time, and so on.
HOLE_MS: Final = 1_000
_HOLE_MAX_MS: Final = 60_000
# `sync` is asked when a channel has been quiet for so long; each time that it was asked, twice as long, since the next
# push shows the loss of the one before. Once something was missing, and for each subscription, it begins anew.
QUIET_MS: Final = 5_000
QUIET_MAX_MS: Final = 40_000
# Events kept back per channel: beyond it the newest are dropped, since `history` has them all.
_WAITING_MAX: Final = 1_000
# Publications of a channel by which a repeat at another offset is known; and for how long, which is as long as the
# server knows an id: after that it may be used again.
_SEEN_MAX: Final = 500
_SEEN_MS: Final = 300_000
# docs/protocol.md sections 2 and 2.1.
_BATCH_MAX_FRAMES: Final = 100
_HISTORY_MAX_LIMIT: Final = 300

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand this event to the application."""

    event: Event


@dataclass(frozen=True, slots=True)
class StartOver:
    """What lies between the application's last publication and ``position`` can't be had: it begins anew from there."""

    channel: str
    position: Position


@dataclass(frozen=True, slots=True)
class AskHistory:
    """Ask ``history``; the answer goes to :meth:`Receiver.filled`, its failure to :meth:`Receiver.not_filled`."""

    channel: str
    since: Position
    limit: int = _HISTORY_MAX_LIMIT


@dataclass(frozen=True, slots=True)
class AskSync:
    """Ask ``sync``; the answer goes to :meth:`Receiver.behind`, its failure to :meth:`Receiver.not_synced`."""

    positions: Mapping[str, Position]


Action = Deliver | StartOver | AskHistory | AskSync


@dataclass(slots=True)
class _Stream:
    """What is known of one channel.

    Attributes:
        position: Everything up to here was handed over or settled; ``None`` until the first answer to ``subscribe``.
        settled: Offsets beyond the position that were handed over or settled: those behind a hole.
        waiting: Events whose predecessor is missing, by epoch and offset.
        seen: When what was handed over was published, by user and message id; the latest last.
        opening: What ``subscribe`` answers, and what continues it, comes first: pushes wait.
        filling: An answer to ``history`` is on its way.
        heard_ms: When something came that ``sync`` was not asked about since.
        due_ms: When the hole is to be filled; ``None`` without a hole.
        failures: Fills that failed since the last that did not.
    """

    position: Position | None = None
    settled: OffsetSet = field(default_factory=OffsetSet)
    waiting: dict[tuple[str, int], Event] = field(default_factory=dict)
    seen: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict)
    opening: bool = True
    filling: bool = False
    heard_ms: int | None = None
    due_ms: int | None = None
    failures: int = 0


class Receiver:
    """Every channel of one application, over any number of connections one after another."""

    def __init__(self, random: Callable[[], float] = _random) -> None:
        self._streams: dict[str, _Stream] = {}
        self._spread = 1 + random() / 2  # of those who hear the same push, not all ask at the same moment
        self._quiet_ms = QUIET_MS

    def open(self, channel: str) -> None:
        """The channel is being subscribed to, for the first time or on a new connection: pushes wait for the answer."""
        stream = self._streams.setdefault(channel, _Stream())
        stream.opening, stream.filling, stream.due_ms, stream.failures = True, False, None, 0
        self._quiet_ms = QUIET_MS

    def close(self, channel: str) -> None:
        """The application wants no more of it."""
        self._streams.pop(channel, None)

    def since(self, channel: str) -> Position | None:
        """Return what a subscription is to be continued from."""
        stream = self._streams.get(channel)
        return stream.position if stream else None

    def subscribed(self, result: Mapping[str, Any], now_ms: int) -> list[Action]:
        """``subscribe`` has been answered with ``result``."""
        stream = self._streams.get(result["channel"])
        if stream is None or not stream.opening:
            return []
        channel, position = result["channel"], Position.from_wire(result["position"])
        known = stream.position
        if known is not None and result["recovered"] and known.epoch == position.epoch:
            return list(self._continue(channel, stream, result, now_ms))
        actions: list[Action] = [] if known is None else [StartOver(channel, position)]
        self._begin(stream, position)
        return [*actions, *self._release(stream, now_ms)]

    def not_subscribed(self, channel: str, now_ms: int) -> list[Action]:
        """Subscribing once more was refused: the subscription that stands goes on."""
        stream = self._streams.get(channel)
        if stream is None:
            return []
        stream.opening = False
        return list(self._release(stream, now_ms))

    def event(self, event: Event, now_ms: int) -> list[Action]:
        """An event was pushed."""
        stream = self._streams.get(event["channel"])
        if stream is None:
            return []
        if event.get("ephemeral"):
            return [Deliver(event)]
        if not _is_placed(event):
            return []  # what it was, `history` will tell
        if len(stream.waiting) < _WAITING_MAX:
            stream.waiting.setdefault((event["epoch"], event["offset"]), event)
        return list(self._release(stream, now_ms))

    def filled(self, channel: str, result: Mapping[str, Any], now_ms: int) -> list[Action]:
        """``history`` has answered with ``result``."""
        stream = self._streams.get(channel)
        if stream is None or stream.position is None or not stream.filling:
            return []
        if result["more"] and not result["publications"]:
            return self.not_filled(channel, now_ms)
        position = Position.from_wire(result["position"])
        if position.epoch == stream.position.epoch:
            return list(self._continue(channel, stream, result, now_ms))
        # The stream was replaced: nobody can say what lies between the two.
        self._begin(stream, position)
        return [StartOver(channel, position), *self._release(stream, now_ms)]

    def not_filled(self, channel: str, now_ms: int) -> list[Action]:
        """``history`` was refused or not answered: it is asked again later."""
        stream = self._streams.get(channel)
        if stream is not None and stream.filling:
            stream.filling = False
            stream.failures += 1
            stream.due_ms = now_ms + min(HOLE_MS * 2**stream.failures, _HOLE_MAX_MS)
        return []

    def behind(self, positions: Mapping[str, Mapping[str, Any]]) -> list[Action]:
        """``sync`` has answered: these streams go further than was known."""
        actions: list[Action] = []
        for channel, end in positions.items():
            stream = self._streams.get(channel)
            if stream is None or stream.position is None or stream.opening:
                continue
            if Position.from_wire(end).epoch != stream.position.epoch or end["offset"] > stream.position.offset:
                self._quiet_ms = QUIET_MS
                if not stream.filling:
                    actions.append(self._fill(channel, stream))
        return actions

    def not_synced(self, asked: Iterable[str], now_ms: int) -> None:
        """A ``sync`` of these channels was refused or not answered: it is asked again."""
        for channel in asked:
            if (stream := self._streams.get(channel)) is not None:
                stream.heard_ms = now_ms

    def sync(self) -> list[Action]:
        """Return a ``sync`` of every channel: for the idle heartbeat, and when the machine or the network wakes."""
        return self._sync(self._streams)

    def tick(self, now_ms: int) -> list[Action]:
        """Time has passed."""
        actions: list[Action] = [
            self._fill(channel, stream)
            for channel, stream in self._streams.items()
            if stream.due_ms is not None and stream.due_ms <= now_ms and not stream.filling
        ]
        if actions:
            self._quiet_ms = QUIET_MS
        heard = {channel: s.heard_ms for channel, s in self._streams.items() if s.heard_ms is not None}
        if heard and self._quiet_at_ms(heard.values()) <= now_ms:
            self._quiet_ms = min(2 * self._quiet_ms, QUIET_MAX_MS)
            actions += self._sync(channel for channel, heard_ms in heard.items() if heard_ms <= now_ms - QUIET_MS)
        return actions

    def next_tick_ms(self) -> int | None:
        """Return when :meth:`tick` has something to do; ``None`` if nothing is due."""
        due = [s.due_ms for s in self._streams.values() if s.due_ms is not None and not s.filling]
        if heard := [s.heard_ms for s in self._streams.values() if s.heard_ms is not None]:
            due.append(self._quiet_at_ms(heard))
        return min(due, default=None)

    def _quiet_at_ms(self, heard_ms: Iterable[int]) -> int:
        return min(heard_ms) + round(self._quiet_ms * self._spread)

    def _sync(self, channels: Iterable[str]) -> list[Action]:
        known = []
        for channel in channels:
            stream = self._streams[channel]
            stream.heard_ms = None
            if stream.position and not stream.opening:
                known.append((channel, stream.position))
        return [
            AskSync(dict(known[start : start + _BATCH_MAX_FRAMES])) for start in range(0, len(known), _BATCH_MAX_FRAMES)
        ]

    def _begin(self, stream: _Stream, position: Position) -> None:
        """Know nothing but the position, and what waits of the same stream behind it."""
        stream.position = position
        stream.settled = OffsetSet()
        stream.seen.clear()
        _forget_others(stream, position.epoch)
        stream.opening, stream.filling, stream.due_ms, stream.failures = False, False, None, 0

    def _continue(self, channel: str, stream: _Stream, result: Mapping[str, Any], now_ms: int) -> Iterator[Action]:
        """Hand over publications that go on from the position; ask for the rest if there is more."""
        assert stream.position is not None
        stream.filling, stream.due_ms, stream.failures = False, None, 0
        for event in result["publications"]:
            yield from self._settle_to(channel, stream, event["offset"] - 1)
            yield from self._hand_over(stream, event)
        if result.get("more"):
            yield self._fill(channel, stream)
            return
        yield from self._settle_to(channel, stream, Position.from_wire(result["position"]).offset)
        stream.opening = False
        # What was pushed of another stream than the one that answered is of one that has ended.
        _forget_others(stream, stream.position.epoch)
        yield from self._release(stream, now_ms)

    def _settle_to(self, channel: str, stream: _Stream, offset: int) -> Iterator[Action]:
        """Everything up to ``offset`` that was not handed over has gone from the log: say so, and go on from there."""
        assert stream.position is not None
        if offset > stream.position.offset and not stream.settled.covers(stream.position.offset + 1, offset):
            yield StartOver(channel, Position(stream.position.epoch, offset))
        self._settle(stream, stream.position.offset + 1, offset)

    def _release(self, stream: _Stream, now_ms: int) -> Iterator[Action]:
        """Hand over what waits and may go; see to the hole that is left."""
        if stream.position is None or stream.opening:
            return
        stream.heard_ms = now_ms
        for place in sorted(stream.waiting):
            event = stream.waiting[place]
            if event["epoch"] != stream.position.epoch:
                continue  # of a stream that has ended, or begun anew: `history` will tell
            prev_offset = event["prev_offset"]
            if prev_offset <= stream.position.offset or stream.settled.covers(prev_offset, prev_offset):
                del stream.waiting[place]
                yield from self._hand_over(stream, event)
        if not stream.waiting and not stream.settled:
            stream.due_ms = None
        elif stream.due_ms is None:
            stream.due_ms = now_ms + HOLE_MS

    def _hand_over(self, stream: _Stream, event: Event) -> Iterator[Action]:
        assert stream.position is not None
        offset = event["offset"]
        known = offset <= stream.position.offset or stream.settled.covers(offset, offset)
        mark = (event["sender"]["user_id"], event["message_id"])
        at_ms, seen_at_ms = event["published_at_ms"], stream.seen.get(mark)
        if not known and (seen_at_ms is None or abs(at_ms - seen_at_ms) >= _SEEN_MS):
            yield Deliver(event)
            stream.seen[mark] = at_ms
            stream.seen.move_to_end(mark)
            if len(stream.seen) > _SEEN_MAX:
                stream.seen.popitem(last=False)
        covers_from = event.get("covers_from")
        self._settle(stream, offset if covers_from is None else covers_from, offset)

    def _settle(self, stream: _Stream, first: int, last: int) -> None:
        assert stream.position is not None
        stream.settled.add(max(first, stream.position.offset + 1), last)
        stream.position = Position(stream.position.epoch, stream.settled.advance(stream.position.offset))

    def _fill(self, channel: str, stream: _Stream) -> AskHistory:
        assert stream.position is not None
        stream.filling, stream.due_ms = True, None
        return AskHistory(channel, stream.position)


def positions_to_wire(positions: Mapping[str, Position]) -> dict[str, Any]:
    """Return the ``positions`` of a ``sync`` request."""
    return {channel: position.to_wire() for channel, position in positions.items()}


def _forget_others(stream: _Stream, epoch: str) -> None:
    stream.waiting = {place: event for place, event in stream.waiting.items() if place[0] == epoch}


def is_subscription(result: Any, channel: str) -> bool:
    """Tell whether it can be taken as the answer to ``subscribe``."""
    return (
        _is_run(result)
        and result.get("channel") == channel
        and isinstance(result.get("recovered"), bool)
        and isinstance(result.get("more", False), bool)
    )


def is_history(result: Any) -> bool:
    """Tell whether it can be taken as the answer to ``history``."""
    return _is_run(result) and isinstance(result.get("more"), bool)


def is_position(position: Any) -> bool:
    """Tell whether it is a place in a stream."""
    return (
        isinstance(position, dict)
        and isinstance(position.get("epoch"), str)
        and isinstance(position.get("offset"), int)
    )


def _is_run(result: Any) -> bool:
    return (
        isinstance(result, dict)
        and is_position(result.get("position"))
        and isinstance(result.get("publications"), list)
        and all(isinstance(event, dict) and _is_placed(event) for event in result["publications"])
    )


def _is_placed(event: Event) -> bool:
    """Tell whether it has all that an event with a place in the stream has."""
    sender, covers_from = event.get("sender"), event.get("covers_from")
    return (
        is_position(event)
        and all(isinstance(event.get(name), int) for name in ("prev_offset", "published_at_ms"))
        and all(isinstance(event.get(name), str) for name in ("channel", "name", "message_id", "priority"))
        and "data" in event
        and (covers_from is None or isinstance(covers_from, int))
        and isinstance(sender, dict)
        and isinstance(sender.get("user_id"), str)
    )
