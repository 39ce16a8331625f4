"""Back from the dead letters: as it was, marked as a repeat; and with an end, whatever is refused again."""

import json
from typing import Any

import pytest

from shared.adapters.memory import MemoryDeadLetterQueues
from shared.domain.dead_letter import DeadLetter, RedrivenQueue
from shared.domain.principal import Principal
from shared.errors import ForbiddenError, NotFoundError, UnavailableError
from shared.services.redrive import TAKEN_MAX, WORK_MAX_MS, Redrive, again
from tests.unit.stack import Clock

ADMIN = Principal("root", {"*": ["admin"]})
RECORD: dict[str, Any] = {"channel": "room:a", "publication": {"i": "m"}}
EVENT: dict[str, Any] = {"id": "e", "source": "billing", "detail": {"channel": "room:a", "name": "n", "data": 1}}


class Queues(MemoryDeadLetterQueues):
    """Dead letters, of whom some are refused again as soon as they are back."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.refuses = False
        self.each_take_s = 0.0

    def bury(self, queue: RedrivenQueue, *bodies: str) -> None:
        for body in bodies:
            place = f"{queue} {len(self.letters[queue]) + len(self.returned)}"
            self.letters[queue].append(DeadLetter(place, f"receipt {place}", body, self.clock(), "group"))

    def take(self, queue: RedrivenQueue) -> Any:
        self.clock.pass_s(self.each_take_s)
        return super().take(queue)

    def put_back(self, queue: RedrivenQueue, letters: Any) -> None:
        super().put_back(queue, letters)
        if self.refuses:
            self.bury(queue, *(body for _, body in letters))

    def hand_out_again(self, queue: RedrivenQueue) -> None:
        """Let a minute pass: what was taken and left is there again."""
        self.clock.pass_s(60)
        self.letters[queue] += self.held.pop(queue, [])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queues(clock: Clock) -> Queues:
    return Queues(clock)


@pytest.fixture
def redrive(queues: Queues, clock: Clock) -> Redrive:
    return Redrive(queues, clock)


def test_a_record_is_put_back_as_a_repeat() -> None:
    assert json.loads(again("high", json.dumps(RECORD)) or "") == {**RECORD, "retry": True}


def test_so_is_an_event() -> None:
    assert json.loads(again("events", json.dumps(EVENT)) or "") == {
        **EVENT,
        "detail": {**EVENT["detail"], "retry": True},
    }


@pytest.mark.parametrize("queue", ["low", "events"])
@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "5",
        "[]",
        '"detail"',
        '"publication"',
        '{"detail": 5}',
        "{}",
        '{"channel": "a", "publication": 5}',
        '{"channel": "a", "publication": [["a", 1]]}',
        "[" * 100_000,
        json.dumps({"publication": {"d": "ü" * 200_000}, "detail": {"data": "ü" * 200_000}}),
    ],
    ids=lambda body: body[:40],
)
def test_what_is_neither_is_left_where_it_is(queue: RedrivenQueue, body: str) -> None:
    assert again(queue, body) is None


def test_a_record_is_no_event_and_an_event_no_record() -> None:
    assert (again("events", json.dumps(RECORD)), again("normal", json.dumps(EVENT))) == (None, None)


def test_all_that_can_be_read_is_put_back_and_the_rest_is_left(queues: Queues, redrive: Redrive, clock: Clock) -> None:
    queues.bury("high", "no json", *[json.dumps(RECORD)] * 24, "{}")
    queues.bury("events", json.dumps(EVENT))
    clock.pass_s(1)
    done = redrive.redrive(ADMIN, "high", None)
    assert (done.redriven, done.unreadable, done.more, done.before_ms) == (24, 2, False, clock())
    assert [(queue, json.loads(body)["retry"]) for queue, _, body in queues.returned] == [("high", True)] * 24
    assert redrive.waiting(ADMIN) == {"high": 2, "normal": 0, "low": 0, "events": 1}


def test_one_call_does_so_much_and_no_more(queues: Queues, redrive: Redrive, clock: Clock) -> None:
    queues.bury("low", *[json.dumps(RECORD)] * (TAKEN_MAX + 5))
    clock.pass_s(1)
    first = redrive.redrive(ADMIN, "low", None)
    assert (first.redriven, first.more) == (TAKEN_MAX, True)
    second = redrive.redrive(ADMIN, "low", first.before_ms)
    assert (second.redriven, second.more, second.before_ms) == (5, False, first.before_ms)


def test_a_slow_queue_ends_a_call_in_time(queues: Queues, redrive: Redrive, clock: Clock) -> None:
    queues.bury("low", *[json.dumps(RECORD)] * 100)
    clock.pass_s(1)
    queues.each_take_s, begun_ms = 4, clock()
    assert (redrive.redrive(ADMIN, "low", None).more, len(queues.returned)) == (True, 30)
    assert clock() - begun_ms < WORK_MAX_MS + 4_001


def test_what_is_refused_again_is_left_and_so_there_is_an_end(queues: Queues, redrive: Redrive, clock: Clock) -> None:
    queues.bury("normal", *[json.dumps(RECORD)] * 2_500, "no json")
    clock.pass_s(1)
    queues.refuses = True
    before_ms, redriven, calls, more = None, 0, 0, True
    while more:
        done = redrive.redrive(ADMIN, "normal", before_ms)
        before_ms, redriven, calls, more = done.before_ms, redriven + done.redriven, calls + 1, done.more
        queues.hand_out_again("normal")
        assert calls < 10
    assert redriven == 2_500
    assert redrive.waiting(ADMIN)["normal"] == 2_501


def test_nobody_can_say_that_it_is_later_than_it_is(queues: Queues, redrive: Redrive, clock: Clock) -> None:
    queues.bury("normal", json.dumps(RECORD))
    clock.pass_s(1)
    queues.refuses = True
    done = redrive.redrive(ADMIN, "normal", clock() + 1_000_000)
    assert (done.redriven, done.before_ms) == (1, clock())


def test_what_is_not_known_to_be_back_is_told_as_that(clock: Clock) -> None:
    class Busy(Queues):
        def put_back(self, queue: RedrivenQueue, letters: Any) -> None:
            raise UnavailableError

    queues = Busy(clock)
    queues.bury("high", json.dumps(RECORD))
    clock.pass_s(1)
    with pytest.raises(UnavailableError):
        Redrive(queues, clock).redrive(ADMIN, "high", None)
    assert queues.waiting("high") == 1


@pytest.mark.parametrize("queue", ["", "express", "HIGH", "high ", "delivery", "*"])
def test_there_are_no_other_queues(redrive: Redrive, queue: str) -> None:
    with pytest.raises(NotFoundError):
        redrive.redrive(ADMIN, queue, None)


@pytest.mark.parametrize("caps", [{}, {"*": ["publish"]}, {"room:*": ["admin"]}])
def test_who_is_no_admin_neither_sees_nor_moves_them(
    queues: Queues, redrive: Redrive, clock: Clock, caps: dict[str, list[str]]
) -> None:
    queues.bury("high", json.dumps(RECORD))
    clock.pass_s(1)
    for principal in (Principal("ann", caps), Principal("key:billing", caps, server=True)):
        with pytest.raises(ForbiddenError):
            redrive.waiting(principal)
        for queue in ("high", "nowhere"):
            with pytest.raises(ForbiddenError):
                redrive.redrive(principal, queue, None)
    assert queues.returned == []
