"""Reads what publishers and subscribers wrote down, and says which delivery promises (docs/protocol.md) were broken.

Knows neither the server nor the clients, only two kinds of journal lines, one JSON object each. Publishers'::

    {"kind": "published", "channel", "user", "message_id", "priority", "digest", "acknowledged": bool,
     "position": {} or null, "sent_at_ms", "batch", "index", "acknowledged_at_ms": n or null}
                      once when it is settled, again for each later repeat; "index" is its place in its user's batch

and subscribers', those of one subscriber in the order in which its application was told::

    {"kind": "subscribed", "subscriber", "channel", "epoch", "offset"}                          where it begins
    {"kind": "recovered", "subscriber", "channel", "since": {}, "position": {}, "whole": bool, "more": bool,
     "offsets": [...], "asked_at_ms"}                                                    an answer to "what did I miss?"
    {"kind": "handed", "subscriber", "channel", "epoch", "offset", "user", "message_id", "priority", "digest", "at_ms",
     "by", "covers_from"?}                                            "by" is how it came: "push" or "repair"
    {"kind": "started_over", "subscriber", "channel", "epoch", "offset"}               it was told of what can't be had
"""

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

Line = Mapping[str, Any]
Kind = Literal["lost", "doubled", "reordered", "conflicting", "invented", "wrongly_recovered", "refused"]
Place = tuple[str, int]  # epoch, offset
Message = tuple[str, str]  # user, message id

RECOVERY_LIMIT: Final = 300  # more than this a server need not recover
HISTORY_COUNT: Final = 1_000  # more than this it need not keep


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken promise.

    Attributes:
        kind: ``lost``: an acknowledged or stored publication was not handed over. ``doubled``: it was twice, or is
            stored twice. ``reordered``: against the order of its channel and priority. ``conflicting``: what is known
            of a place or a publication contradicts itself. ``invented``: nobody published it. ``wrongly_recovered``: an
            answer said to be whole was not. ``refused``: a recovery within limit and retention was refused.
    """

    kind: Kind
    channel: str
    text: str


@dataclass(slots=True)
class Report:
    """What a journal shows."""

    findings: list[Finding] = field(default_factory=list)
    publications: int = 0
    acknowledged: int = 0
    repeats: int = 0
    subscribers: int = 0
    recovered: int = 0
    too_far_behind: int = 0
    dark: int = 0  # places that nobody was handed, and everybody was excused from
    handed: Counter[str] = field(default_factory=Counter)  # by how they came

    def count(self, kind: Kind) -> int:
        """Return how often this promise was broken."""
        return sum(finding.kind == kind for finding in self.findings)

    def add(self, other: "Report") -> None:
        """Take in what another journal shows, of other publications and subscribers."""
        self.findings += other.findings
        self.publications += other.publications
        self.acknowledged += other.acknowledged
        self.repeats += other.repeats
        self.subscribers += other.subscribers
        self.recovered += other.recovered
        self.too_far_behind += other.too_far_behind
        self.dark += other.dark
        self.handed += other.handed

    @property
    def pushed_share(self) -> float:
        """Of what was handed over, the share that came by push."""
        return self.handed["push"] / max(1, self.handed.total())


def read(path: Path) -> Iterator[Line]:
    """Yield the lines of a journal."""
    with path.open() as lines:
        for line in lines:
            yield json.loads(line)


def check(lines: Iterable[Line], *, conflated: bool = False) -> Report:
    """Check a whole journal; ``conflated`` tells whether an event may stand for others before it."""
    channels: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        channels[line["channel"]].append(line)
    report = Report()
    subscribers: set[str] = set()
    for channel, of_channel in channels.items():
        _Channel(channel, conflated, report).check(of_channel)
        subscribers |= {line["subscriber"] for line in of_channel if "subscriber" in line}
    report.subscribers = len(subscribers)
    return report


@dataclass(slots=True)
class _Stream:
    """What all journals together tell of one epoch of a channel."""

    messages: dict[int, Message] = field(default_factory=dict)
    end: int = 0


class _Channel:
    def __init__(self, channel: str, conflated: bool, report: Report) -> None:
        self._channel, self._conflated, self._report = channel, conflated, report
        self._streams: dict[str, _Stream] = defaultdict(_Stream)
        self._places: dict[Message, Place] = {}
        self._published: dict[Message, Line] = {}

    def check(self, lines: list[Line]) -> None:
        published = [line for line in lines if line["kind"] == "published"]
        self._read_published(published)
        handed = [line for line in lines if line["kind"] == "handed"]
        for line in handed:
            self._report.handed[line["by"]] += 1
            self._place(_message(line), line["epoch"], line["offset"])
            self._compare_with_published(line)
        for line in lines:
            if line["kind"] in ("subscribed", "started_over"):
                self._reach(line["epoch"], line["offset"])
        self._check_stored_order()
        self._check_unseen()
        known_ends = self._known_ends(published, handed)
        of_subscribers: dict[str, list[Line]] = defaultdict(list)
        for line in lines:
            if "subscriber" in line:
                of_subscribers[line["subscriber"]].append(line)
        for subscriber, told in of_subscribers.items():
            for line in told:
                if line["kind"] == "recovered":
                    self._check_recovery(line, known_ends)
            _Application(self, subscriber).check(told)

    def found(self, kind: Kind, text: str) -> None:
        self._report.findings.append(Finding(kind, self._channel, text))

    def end(self, epoch: str) -> int:
        return self._streams[epoch].end

    def message_at(self, epoch: str, offset: int) -> Message | None:
        return self._streams[epoch].messages.get(offset)

    def was_too_far_behind(self) -> None:
        self._report.too_far_behind += 1

    def _read_published(self, published: list[Line]) -> None:
        for line in published:
            message = _message(line)
            before = self._published.get(message)
            if before is None:
                self._published[message] = line
            else:
                self._report.repeats += 1
                if line["acknowledged"] and not before["acknowledged"]:
                    self._published[message] = {**line, "sent_at_ms": before["sent_at_ms"]}
            if line["position"] is not None:
                self._place(message, line["position"]["epoch"], line["position"]["offset"])
        self._report.publications += len(self._published)
        self._report.acknowledged += sum(line["acknowledged"] for line in self._published.values())

    def _place(self, message: Message, epoch: str, offset: int) -> None:
        """Note that the message stands there; it may stand nowhere else, and nothing else may stand there."""
        self._reach(epoch, offset)
        there = self._streams[epoch].messages.setdefault(offset, message)
        if there != message:
            self.found("conflicting", f"{epoch}:{offset} is {there} to one and {message} to another")
        place = self._places.setdefault(message, (epoch, offset))
        if place != (epoch, offset):
            self.found("doubled", f"{message} is stored at {place} and at {(epoch, offset)}")

    def _reach(self, epoch: str, offset: int) -> None:
        stream = self._streams[epoch]
        stream.end = max(stream.end, offset)

    def _compare_with_published(self, handed: Line) -> None:
        published = self._published.get(_message(handed))
        if published is None:
            self.found("invented", f"{_message(handed)} was published by nobody")
        elif published["priority"] != handed["priority"]:
            self.found("conflicting", f"{_message(handed)} was {published['priority']}, is {handed['priority']}")
        elif published["digest"] != handed["digest"]:
            self.found("conflicting", f"{_message(handed)} has other contents than were published")
        if "covers_from" in handed and not self._conflated:
            self.found("conflicting", f"{_message(handed)} covers what has to be handed over")

    def _check_stored_order(self) -> None:
        """What a user sent when another was acknowledged, or behind it in a batch, stands behind it in its priority."""
        lanes: dict[tuple[str, str, str], list[tuple[int, Line]]] = defaultdict(list)
        for message, (epoch, offset) in self._places.items():
            if (line := self._published.get(message)) is not None:
                lanes[epoch, line["user"], line["priority"]].append((offset, line))
        for stored in lanes.values():
            latest_sent_at_ms = -1
            latest_of_batch: dict[int, int] = {}
            for offset, line in sorted(stored, key=lambda place: place[0]):
                acknowledged_at_ms, sent_at_ms = line["acknowledged_at_ms"], line["sent_at_ms"]
                if acknowledged_at_ms is not None and acknowledged_at_ms < latest_sent_at_ms:
                    self.found("reordered", f"{_message(line)} at {offset} stands behind what was sent after it")
                latest_sent_at_ms = max(latest_sent_at_ms, sent_at_ms)
                if line["index"] < latest_of_batch.get(line["batch"], -1):
                    self.found("reordered", f"{_message(line)} at {offset} stands behind what its batch had after it")
                latest_of_batch[line["batch"]] = line["index"]

    def _check_unseen(self) -> None:
        """What was acknowledged stands somewhere, be it in a place that everybody was excused from reading."""
        unseen = [m for m, line in self._published.items() if line["acknowledged"] and m not in self._places]
        dark = sum(stream.end - len(stream.messages) for stream in self._streams.values())
        self._report.dark += dark
        for message in unseen[dark:]:
            self.found("lost", f"{message} was acknowledged and nobody saw it")

    def _known_ends(self, published: list[Line], handed: list[Line]) -> tuple[list[int], list[Place]]:
        """Return when anybody learned of positions, and the furthest that was known then."""
        learned = [
            (line["acknowledged_at_ms"], line["position"]["offset"], line["position"]["epoch"])
            for line in published
            if line["position"] is not None
        ]
        learned += [(line["at_ms"], line["offset"], line["epoch"]) for line in handed]
        learned.sort()
        times: list[int] = []
        places: list[Place] = []
        for at_ms, offset, epoch in learned:
            if not places or offset > places[-1][1] or epoch != places[-1][0]:
                times.append(at_ms)
                places.append((epoch, offset))
        return times, places

    def _check_recovery(self, line: Line, known_ends: tuple[list[int], list[Place]]) -> None:
        who, since, position, offsets = line["subscriber"], line["since"], line["position"], line["offsets"]
        same = since["epoch"] == position["epoch"]
        missed = position["offset"] - since["offset"]
        if not line["whole"]:
            if same and missed <= RECOVERY_LIMIT:
                self.found("refused", f"{who} asked since {since} and was refused at {position}")
            return
        self._report.recovered += 1
        if not same or offsets != list(range(since["offset"] + 1, since["offset"] + 1 + len(offsets))):
            self.found("wrongly_recovered", f"{who} since {since} was given {offsets}, up to {position}")
        elif not line["more"] and len(offsets) != missed:
            self.found("wrongly_recovered", f"{who} since {since} was given {len(offsets)} of {missed}")
        times, places = known_ends
        index = bisect_right(times, line["asked_at_ms"] - 1) - 1
        if index >= 0 and places[index][0] == position["epoch"] and places[index][1] > position["offset"]:
            self.found("wrongly_recovered", f"{who} was told {position} when {places[index]} was known")


class _Application:
    """What one subscriber's application was told of one channel."""

    def __init__(self, channel: _Channel, subscriber: str) -> None:
        self._channel, self._subscriber = channel, subscriber
        self._epoch: str | None = None
        self._settled = 0  # everything up to here was handed over or excused
        self._beyond: set[int] = set()
        self._last: dict[str, int] = {}
        self._refused_at: Place | None = None

    def check(self, lines: list[Line]) -> None:
        for line in lines:
            if line["kind"] == "subscribed":
                self._begin(line)
            elif line["kind"] == "recovered" and not line["whole"]:
                self._refused_at = line["position"]["epoch"], line["position"]["offset"]
            elif line["kind"] == "started_over":
                self._start_over(line)
            elif line["kind"] == "handed":
                self._take(line)
        if self._epoch is None:
            self._found("lost", "it was never told where it begins")
        else:
            self._expect_up_to(self._channel.end(self._epoch))

    def _found(self, kind: Kind, text: str) -> None:
        self._channel.found(kind, f"{self._subscriber}: {text}")

    def _begin(self, line: Line) -> None:
        self._epoch, self._settled, self._beyond = line["epoch"], line["offset"], set()
        self._last = {}

    def _start_over(self, line: Line) -> None:
        self._advance()
        offset = line["offset"]
        if line["epoch"] != self._epoch:
            self._found("refused", f"started over in {line['epoch']} after {self._epoch}, which nobody ended")
            self._begin(line)
            return
        missed = offset - self._settled
        # What is still kept can be had by `history`, unless the server has refused to recover so much.
        if missed > HISTORY_COUNT or (missed > RECOVERY_LIMIT and self._refused_at == (self._epoch, offset)):
            self._channel.was_too_far_behind()
        else:
            self._found("refused", f"started over at {offset} after {self._settled}")
        self._settled = max(self._settled, offset)
        self._beyond = {known for known in self._beyond if known > self._settled}

    def _take(self, line: Line) -> None:
        offset, priority = line["offset"], line["priority"]
        if line["epoch"] != self._epoch:
            self._found("conflicting", f"was handed {offset} of {line['epoch']} while it read {self._epoch}")
            return
        if offset <= self._settled or offset in self._beyond:
            self._found("doubled", f"{offset} was handed over again, or after starting over behind it")
        if offset < self._last.get(priority, 0):
            self._found("reordered", f"{offset} came after {self._last[priority]}, both {priority}")
        self._last[priority] = max(offset, self._last.get(priority, 0))
        self._beyond.update(range(max(line.get("covers_from", offset), self._settled + 1), offset + 1))
        self._advance()

    def _advance(self) -> None:
        while self._settled + 1 in self._beyond:
            self._settled += 1
            self._beyond.discard(self._settled)

    def _expect_up_to(self, end: int) -> None:
        assert self._epoch is not None
        for offset in range(self._settled + 1, end + 1):
            if offset not in self._beyond:
                what = self._channel.message_at(self._epoch, offset) or "which nobody was handed"
                self._found("lost", f"{offset} ({what}) was not handed over")


def _message(line: Line) -> Message:
    return line["user"], line["message_id"]
