"""A token that is older than the one that the connection has: what is newer stays, in whatever way the older comes."""

from typing import Any

import pytest

from shared.errors import ForbiddenError
from shared.services.sessions import HelloRequest
from tests.unit.known_tokens import NOW_S, KnownTokens
from tests.unit.services.test_token_life import come, refresh
from tests.unit.stack import MemoryStack

ROOM = "room:a"


@pytest.fixture
def tokens() -> KnownTokens:
    return KnownTokens()


@pytest.fixture
def stack(tokens: KnownTokens) -> MemoryStack:
    return MemoryStack(tokens=tokens)


def hello(stack: MemoryStack, token: str) -> dict[str, Any]:
    return stack.ask("c", {"type": "hello", "protocol": 1, "token": token, "subscribe": [{"channel": ROOM}]})


def has(stack: MemoryStack, tokens: KnownTokens, token: str) -> bool:
    """Tell whether the connection and its session have it."""
    connection = stack.connections.get("c")
    assert connection is not None
    session = stack.connections.session(connection.session_id or "")
    assert session is not None
    return connection.principal == session.principal == tokens.principals[token]


def test_hello_does_not_undo_a_refresh(stack: MemoryStack, tokens: KnownTokens) -> None:
    older, newer = tokens.make(), tokens.make(caps={"room:b": ["subscribe"]}, issued_at_s=NOW_S + 1)
    come(stack, older)
    refresh(stack, newer)
    (answered,) = hello(stack, older)["result"]["subscriptions"]
    assert answered["error"]["name"] == "forbidden", "by the newer one"
    assert has(stack, tokens, newer)


def test_nor_one_that_comes_while_it_is_handled(stack: MemoryStack, tokens: KnownTokens) -> None:
    older, newer = tokens.make(), tokens.make(issued_at_s=NOW_S + 1)
    come(stack, older)
    before = stack.connections.get("c")
    assert before is not None
    refresh(stack, newer)
    after, _ = stack.sessions.hello(before, HelloRequest(older))
    assert after.principal == tokens.principals[newer]
    assert has(stack, tokens, newer)


def test_nor_does_a_session_that_is_taken_up_by_http(stack: MemoryStack, tokens: KnownTokens) -> None:
    older, newer = tokens.make(), tokens.make(issued_at_s=NOW_S + 1)
    come(stack, newer)
    connection = stack.connections.get("c")
    assert connection is not None
    stack.http_sessions.open(tokens.verify(older), HelloRequest(session_id=connection.session_id))
    assert has(stack, tokens, newer)


def test_one_that_is_as_old_is_taken(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make())
    other = tokens.make(expires_at_s=NOW_S + 99)
    assert "result" in hello(stack, other)
    assert has(stack, tokens, other)


def test_when_the_newer_one_has_ended_the_older_one_does_not_come_back(stack: MemoryStack, tokens: KnownTokens) -> None:
    older, newer = tokens.make(), tokens.make(issued_at_s=NOW_S + 1, expires_at_s=NOW_S + 60)
    come(stack, older)
    refresh(stack, newer)
    stack.clock.pass_s(60)
    assert hello(stack, older)["error"]["name"] == "unauthenticated"
    assert has(stack, tokens, newer)


def test_another_user_s_is_refused_also_while_both_say_hello(stack: MemoryStack, tokens: KnownTokens) -> None:
    stack.connect("c")
    pending = stack.connections.get("c")
    assert pending is not None
    anns = tokens.make("ann", issued_at_s=NOW_S)
    assert "result" in hello(stack, anns)
    for issued_at_s in (NOW_S - 1, NOW_S + 1):
        with pytest.raises(ForbiddenError):
            stack.sessions.hello(pending, HelloRequest(tokens.make("bob", issued_at_s=issued_at_s)))
    assert has(stack, tokens, anns)
