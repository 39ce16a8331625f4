"""Every connection's end is counted, and once, whatever has ended it."""

import pytest

from shared.domain.connection import CHECK_AFTER_S
from shared.domain.principal import Principal
from shared.ports import Broadcast
from shared.services.sessions import HelloRequest
from tests.unit.stack import ALL, MemoryStack

ANN = Principal("ann", ALL)


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack()


def counted(stack: MemoryStack) -> tuple[float, float]:
    return sum(stack.metrics.values["Connects"]), sum(stack.metrics.values["Disconnects"])


def test_a_websocket_whose_end_is_told_twice(stack: MemoryStack) -> None:
    stack.sessions.connect("a", None)
    for _ in range(2):
        stack.sessions.disconnect("a")
    assert counted(stack) == (1, 1)


def test_one_that_a_push_finds_gone_before_its_end_is_told(stack: MemoryStack) -> None:
    stack.connect("a", "ann")
    del stack.transport.inboxes["a"]
    stack.fan_out.deliver(Broadcast("user:ann", [{"type": "system"}]))
    assert counted(stack) == (1, 1)
    stack.sessions.disconnect("a")
    assert counted(stack) == (1, 1)


def test_one_that_does_not_say_who_it_is(stack: MemoryStack) -> None:
    stack.sessions.connect("a", None)
    stack.deadlines.check("a")
    stack.sessions.disconnect("a")
    assert counted(stack) == (1, 1)


def test_an_http_session_that_is_ended(stack: MemoryStack) -> None:
    session = stack.http_sessions.open(ANN, HelloRequest())
    stack.session_end.end(session["session_id"], "ann")
    assert counted(stack) == (1, 1)


def test_an_http_session_that_goes_silent(stack: MemoryStack) -> None:
    stack.http_sessions.open(ANN, HelloRequest())
    stack.clock.pass_s(CHECK_AFTER_S + 120)
    assert stack.janitor.sweep(lambda: True) == 1
    assert counted(stack) == (1, 1)


def test_a_session_that_moves_from_a_mailbox_to_a_websocket_and_back(stack: MemoryStack) -> None:
    session = stack.http_sessions.open(ANN, HelloRequest())
    stack.connect("a")
    connection = stack.connections.get("a")
    assert connection is not None
    stack.sessions.hello(connection, HelloRequest(stack.token("ann"), session_id=session["session_id"]))
    assert counted(stack)[1] == 1  # the mailbox
    stack.http_sessions.with_mailbox(session["session_id"], "ann")
    assert counted(stack)[1] == 1  # the WebSocket is still there
    stack.sessions.disconnect("a")
    assert counted(stack)[1] == 2


def test_the_minutes_of_websockets_are_billed_and_those_of_mailboxes_are_not(stack: MemoryStack) -> None:
    session = stack.http_sessions.open(ANN, HelloRequest())
    stack.connect("a", "ann")
    stack.clock.pass_s(90)
    for _ in range(2):
        stack.sessions.disconnect("a")
    stack.session_end.end(session["session_id"], "ann")
    assert stack.metrics.values["WebSocketConnectionMinutes"] == [1.5]


def test_no_websocket_is_older_than_two_hours(stack: MemoryStack) -> None:
    stack.connect("a", "ann")
    stack.clock.pass_s(7_259)
    stack.sessions.disconnect("a")
    assert stack.metrics.values["WebSocketConnectionMinutes"] == [120]
