"""Who comes by a ticket and says nothing: is found by whoever revokes, ends with the token, and counts as another."""

import json
from dataclasses import replace

import pytest

from shared.domain.principal import Principal
from shared.domain.stage_limits import DEFAULT_LIMITS
from shared.errors import LimitReachedError
from shared.ports import Broadcast
from tests.unit.known_tokens import NOW_S, KnownTokens
from tests.unit.services.test_token_life import come, run_deadlines, system, warning
from tests.unit.stack import MemoryStack

ADMIN = Principal("root", {"*": ["admin"]})


@pytest.fixture
def tokens() -> KnownTokens:
    return KnownTokens()


@pytest.fixture
def stack(tokens: KnownTokens) -> MemoryStack:
    return MemoryStack(tokens=tokens)


def arrive(
    stack: MemoryStack, tokens: KnownTokens, connection_id: str = "t", *, expires_at_s: int = NOW_S + 600
) -> None:
    principal = tokens.verify(tokens.make(expires_at_s=expires_at_s))
    stack.sessions.connect(connection_id, stack.sessions.issue_ticket(principal))
    stack.transport.inboxes[connection_id] = []


def ten_seconds_later(stack: MemoryStack) -> None:
    run_deadlines(stack, 10)
    arrived, stack.deadlines_queue.arrived[:] = [*stack.deadlines_queue.arrived], []
    for connection_id, delay_s in arrived:
        assert delay_s == 10
        for _ in range(2):  # messages may come twice
            stack.deadlines.arrived(connection_id)


def limited(stack: MemoryStack, connections: int) -> None:
    object.__setattr__(stack.subscriptions, "limits", replace(DEFAULT_LIMITS, user_connections=connections))


def codes(stack: MemoryStack, connection_id: str = "t") -> list[int | None]:
    return [frame.get("code") for frame in system(stack, connection_id)]


def test_it_is_revoked_with_the_others(stack: MemoryStack, tokens: KnownTokens) -> None:
    arrive(stack, tokens)
    ten_seconds_later(stack)
    stack.revocation.revoke_user(ADMIN, "ann")
    assert codes(stack) == [3501]
    assert stack.transport.closed == ["t"]


def test_it_is_closed_also_if_that_happened_before_it_could_be_found(stack: MemoryStack, tokens: KnownTokens) -> None:
    arrive(stack, tokens)
    stack.revocation.revoke_user(ADMIN, "ann")
    ten_seconds_later(stack)
    run_deadlines(stack, 1)
    assert stack.transport.closed == ["t"]
    assert stack.connections.get("t") is None


def test_nothing_is_pushed_to_it_before_it_can_take_that(stack: MemoryStack, tokens: KnownTokens) -> None:
    """Until ``$connect`` has answered, API Gateway says 410 as of one that has gone."""
    arrive(stack, tokens)
    inbox = stack.transport.inboxes.pop("t")
    stack.fan_out.deliver(Broadcast("user:ann", [{"type": "event", "name": "hi"}]))
    stack.transport.inboxes["t"] = inbox
    assert stack.connections.get("t") is not None
    ten_seconds_later(stack)
    stack.fan_out.deliver(Broadcast("user:ann", [{"type": "event", "name": "hi"}]))
    assert [frame["name"] for frame in stack.events("t")] == ["hi"]


def test_with_its_first_request_it_is_announced_and_with_no_other(stack: MemoryStack, tokens: KnownTokens) -> None:
    """Each time is a write, reads, and a message: all of these are due at the same second."""
    arrive(stack, tokens, expires_at_s=NOW_S + 600)
    for _ in range(20):
        assert "result" in stack.ask("t", {"type": "sync", "positions": {}})
    assert len(stack.deadlines_queue.token_ends) == 1
    assert stack.connections.subscribers("user:ann").connection_ids == ["t"]
    stack.connections.unsubscribe("t", ["user:ann"])
    stack.ask("t", {"type": "sync", "positions": {}})
    assert stack.connections.subscribers("user:ann").connection_ids == [], "it is not written again"
    run_deadlines(stack, 600)
    assert codes(stack) == [None, 3500]


def test_of_requests_at_the_same_time_one_sees_to_its_end(stack: MemoryStack, tokens: KnownTokens) -> None:
    arrive(stack, tokens)
    before = stack.connections.get("t")
    assert before is not None
    for _ in range(3):
        stack.sessions.announce(before)
    assert len(stack.deadlines_queue.token_ends) == 1


def test_ten_seconds_later_its_end_is_seen_to_also_if_that_failed(stack: MemoryStack, tokens: KnownTokens) -> None:
    arrive(stack, tokens, expires_at_s=NOW_S + 600)
    stack.ask("t", {"type": "sync", "positions": {}})
    stack.deadlines_queue.token_ends.clear()  # its function died before that
    ten_seconds_later(stack)
    run_deadlines(stack, 590)
    assert stack.transport.closed == ["t"]


@pytest.mark.parametrize("life_s", [4, 12, 100, 600])
def test_it_ends_with_its_token(stack: MemoryStack, tokens: KnownTokens, life_s: int) -> None:
    arrive(stack, tokens, expires_at_s=NOW_S + life_s)
    ten_seconds_later(stack)
    run_deadlines(stack, max(0, life_s - 10))
    assert codes(stack)[-1] == 3500
    assert len(codes(stack)) <= 3, "a warning or two, since a message came twice"
    assert stack.transport.closed == ["t"]


def test_who_has_said_hello_is_left_alone(stack: MemoryStack, tokens: KnownTokens) -> None:
    arrive(stack, tokens, expires_at_s=NOW_S + 600)
    assert "result" in stack.ask("t", {"type": "hello", "protocol": 1})
    ten_seconds_later(stack)
    assert stack.deadlines_queue.token_ends == [("t", NOW_S + 600, 530)]
    run_deadlines(stack, 530)
    assert system(stack, "t") == [warning(NOW_S + 600)]


def test_nobody_reaches_one_whose_token_has_ended(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make("bob"), connection_id="b")
    arrive(stack, tokens, expires_at_s=NOW_S + 100)
    to = {"name": "hi", "data": 1, "to": {"connection_id": "t"}}
    for kind in ("send", "command"):
        replies = stack.dispatcher.handle(
            "b", json.dumps({"type": kind, "id": 1, **to}), max_bytes=32_000, received_at_ms=stack.clock()
        )
        assert all("result" in reply for reply in replies)
    stack.drain()
    assert {frame["type"] for frame in stack.events("t")} == {"event", "command"}
    stack.clock.pass_s(100)
    for kind in ("send", "command"):
        assert stack.ask("b", {"type": kind, **to})["error"]["name"] == "no_such_peer"


class TestConnectionsOfAUser:
    def test_one_more_is_refused(self, stack: MemoryStack, tokens: KnownTokens) -> None:
        limited(stack, 2)
        for connection_id in ("1", "2"):
            arrive(stack, tokens, connection_id)
        ten_seconds_later(stack)
        with pytest.raises(LimitReachedError):
            arrive(stack, tokens, "3")
        assert stack.connections.get("3") is None
        assert "result" in stack.ask("1", {"type": "hello", "protocol": 1}), "it is one of the two"

    def test_so_is_one_that_came_when_none_was_found_yet(self, stack: MemoryStack, tokens: KnownTokens) -> None:
        limited(stack, 2)
        for connection_id in ("1", "2", "3", "4"):
            arrive(stack, tokens, connection_id)
        subscribe = {"type": "subscribe", "channel": "room:a"}
        assert ["error" in stack.ask(one, subscribe) for one in ("1", "3", "4", "1")] == [False, False, True, False]
        ten_seconds_later(stack)
        assert sorted(stack.transport.closed) == ["2", "4"]
        assert codes(stack, "2") == [1010]
