"""The receiving rules: golden scenarios that every client is held to, and a network that does its worst."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.domain.publication import PRIORITIES
from tidewire.frames import Position
from tidewire.offsets import OffsetSet
from tidewire.receiver import Action, AskHistory, AskSync, Deliver, Receiver, StartOver, positions_to_wire

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "receiver.json").read_text())
CHANNEL = "room:a"


def to_wire(action: Action) -> dict[str, Any]:
    """Return an action as the golden scenarios write it."""
    match action:
        case Deliver(event):
            return {"deliver": event.get("offset", event["message_id"])}
        case StartOver(channel, position):
            return {"start_over": channel, "position": position.to_wire()}
        case AskHistory(channel, since, _):
            return {"history": channel, "since": since.to_wire()}
        case AskSync(positions):
            return {"sync": positions_to_wire(positions)}


def full(event: dict[str, Any]) -> dict[str, Any]:
    """Fill in what a scenario leaves out of an event."""
    base = {"channel": CHANNEL, "name": "said", "data": None, "epoch": "e", "prev_offset": 0, "priority": "normal"}
    sender = {"user_id": "ann", "connection_id": None}
    return base | {"message_id": f"m{event.get('offset')}", "sender": sender, "published_at_ms": 0} | event


def step(receiver: Receiver, call: dict[str, Any]) -> list[Action]:
    now_ms, channel = call.get("at_ms", 0), call.get("channel", CHANNEL)
    result = dict(call.get("result", {}))
    if "publications" in result:
        result["publications"] = [full(event) for event in result["publications"]]
    match call["call"]:
        case "open":
            receiver.open(channel)
            return []
        case "close":
            receiver.close(CHANNEL)
            return []
        case "subscribed":
            return receiver.subscribed({"channel": channel, **result}, now_ms)
        case "event":
            return receiver.event(full(call["event"]), now_ms)
        case "filled":
            return receiver.filled(CHANNEL, result, now_ms)
        case "not_filled":
            return receiver.not_filled(CHANNEL, now_ms)
        case "behind":
            return receiver.behind(call["positions"])
        case "not_synced":
            receiver.not_synced(call["positions"], now_ms)
            return []
        case "tick":
            return receiver.tick(now_ms)
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize("scenario", GOLDEN, ids=[scenario["name"] for scenario in GOLDEN])
def test_golden(scenario: dict[str, Any]) -> None:
    receiver = Receiver(lambda: 0.0)
    for index, call in enumerate(scenario["steps"]):
        actions = [to_wire(action) for action in step(receiver, call)]
        assert actions == call.get("actions", []), f"step {index}: {call['call']}"
        if "next_tick_ms" in call:
            assert receiver.next_tick_ms() == call["next_tick_ms"], f"step {index}: {call['call']}"


@pytest.mark.parametrize(("random", "asks_at_ms"), [(0.0, 6_000), (0.5, 7_250), (1.0, 8_500)])
def test_those_who_hear_the_same_push_do_not_all_ask_at_the_same_moment(random: float, asks_at_ms: int) -> None:
    receiver = Receiver(lambda: random)
    receiver.open(CHANNEL)
    position = {"epoch": "e", "offset": 0}
    receiver.subscribed({"channel": CHANNEL, "position": position, "recovered": False, "publications": []}, 1_000)
    assert receiver.next_tick_ms() == asks_at_ms


@dataclass
class Network:
    """A log, a subscriber's receiver, and a way between them that loses, repeats and reorders."""

    receiver: Receiver = field(default_factory=Receiver)
    log: list[dict[str, Any]] = field(default_factory=list)
    pushes: list[dict[str, Any]] = field(default_factory=list)
    asked: list[Action] = field(default_factory=list)
    delivered: list[dict[str, Any]] = field(default_factory=list)
    started_over: list[Position] = field(default_factory=list)
    dropped_below: int = 0  # retention
    now_ms: int = 0

    @property
    def position(self) -> dict[str, Any]:
        return {"epoch": "e", "offset": len(self.log)}

    def publish(self, lane: int) -> None:
        before = [event["offset"] for event in self.log if event["priority"] == PRIORITIES[lane]]
        offset, prev_offset = len(self.log) + 1, before[-1] if before else 0
        event = full({"offset": offset, "prev_offset": prev_offset, "priority": PRIORITIES[lane]})
        self.log.append(event)
        self.pushes.append(event)

    def take(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Deliver(event):
                    self.delivered.append(dict(event))
                case StartOver(_, position):
                    self.started_over.append(position)
                case _:
                    self.asked.append(action)

    def answer(self, action: Action, limit: int) -> None:
        match action:
            case AskHistory(channel, since, _):
                rest = [e for e in self.log if e["offset"] > max(since.offset, self.dropped_below)]
                result = {"publications": rest[:limit], "position": self.position, "more": len(rest) > limit}
                self.take(self.receiver.filled(channel, result, self.now_ms))
            case AskSync(positions):
                behind = {c: self.position for c, p in positions.items() if p.offset < len(self.log)}
                self.take(self.receiver.behind(behind))

    def subscribe(self, limit: int) -> None:
        self.asked.clear()
        self.receiver.open(CHANNEL)
        since = self.receiver.since(CHANNEL)
        result: dict[str, Any] = {"channel": CHANNEL, "position": self.position, "publications": []}
        if since is None or since.offset < self.dropped_below:
            result["recovered"] = False
        else:
            rest = self.log[since.offset :]
            result |= {"recovered": True, "publications": rest[:limit]}
            if len(rest) > limit:
                result["more"] = True
        self.take(self.receiver.subscribed(result, self.now_ms))

    def quiesce(self) -> None:
        """Nothing is published any more, and what is asked is answered; then the idle heartbeat comes."""
        self.rest()
        self.take(self.receiver.sync())
        self.rest()

    def rest(self) -> None:
        for _ in range(1000):
            while self.asked:
                self.answer(self.asked.pop(0), 300)
            due_ms = self.receiver.next_tick_ms()
            if due_ms is None:
                return
            self.now_ms = max(self.now_ms, due_ms)
            self.take(self.receiver.tick(self.now_ms))
        raise AssertionError("it never comes to rest")


moves = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(0, 3)),
        st.tuples(st.sampled_from(["push", "repeat", "lose"]), st.integers(0, 100)),
        st.tuples(st.just("answer"), st.integers(1, 5)),
        st.tuples(st.just("refuse"), st.just(0)),
        st.tuples(st.just("reconnect"), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.integers(1, 4000)),
        st.tuples(st.just("forget"), st.integers(1, 3)),
    ),
    max_size=80,
)


def run(script: list[tuple[str, int]], *, forgets: bool) -> Network:
    network = Network()
    network.publish(2)
    network.subscribe(5)
    for move, number in script:
        match move:
            case "publish":
                network.publish(number)
            case "push" | "repeat" if network.pushes:
                index = number % len(network.pushes)
                event = network.pushes[index] if move == "repeat" else network.pushes.pop(index)
                network.take(network.receiver.event(event, network.now_ms))
            case "lose" if network.pushes:
                network.pushes.pop(number % len(network.pushes))
            case "answer" if network.asked:
                network.answer(network.asked.pop(0), number)
            case "refuse" if network.asked:
                match network.asked.pop(0):
                    case AskSync(positions):
                        network.receiver.not_synced(positions, network.now_ms)
                    case _:
                        network.take(network.receiver.not_filled(CHANNEL, network.now_ms))
            case "reconnect":
                network.subscribe(number)
            case "wait":
                network.now_ms += number
                network.take(network.receiver.tick(network.now_ms))
            case "forget" if forgets:
                network.dropped_below = min(network.dropped_below + number, len(network.log))
    network.quiesce()
    return network


@settings(max_examples=400, deadline=None)
@given(moves)
@example(
    [("wait", 4000), ("wait", 4000), ("answer", 1), ("publish", 0), ("lose", 0)]
)  # nothing tells but the heartbeat
def test_everything_is_handed_over_once_and_in_order_of_its_priority(script: list[tuple[str, int]]) -> None:
    network = run(script, forgets=False)
    assert network.started_over == []
    assert sorted(event["offset"] for event in network.delivered) == list(range(2, len(network.log) + 1))
    for priority in PRIORITIES:
        offsets = [event["offset"] for event in network.delivered if event["priority"] == priority]
        assert offsets == sorted(offsets)


@settings(max_examples=400, deadline=None)
@given(moves)
def test_what_the_log_has_lost_is_told_and_nothing_else_is_missed(script: list[tuple[str, int]]) -> None:
    network = run(script, forgets=True)
    offsets = [event["offset"] for event in network.delivered]
    assert len(offsets) == len(set(offsets))
    missed = set(range(2, len(network.log) + 1)) - set(offsets)
    told = max((position.offset for position in network.started_over), default=0)
    assert max(missed, default=0) <= told
    assert not told or network.dropped_below


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30))), st.integers(0, 30))
def test_offset_sets_are_sets(ranges: list[tuple[int, int]], start: int) -> None:
    known, model = OffsetSet(), set[int]()
    for first, last in ranges:
        known.add(first, last)
        model |= set(range(first, last + 1))
    for offset in range(1, 32):
        assert known.covers(offset, offset) == (offset in model)
    end = start
    while end + 1 in model or any(o > end and o <= end + 1 for o in model):
        end += 1
    assert known.advance(start) == end
