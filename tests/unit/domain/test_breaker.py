"""The breaker's three states."""

from shared.domain.breaker import CircuitBreaker, State
from tests.unit.stack import Clock


def breaker(clock: Clock) -> tuple[CircuitBreaker, list[State]]:
    states: list[State] = []
    return CircuitBreaker(clock, states.append, uniform=lambda _low, high: high), states


def call(tested: CircuitBreaker, *, failed: bool) -> bool:
    if not tested.allows():
        return False
    tested.record(failed=failed)
    return True


def opened(tested: CircuitBreaker) -> None:
    for _ in range(20):
        call(tested, failed=True)


def test_a_few_failures_are_no_reason() -> None:
    tested, states = breaker(Clock())
    for _ in range(19):
        assert call(tested, failed=True)
    assert states == []


def test_less_than_half_failing_is_no_reason() -> None:
    tested, states = breaker(Clock())
    for _ in range(100):
        assert call(tested, failed=False)
        assert call(tested, failed=False)
        assert call(tested, failed=True)
    assert states == []


def test_half_of_the_calls_failing_opens_it() -> None:
    tested, states = breaker(Clock())
    opened(tested)
    assert states == ["open"]
    assert not tested.allows()


def test_a_few_in_a_row_open_one_for_slow_calls() -> None:
    states: list[State] = []
    clock = Clock()
    tested = CircuitBreaker(clock, states.append, in_a_row=3)
    for failed in (True, True, False, True, True):
        assert call(tested, failed=failed)
        clock.pass_s(6)
    assert states == []
    assert call(tested, failed=True)
    assert states == ["open"]
    clock.pass_s(30)
    for _ in range(3):
        assert call(tested, failed=False)
    assert call(tested, failed=True)
    assert states == ["open", "half_open", "closed"]


def test_a_few_in_a_row_among_many_do_not() -> None:
    states: list[State] = []
    tested = CircuitBreaker(Clock(), states.append, in_a_row=3)
    for number in range(100):
        call(tested, failed=number > 20 and number % 10 < 4)
    assert states == []


def test_failures_long_ago_do_not_count() -> None:
    clock = Clock()
    tested, states = breaker(clock)
    for _ in range(19):
        call(tested, failed=True)
    clock.pass_s(10)
    call(tested, failed=True)
    assert states == []


def test_three_trials_that_succeed_close_it() -> None:
    clock = Clock()
    tested, states = breaker(clock)
    opened(tested)
    clock.pass_s(1)
    assert [tested.allows() for _ in range(5)] == [True, True, True, False, False]
    for _ in range(3):
        tested.record(failed=False)
    assert states == ["open", "half_open", "closed"]
    assert tested.allows()


def test_it_says_that_it_may_be_tried_before_anybody_has() -> None:
    clock = Clock()
    tested, states = breaker(clock)
    opened(tested)
    told = [tested.state]
    clock.pass_s(1)
    assert [*told, tested.state] == ["open", "half_open"]
    assert states == ["open"], "whoever only asks changes nothing"


def test_a_trial_that_fails_opens_it_for_longer() -> None:
    clock = Clock()
    tested, states = breaker(clock)
    opened(tested)
    clock.pass_s(1)
    assert call(tested, failed=True)
    clock.pass_s(1)
    assert not tested.allows()
    clock.pass_s(1)
    assert tested.allows()
    assert states == ["open", "half_open", "open", "half_open"]


def test_trials_that_never_tell_do_not_keep_it_half_open() -> None:
    clock = Clock()
    tested, _ = breaker(clock)
    opened(tested)
    clock.pass_s(1)
    assert [tested.allows() for _ in range(4)] == [True, True, True, False]
    clock.pass_s(30)
    assert tested.allows()
