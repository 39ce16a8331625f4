"""The look queue's consumer: looks of a channel together, and those that failed go back."""

from typing import Any

import pytest

from functions.presence.handler import lambda_handler
from shared.errors import UnavailableError
from tests.unit.conftest import Log
from tests.unit.functions.conftest import Context
from tests.unit.stack import MemoryStack

pytestmark = pytest.mark.usefixtures("services")


def look(*bodies: str) -> Any:
    source = "arn:aws:sqs:us-east-1:000000000000:looks"
    records = [
        {"messageId": f"r{number}", "body": body, "eventSourceARN": source} for number, body in enumerate(bodies)
    ]
    return lambda_handler({"Records": records}, Context())


def come(stack: MemoryStack, connection_id: str, user_id: str, channel: str) -> None:
    stack.connect(connection_id, user_id)
    stack.ask(connection_id, {"type": "subscribe", "channel": channel, "presence": True})


def test_a_channel_is_read_once_for_all_its_looks(stack: MemoryStack) -> None:
    come(stack, "a", "ann", "room:a")
    come(stack, "b", "bob", "room:a")
    read: list[str] = []
    attendees = stack.presence_store.attendees
    stack.presence_store.attendees = lambda channel: read.append(channel) or attendees(channel)  # type: ignore
    body = '{"channel":"room:a","users":["ann"],"after":0}'
    assert look(body, '{"channel":"room:a"}', body) == {"batchItemFailures": []}
    assert read == ["room:a"] * 2  # and once more, whether that was all
    (broadcast,) = stack.bus.broadcasts
    assert (broadcast.interest, [frame["event"] for frame in broadcast.frames]) == ("presence", ["join", "join"])


def test_looks_that_fail_go_back_and_others_do_not(stack: MemoryStack, log: Log) -> None:
    come(stack, "a", "ann", "room:a")
    come(stack, "b", "bob", "room:b")
    put = stack.bus.put

    def some(broadcasts: Any) -> None:
        if broadcasts[0].channel == "room:a":
            raise UnavailableError
        put(broadcasts)

    stack.bus.put = some  # type: ignore[method-assign]
    answer = look("no json", '{"channel":"room:a"}', '{"channel":"room:b"}', '{"channel":"room:a"}', "{}")
    assert {one["itemIdentifier"] for one in answer["batchItemFailures"]} == {"r0", "r1", "r3", "r4"}
    assert stack.presence_store.told("room:b").users.keys() == {"bob"}
    assert [line["error"] for line in log.lines()] == ["JSONDecodeError", "KeyError", "UnavailableError"]
    stack.bus.put = put  # type: ignore[method-assign]
    assert look('{"channel":"room:a"}') == {"batchItemFailures": []}
    assert [frame["event"] for frame in stack.bus.broadcasts[-1].frames] == ["join"]
