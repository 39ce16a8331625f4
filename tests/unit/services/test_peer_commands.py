"""Commands of one client to another: one reply, whoever answers, and only who was asked may."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from shared.errors import UnavailableError
from shared.ports import Broadcast
from shared.services.sessions import HelloRequest
from tests.unit.stack import MemoryStack

ASK = {"type": "command", "name": "game.move", "data": {"to": "e4"}, "to": {"user_id": "bob"}}


def two() -> MemoryStack:
    stack = MemoryStack()
    stack.connect("a", "ann")
    stack.connect("b", "bob")
    return stack


def say(stack: MemoryStack, connection_id: str, *frames: dict[str, Any]) -> list[dict[str, Any]]:
    """Send a frame or a batch; return the replies that come at once."""
    body = json.dumps(frames[0] if len(frames) == 1 else frames)
    return stack.dispatcher.handle(connection_id, body, max_bytes=32_000, received_at_ms=stack.clock())


def asked(stack: MemoryStack, peer: str = "b", **fields: Any) -> dict[str, Any]:
    """Have ann ask; return what the peer's connection is pushed."""
    assert say(stack, "a", ASK | {"id": "q"} | fields) == []
    stack.drain()
    (push,) = (frame for frame in stack.events(peer) if frame["type"] == "command")
    stack.transport.inboxes[peer].clear()
    return push


def answer(stack: MemoryStack, push: dict[str, Any], connection_id: str = "b", **fields: Any) -> dict[str, Any]:
    """Answer; return the reply to that."""
    fields = fields or {"data": {"ok": True}}
    return stack.ask(connection_id, {"type": "result", "command_id": push["command_id"], **fields})


def told(stack: MemoryStack, connection_id: str = "a") -> list[dict[str, Any]]:
    stack.drain()
    return stack.events(connection_id)


def test_a_peer_is_asked_and_the_reply_comes_when_it_answers() -> None:
    stack = two()
    push = asked(stack)
    assert push == {
        "type": "command",
        "command_id": push["command_id"],
        "name": "game.move",
        "data": {"to": "e4"},
        "sender": {"user_id": "ann", "connection_id": "a"},
        "expires_at_ms": stack.clock() + 10_000,
    }
    assert told(stack) == []
    assert answer(stack, push)["result"] == {}
    assert told(stack) == [{"type": "reply", "id": "q", "result": {"data": {"ok": True}}}]
    assert stack.pending_commands.commands == {}


@pytest.mark.parametrize("data", [None, 0, "", [], {"deep": [{}]}])
def test_an_answer_may_be_any_json(data: Any) -> None:
    stack = two()
    answer(stack, asked(stack), data=data)
    assert told(stack)[0]["result"] == {"data": data}


@pytest.mark.parametrize("error", [{"message": "not my turn"}, {"message": "no", "details": {"why": [1]}}])
def test_a_peer_says_that_it_failed(error: dict[str, Any]) -> None:
    stack = two()
    assert answer(stack, asked(stack), error=error)["result"] == {}
    (reply,) = told(stack)
    assert (reply["id"], reply["error"]["code"], reply["error"]["name"]) == ("q", 1013, "command_failed")
    assert reply["error"]["details"] == error


def test_a_peer_command_needs_no_handler_and_never_reaches_one() -> None:
    stack = two()
    push = asked(stack, name="no.such")
    assert push["name"] == "no.such"
    assert stack.metrics.values["Commands"] == []


def test_only_replies_that_are_there_stand_among_a_batchs() -> None:
    stack = two()
    ping = {"type": "ping", "id": 1}
    replies = say(stack, "a", ping, ASK | {"id": 2}, {"type": "unsubscribe", "id": 3, "channel": "room:a"})
    assert [reply["id"] for reply in replies] == [1, 3]
    assert say(stack, "a", ASK | {"id": 4}, ASK | {"id": 5}) == []


def test_every_connection_of_a_user_is_asked_and_the_first_answer_counts() -> None:
    stack = two()
    stack.connect("b2", "bob")
    push = asked(stack)
    assert [frame["command_id"] for frame in stack.events("b2")] == [push["command_id"]]
    assert answer(stack, push, "b2", data=2)["result"] == {}
    late = answer(stack, push, "b", data=1)["error"]
    assert (late["code"], late["name"], late["message"]) == (
        1008,
        "unknown_command",
        "no command waits for this answer",
    )
    assert [reply["result"] for reply in told(stack)] == [{"data": 2}]


def test_one_connection_is_asked_alone_and_answers_alone() -> None:
    stack = two()
    stack.connect("b2", "bob")
    push = asked(stack, "b2", to={"connection_id": "b2"})
    assert stack.events("b") == []
    assert answer(stack, push, "b")["error"]["name"] == "forbidden"
    assert answer(stack, push, "b2")["result"] == {}
    assert len(told(stack)) == 1


def test_a_user_may_ask_their_own_connections() -> None:
    stack = two()
    stack.connect("a2", "ann")
    push = asked(stack, "a2", to={"user_id": "ann"})
    answer(stack, push, "a2", data="here")
    assert [frame["result"] for frame in told(stack) if frame["type"] == "reply"] == [{"data": "here"}]


# Who may ask


@pytest.mark.parametrize(
    "caps",
    [
        {"command:*": ["command"]},
        {"user:*": ["send"], "connection:*": ["send"]},
        {"user:*": ["send"], "connection:*": ["send"], "command:other": ["command"]},
        {"user:cyd": ["send"], "command:*": ["command"]},
    ],
)
@pytest.mark.parametrize("to", [{"user_id": "bob"}, {"connection_id": "b"}, {"user_id": "nobody"}])
def test_asking_needs_the_right_to_the_command_and_to_the_peer(caps: Any, to: dict[str, str]) -> None:
    stack = two()
    stack.connect("c", "cyd", caps)
    assert stack.ask("c", ASK | {"to": to})["error"]["name"] == "forbidden"
    assert stack.pending_commands.commands == {}
    assert stack.bus.broadcasts == []


def test_both_rights_will_do() -> None:
    stack = two()
    stack.connect("c", "cyd", {"user:bob": ["send"], "command:game.*": ["command"]})
    assert say(stack, "c", ASK | {"id": 1}) == []


@pytest.mark.parametrize("to", [{"user_id": "nobody"}, {"connection_id": "nobody"}, {"connection_id": "pending"}])
def test_a_peer_that_is_not_there_is_told_at_once(to: dict[str, str]) -> None:
    stack = two()
    stack.connect("pending")
    error = stack.ask("a", ASK | {"to": to})["error"]
    assert (error["code"], error["name"]) == (1009, "no_such_peer")
    assert stack.pending_commands.commands == {}


def test_a_user_who_has_left_is_not_there() -> None:
    stack = two()
    stack.connections.close("b")
    assert stack.ask("a", ASK)["error"]["name"] == "no_such_peer"


def test_a_user_in_several_shards_is_there_though_none_is_in_the_first() -> None:
    stack = two()
    stack.connections.close("b")
    stack.connections.grow("user:bob", 2)
    assert say(stack, "a", ASK | {"id": 1}) == []


def test_a_peer_is_not_flooded() -> None:
    stack = MemoryStack("[namespaces.user]\npublish_rate_per_s = 1\npublish_burst = 5")
    stack.connect("a", "ann")
    stack.connect("b", "bob")
    replies = [reply for _ in range(20) for reply in say(stack, "a", ASK | {"id": 1})]
    assert {reply["error"]["name"] for reply in replies} == {"rate_limited"}
    assert 5 <= len(stack.pending_commands.commands) == 20 - len(replies) < 10


# Who may answer


def test_nobody_else_may_answer() -> None:
    stack = two()
    stack.connect("c", "cyd")
    push = asked(stack)
    for other in ("c", "a"):
        assert answer(stack, push, other)["error"]["name"] == "forbidden"
    assert told(stack) == []
    assert answer(stack, push)["result"] == {}


def test_an_answer_to_nothing_is_told() -> None:
    stack = two()
    assert answer(stack, {"command_id": "made-up"})["error"]["name"] == "unknown_command"


def test_an_answer_needs_no_right() -> None:
    stack = two()
    stack.connect("d", "dan", {})
    push = asked(stack, "d", to={"user_id": "dan"})
    assert answer(stack, push, "d")["result"] == {}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"data": "x" * 24_000}, "too_large"),
        ({"error": {"message": "no", "details": {"x": "x" * 8_000}}}, "too_large"),
        ({"error": {"message": "x" * 1_001}}, "invalid_field"),
        ({"error": {"message": ""}}, "invalid_field"),
        ({"error": {"message": "no", "details": [1]}}, "invalid_field"),
        ({"error": "no"}, "invalid_field"),
        ({"error": None}, "invalid_field"),
        ({"data": 1, "error": {"message": "no"}}, "invalid_field"),
        ({"later": 1}, "invalid_field"),
    ],
)
def test_a_bad_answer_is_told_to_the_peer_and_a_good_one_may_follow(fields: dict[str, Any], name: str) -> None:
    stack = two()
    push = asked(stack)
    assert answer(stack, push, **fields)["error"]["name"] == name
    assert told(stack) == []
    assert answer(stack, push)["result"] == {}


def test_an_error_with_a_number_that_is_none_is_refused() -> None:
    stack = two()
    push = asked(stack)
    text = '{"type":"result","id":1,"command_id":"%s","error":{"message":"no","details":{"n":1e999}}}'
    (reply,) = stack.dispatcher.handle("b", text % push["command_id"], max_bytes=32_000, received_at_ms=stack.clock())
    assert reply["error"]["name"] == "bad_frame"


# Time


@pytest.mark.parametrize(("timeout_ms", "delay_s"), [(100, 1), (1_000, 1), (1_001, 2), (25_000, 25)])
def test_a_peer_that_does_not_answer_is_told_of_once(timeout_ms: int, delay_s: int) -> None:
    stack = two()
    push = asked(stack, timeout_ms=timeout_ms)
    assert stack.deadlines_queue.commands == [(push["command_id"], delay_s)]
    stack.clock.pass_s(delay_s)
    assert stack.peer_answers.expire(push["command_id"]) is True
    (reply,) = told(stack)
    assert (reply["id"], reply["error"]["code"], reply["error"]["name"]) == ("q", 2002, "timeout")
    assert stack.peer_answers.expire(push["command_id"]) is False
    assert answer(stack, push)["error"]["name"] == "unknown_command"
    assert len(told(stack)) == 1
    assert stack.metrics.values["CommandTimeouts"] == [1]


def test_an_answer_that_comes_too_late_is_none_even_before_the_deadline_is_told() -> None:
    stack = two()
    push = asked(stack, timeout_ms=100)
    stack.clock.pass_s(0.1)
    assert answer(stack, push)["error"]["name"] == "unknown_command"
    assert told(stack) == []
    stack.peer_answers.expire(push["command_id"])
    assert [reply["error"]["name"] for reply in told(stack)] == ["timeout"]


def test_what_is_answered_does_not_run_out_of_time() -> None:
    stack = two()
    push = asked(stack)
    answer(stack, push)
    assert stack.peer_answers.expire(push["command_id"]) is False
    assert [frame["type"] for frame in told(stack)] == ["reply"]
    assert stack.metrics.values["CommandTimeouts"] == []


# Moving, and what fails


def test_the_reply_follows_the_askers_session() -> None:
    stack = two()
    session_id = stack.connections.connections["a"].session_id
    push = asked(stack)
    stack.connect("a2")
    hello = {"type": "hello", "protocol": 1, "token": stack.token("ann"), "session_id": session_id}
    assert "result" in stack.ask("a2", hello)
    answer(stack, push)
    assert told(stack, "a2") == [{"type": "reply", "id": "q", "result": {"data": {"ok": True}}}]
    assert stack.events("a") == []


def test_an_asker_without_a_session_is_told_where_they_asked() -> None:
    stack = two()
    stack.sessions.connect("t", stack.sessions.issue_ticket(stack.tokens.verify(stack.token("tim"))))
    stack.transport.inboxes["t"] = []
    assert say(stack, "t", ASK | {"id": 9}) == []
    stack.drain()
    answer(stack, stack.events("b")[0])
    assert [reply["id"] for reply in told(stack, "t")] == [9]


def test_an_asker_by_http_finds_the_reply_in_the_mailbox() -> None:
    stack = two()
    principal = stack.tokens.verify(stack.token("eve"))
    opened = stack.http_sessions.open(principal, HelloRequest())
    assert say(stack, opened["connection_id"], ASK | {"id": 3}) == []
    stack.drain()
    answer(stack, stack.events("b")[0])
    stack.drain()
    (message,) = stack.mailbox_store.messages[opened["connection_id"]].values()
    assert json.loads(message.text or "") == {"type": "reply", "id": 3, "result": {"data": {"ok": True}}}


class BusyBus:
    """Takes nothing; does something first, if it is told to."""

    def __init__(self, stack: MemoryStack, before: Any = None) -> None:
        self._stack, self._before = stack, before

    def put(self, broadcasts: Sequence[Broadcast]) -> None:
        if self._before:
            self._before(broadcasts)
        raise UnavailableError("the bus is busy")


def test_what_could_not_be_passed_on_is_told_at_once_and_never_again() -> None:
    stack = two()
    object.__setattr__(stack.peer_commands, "bus", BusyBus(stack))
    assert stack.ask("a", ASK)["error"]["name"] == "unavailable"
    assert stack.pending_commands.commands == {}
    ((command_id, _),) = stack.deadlines_queue.commands
    assert stack.peer_answers.expire(command_id) is False


def test_what_was_answered_although_it_seemed_not_to_be_passed_on_has_one_reply() -> None:
    stack = two()

    def answered(broadcasts: Sequence[Broadcast]) -> None:
        answer(stack, dict(broadcasts[0].frames[0]))

    object.__setattr__(stack.peer_commands, "bus", BusyBus(stack, answered))
    assert say(stack, "a", ASK | {"id": 1}) == []
    assert [reply["id"] for reply in told(stack)] == [1]


def test_an_answer_that_could_not_be_passed_on_may_be_given_again_or_runs_out_of_time() -> None:
    stack = two()
    push = asked(stack)
    bus = stack.peer_answers.bus
    object.__setattr__(stack.peer_answers, "bus", BusyBus(stack))
    assert answer(stack, push)["error"]["name"] == "unavailable"
    # Its deadline may have passed while the record was taken: it comes again.
    assert [command_id for command_id, _ in stack.deadlines_queue.commands] == [push["command_id"]] * 2
    with pytest.raises(UnavailableError):
        stack.peer_answers.expire(push["command_id"])
    object.__setattr__(stack.peer_answers, "bus", bus)
    assert answer(stack, push)["result"] == {}
    assert len(told(stack)) == 1
