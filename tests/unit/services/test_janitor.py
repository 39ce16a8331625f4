"""The janitor: who has gone without a word is found, who lives is left alone and looked at again."""

from collections.abc import Callable
from itertools import chain, repeat

import pytest

from tests.unit.stack import MemoryStack


def sweep(stack: MemoryStack, *, has_time: bool = True) -> int:
    return stack.janitor.sweep(lambda: has_time)


def test_who_went_without_a_word_is_found_and_who_lives_is_not() -> None:
    stack = MemoryStack()
    stack.connect("gone", "ann")
    stack.connect("here", "bob")
    for connection_id in ("gone", "here"):
        stack.ask(connection_id, {"type": "subscribe", "channel": "room:a"})
    del stack.transport.inboxes["gone"]
    for _ in range(10):
        stack.clock.pass_s(60)
        assert sweep(stack) == 0
    stack.clock.pass_s(120)
    assert sweep(stack) == 1
    assert stack.connections.get("gone") is None
    assert stack.connections.subscribers("room:a").connection_ids == ["here"]
    assert stack.metrics.values["StaleConnectionsRemoved"] == [1]


def test_who_lives_is_asked_again() -> None:
    stack = MemoryStack()
    stack.connect("here", "ann")
    stack.clock.pass_s(720)
    assert sweep(stack) == 0
    del stack.transport.inboxes["here"]
    stack.clock.pass_s(720)
    assert sweep(stack) == 1


@pytest.mark.parametrize("heard_s", [*range(0, 780, 7), 639, 640, 641, 719, 720])
def test_who_falls_silent_is_gone_after_thirteen_minutes_at_most(heard_s: int) -> None:
    stack = MemoryStack()
    stack.clock.pass_s(heard_s % 60)
    stack.connect("c", "ann")
    begun_ms = stack.clock()
    while stack.connections.get("c"):
        stack.clock.pass_s(1)
        passed_s = (stack.clock() - begun_ms) // 1000
        assert passed_s <= heard_s + 13 * 60
        if passed_s <= heard_s:
            stack.transport.active_ms["c"] = stack.clock()
        elif passed_s == heard_s + 600:
            del stack.transport.inboxes["c"]  # as API Gateway does
        if stack.clock() // 1000 % 60 == 59:
            sweep(stack)


def test_a_minute_with_more_connections_than_a_run_has_time_for_is_gone_through_in_parts() -> None:
    stack = MemoryStack()
    for number in range(5):
        stack.connect(f"c{number}", "ann")
    stack.transport.inboxes.clear()
    stack.clock.pass_s(720)
    stack.connections.mark_swept(min(stack.connections.reminders) - 1)

    def time_for_two() -> Callable[[], bool]:
        asked = chain([True, True], repeat(False))
        return lambda: next(asked)

    assert [stack.janitor.sweep(time_for_two()) for _ in range(3)] == [2, 2, 1]


def test_a_connection_that_can_not_be_looked_at_stops_no_other_and_is_due_again() -> None:
    stack = MemoryStack()
    for connection_id in ("a", "b", "c"):
        stack.connect(connection_id, "ann")
    stack.transport.inboxes.clear()
    stack.transport.failures = {"a": ValueError(), "b": ValueError()}
    stack.clock.pass_s(720)
    assert sweep(stack) == 1
    assert [type(error) for error in stack.failures] == [ValueError]
    stack.transport.failures = {}
    assert sweep(stack) == 0
    stack.clock.pass_s(60)
    assert sweep(stack) == 2


def test_a_minute_that_there_was_no_time_for_is_swept_by_the_next() -> None:
    stack = MemoryStack()
    stack.connect("gone", "ann")
    del stack.transport.inboxes["gone"]
    stack.clock.pass_s(3600)
    assert sweep(stack, has_time=False) == 0
    assert sweep(stack) == 1
    assert sweep(stack) == 0


def test_a_session_survives_what_the_janitor_takes() -> None:
    stack = MemoryStack()
    stack.connect("gone", "ann")
    session = stack.connections.get("gone")
    del stack.transport.inboxes["gone"]
    stack.clock.pass_s(720)
    sweep(stack)
    assert session is not None
    assert session.session_id is not None
    assert stack.connections.session(session.session_id) is not None
    stack.clock.pass_s(121)
    assert stack.connections.session(session.session_id) is None
