"""The deadline queue's consumer: who has not said who they are is closed, and who asked in vain is told."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from functions.janitor.handler import lambda_handler
from tests.unit.conftest import Log
from tests.unit.functions.conftest import Context
from tests.unit.stack import MemoryStack

pytestmark = pytest.mark.usefixtures("services")


def remind(*bodies: str) -> Any:
    source = "arn:aws:sqs:us-east-1:000000000000:deadlines"
    records = [
        {"messageId": f"r{number}", "body": body, "eventSourceARN": source} for number, body in enumerate(bodies)
    ]
    return lambda_handler({"Records": records}, Context())


def test_only_who_said_nothing_is_closed(stack: MemoryStack) -> None:
    stack.connect("quiet")
    stack.connect("ann", "ann")
    answer = remind('{"connection_id":"quiet"}', '{"connection_id":"ann"}', '{"connection_id":"gone"}')
    assert answer == {"batchItemFailures": []}
    assert stack.transport.closed == ["quiet"]
    assert stack.connections.get("quiet") is None
    assert stack.connections.get("ann") is not None


def test_a_reminder_that_fails_goes_back_alone(stack: MemoryStack, log: Log) -> None:
    for connection_id in ("broken", "quiet"):
        stack.connect(connection_id)
    stack.transport.failures = {"broken": RuntimeError("HUSH")}
    answer = remind("no json", "{}", '{"connection_id":"broken"}', '{"connection_id":"quiet"}')
    assert answer == {"batchItemFailures": [{"itemIdentifier": f"r{number}"} for number in range(3)]}
    assert stack.transport.closed == ["quiet"]
    assert [line["error"] for line in log.lines()] == ["JSONDecodeError", "KeyError", "RuntimeError"]


def test_who_asked_a_peer_in_vain_is_told_once(stack: MemoryStack) -> None:
    stack.connect("a", "ann")
    stack.connect("b", "bob")
    command = {"type": "command", "id": 1, "name": "n", "data": 1, "to": {"user_id": "bob"}}
    stack.dispatcher.handle("a", json.dumps(command), max_bytes=32_000, received_at_ms=stack.clock())
    stack.drain()
    ((command_id, _),) = stack.deadlines_queue.commands
    body = json.dumps({"command_id": command_id})
    assert remind(body, body, '{"command_id":"gone"}') == {"batchItemFailures": []}
    stack.drain()
    (reply,) = stack.events("a")
    assert (reply["type"], reply["id"], reply["error"]["name"]) == ("reply", 1, "timeout")
    assert stack.transport.closed == []


def test_who_has_lost_its_session_is_told(stack: MemoryStack) -> None:
    stack.connect("old", "ann")
    stack.connect("new")
    session_id = stack.connections.connections["old"].session_id
    hello = {"type": "hello", "protocol": 1, "token": stack.token("ann"), "session_id": session_id}
    assert "result" in stack.ask("new", hello)
    ((connection_id, _),) = stack.deadlines_queue.superseded
    body = json.dumps({"superseded_connection_id": connection_id})
    assert remind(body, body, '{"superseded_connection_id":"new"}') == {"batchItemFailures": []}
    assert stack.transport.closed == ["old"]


def test_who_came_by_a_ticket_and_says_nothing_can_be_found(stack: MemoryStack) -> None:
    stack.sessions.connect("t", stack.sessions.issue_ticket(stack.tokens.verify(stack.token("ann"))))
    ((connection_id, _),) = stack.deadlines_queue.arrived
    assert stack.connections.subscribers("user:ann").connection_ids == []
    body = json.dumps({"arrived_connection_id": connection_id})
    assert remind(body, body, '{"arrived_connection_id":"gone"}') == {"batchItemFailures": []}
    assert stack.connections.subscribers("user:ann").connection_ids == ["t"]


def test_whose_token_ends_is_told_of_the_one_that_it_has(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    connection = stack.connections.get("c")
    assert connection is not None
    assert connection.principal is not None
    ends_s = int(time.time()) + 30
    stack.connections.open(replace(connection, principal=replace(connection.principal, expires_at_s=ends_s)))
    body = json.dumps({"connection_id": "c", "token_expires_at_s": ends_s})
    assert remind('{"connection_id":"c"}', body, body.replace(str(ends_s), "1")) == {"batchItemFailures": []}
    assert [frame["event"] for frame in stack.events("c")] == ["token_expiring"]
    assert [token_end[:2] for token_end in stack.deadlines_queue.token_ends] == [("c", ends_s)]
