"""A session that another connection has taken: the one that had it is told, and comes back if somebody lives there."""

import pytest

from shared.services.sessions import SUPERSEDED_AFTER_S, HelloRequest
from tests.unit.services.test_presence import come, later, present, subscribe
from tests.unit.stack import MemoryStack

ROOM = "room:a"
SUPERSEDED = {"type": "system", "event": "superseded"}


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack()


def hello(stack: MemoryStack, connection_id: str, session_id: str | None) -> str:
    """Say hello as ann; return the session."""
    connection = stack.connections.get(connection_id)
    assert connection is not None
    _, result = stack.sessions.hello(connection, HelloRequest(stack.token("ann"), session_id))
    return str(result["session_id"])


def session_of(stack: MemoryStack, connection_id: str) -> str:
    connection = stack.connections.get(connection_id)
    assert connection is not None
    assert connection.session_id is not None
    return connection.session_id


def look(stack: MemoryStack) -> None:
    """Let the time pass after which whoever lost a session is looked at."""
    later(stack, SUPERSEDED_AFTER_S)
    superseded, stack.deadlines_queue.superseded[:] = [*stack.deadlines_queue.superseded], []
    for connection_id, delay_s in superseded:
        assert delay_s == SUPERSEDED_AFTER_S
        stack.deadlines.superseded(connection_id)
    stack.drain()


def test_a_late_hello_of_a_dead_connection_does_not_take_a_living_client_out_of_its_channels(
    stack: MemoryStack,
) -> None:
    """Its client had given that one up, and has a newer one: the hello was on its way all the same."""
    come(stack, "first", "ann")
    session_id = session_of(stack, "first")
    stack.sessions.disconnect("first")
    stack.connect("given up")
    stack.connect("living")
    hello(stack, "living", session_id)
    hello(stack, "given up", session_id)
    del stack.transport.inboxes["given up"]  # as API Gateway does
    look(stack)
    assert present(stack, ROOM) == ["ann"]
    assert stack.events("living")[-1] == SUPERSEDED
    assert stack.transport.closed == ["living"]
    stack.connect("again")  # so it comes back, as clients do
    hello(stack, "again", None)
    subscribe(stack, "again")
    stack.sessions.disconnect("given up")
    later(stack, 60)
    assert stack.presence_store.member(ROOM, "ann").connection_ids == ("again",)


def test_a_client_that_has_moved_and_closed_is_told_nothing(stack: MemoryStack) -> None:
    come(stack, "old", "ann")
    stack.connect("new")
    hello(stack, "new", session_of(stack, "old"))
    stack.sessions.disconnect("old")
    look(stack)
    assert SUPERSEDED not in [*stack.events("old"), *stack.events("new")]
    assert stack.transport.closed == []
    assert present(stack, ROOM) == ["ann"]


def test_one_that_has_its_session_again_by_then_keeps_it(stack: MemoryStack) -> None:
    come(stack, "a", "ann")
    session_id = session_of(stack, "a")
    stack.connect("b")
    hello(stack, "b", session_id)
    hello(stack, "a", session_id)
    look(stack)
    assert stack.transport.closed == ["b"]
    assert stack.connections.get("a") is not None


def test_one_that_went_without_a_word_costs_a_push_and_is_gone(stack: MemoryStack) -> None:
    come(stack, "old", "ann")
    stack.connect("new")
    hello(stack, "new", session_of(stack, "old"))
    del stack.transport.inboxes["old"]
    look(stack)
    assert stack.connections.get("old") is None
    assert stack.metrics.values["StaleConnectionsRemoved"] == [1]
    stack.deadlines.superseded("old")  # a message may come twice
    assert stack.metrics.values["StaleConnectionsRemoved"] == [1]


def test_one_whose_session_is_read_by_http_now_is_told(stack: MemoryStack) -> None:
    come(stack, "socket", "ann")
    stack.http_sessions.with_mailbox(session_of(stack, "socket"), "ann")
    look(stack)
    assert stack.events("socket")[-1] == SUPERSEDED
    assert stack.transport.closed == ["socket"]
