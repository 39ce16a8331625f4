"""Route ``$default``: the replies are the body, and what does not fit one message is posted."""

import json
from typing import Any

import pytest

from functions.ws_message.handler import lambda_handler
from shared.errors import UnavailableError
from tests.unit.centrifugo.client import Client, token
from tests.unit.functions.conftest import Context
from tests.unit.stack import MemoryStack

ROOM = "room:a"
RECEIVED_AT_MS = 1_799_999_990_000
HISTORY = {"type": "history", "channel": ROOM}
pytestmark = pytest.mark.usefixtures("services")


def send(frame: Any, connection_id: str = "c") -> Any:
    """Return the answer's body, read."""
    body = frame if isinstance(frame, str | None) else json.dumps(frame)
    answer = lambda_handler(
        {"requestContext": {"connectionId": connection_id, "requestTimeEpoch": RECEIVED_AT_MS}, "body": body}, Context()
    )
    assert answer.keys() == {"statusCode", "body"}
    assert answer["statusCode"] == 200
    assert len(answer["body"].encode()) <= 32_000
    return json.loads(answer["body"])


@pytest.fixture
def full(stack: MemoryStack) -> MemoryStack:
    """A room whose history fills a message."""
    stack.connect("c", "ann")
    for _ in range(2):
        stack.ask("c", {"type": "publish", "channel": ROOM, "name": "n", "data": "x" * 14_000})
    stack.drain()
    return stack


def test_a_frame_is_answered_with_one_and_a_batch_with_a_batch(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    assert send({"type": "ping", "id": 1}) == {"type": "pong", "id": 1}
    assert send([{"type": "ping", "id": 1}, {"type": "ping", "id": 2}]) == [
        {"type": "pong", "id": 1},
        {"type": "pong", "id": 2},
    ]


def test_a_frame_that_wants_no_reply_has_no_body(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    event = {
        "requestContext": {"connectionId": "c", "requestTimeEpoch": RECEIVED_AT_MS},
        "body": json.dumps({"type": "typing", "channel": ROOM, "active": True}),
    }
    assert lambda_handler(event, Context()) == {"statusCode": 200}


def test_a_publication_counts_from_when_api_gateway_received_it(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    send({"type": "publish", "id": 1, "channel": ROOM, "name": "n", "data": 1})
    ((_, message),) = stack.lanes.sent
    assert message.publication.published_at_ms == RECEIVED_AT_MS


def test_a_conversation(stack: MemoryStack) -> None:
    send_hello = {"type": "hello", "id": 1, "protocol": 1, "token": stack.token("ann")}
    stack.connect("c")
    assert send(send_hello)["result"]["user_id"] == "ann"
    assert (
        send({"type": "publish", "id": 2, "channel": ROOM, "name": "n", "data": "ü"})["result"]["status"] == "accepted"
    )
    stack.drain()
    (stored,) = send(HISTORY | {"id": 3})["result"]["publications"]
    assert stored["data"] == "ü"


@pytest.mark.parametrize("body", ["", None, "no json", "[]", "5"])
def test_what_is_no_frame_is_answered_too(stack: MemoryStack, body: str | None) -> None:
    stack.connect("c", "ann")
    reply = send(body)
    assert (reply["id"], reply["error"]["name"]) == (None, "bad_frame")


def test_a_frame_has_32000_bytes(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    assert send({"type": "ping", "pad": "x" * 32_000})["error"]["name"] == "too_large"


def test_a_connection_that_nobody_knows_is_told_so() -> None:
    reply, told = send({"type": "ping", "id": 7}, "unknown")
    assert reply["error"]["name"] == "unavailable"
    assert (told["event"], told["code"], told["reconnect"]) == ("disconnect", 3004, True)


def test_replies_over_32000_bytes_are_split_and_posted_to_who_asked(full: MemoryStack) -> None:
    full.connect("other", "bob")
    returned = send([HISTORY | {"id": number} for number in range(4)])
    posted = [json.loads(message) for message in full.transport.inboxes["c"]]
    assert all(len(message) <= 32_000 for message in full.transport.inboxes["c"])
    assert [reply["id"] for reply in (returned, *posted)] == [0, 1, 2, 3]
    assert full.transport.inboxes["other"] == []


def test_where_every_reply_comes_later_nothing_is_said(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    command = {"type": "command", "name": "n", "data": 1, "to": {"user_id": "ann"}}
    for frame in (command | {"id": 1}, [command | {"id": number} for number in range(2)]):
        event = {
            "requestContext": {"connectionId": "c", "requestTimeEpoch": RECEIVED_AT_MS},
            "body": json.dumps(frame),
        }
        assert lambda_handler(event, Context()) == {"statusCode": 200}
    assert send([command | {"id": 3}, {"type": "ping", "id": 4}]) == {"type": "pong", "id": 4}


def test_who_has_gone_meanwhile_waits_for_no_answer(full: MemoryStack) -> None:
    del full.transport.inboxes["c"]
    assert send([HISTORY | {"id": number} for number in range(2)])["id"] == 0


def test_a_reply_that_could_not_be_posted_fails_so_that_the_client_asks_again(full: MemoryStack) -> None:
    full.transport.failures = {"c": UnavailableError()}
    with pytest.raises(UnavailableError):
        send([HISTORY | {"id": number} for number in range(2)])


def raw(body: str, connection_id: str = "a=") -> dict[str, Any]:
    event = {"requestContext": {"connectionId": connection_id, "requestTimeEpoch": RECEIVED_AT_MS}, "body": body}
    return lambda_handler(event, Context())


@pytest.fixture
def theirs(stack: MemoryStack) -> Client:
    client = Client(stack, "a=")
    assert raw(json.dumps({"id": 1, "connect": {"token": token("ann")}})) == {"statusCode": 200}
    client.send({})
    return client


def test_ours_on_a_connection_that_speaks_centrifugos_is_refused_and_closed(stack: MemoryStack, theirs: Client) -> None:
    assert raw('{"type":"ping","id":7}') == {"statusCode": 200}
    (told,) = map(json.loads, stack.transport.received["a="][-1:])
    assert [(one.get("id"), one.get("code")) for one in told] == [(7, None), (None, 3502)]
    assert stack.transport.closed == ["a="]
    assert stack.connections.get("a=") is None
    assert stack.connections.get(theirs.name) is None


@pytest.mark.parametrize("body", ["[1", '{"type":"ping"}\n{"id":1,"ping":{}}'])
def test_ours_that_can_t_be_read_is_refused_there_too(stack: MemoryStack, theirs: Client, body: str) -> None:
    assert raw(body) == {"statusCode": 200}
    assert b'"code":3502' in stack.transport.received["a="][-1]
    assert stack.transport.closed == ["a="]
    assert stack.connections.get(theirs.name) is None


def test_theirs_on_a_connection_that_speaks_ours_is_refused_and_closed(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    assert raw('{"id":7,"ping":{}}', "c") == {"statusCode": 200}
    assert json.loads(stack.transport.received["c"][-1])["push"]["disconnect"]["code"] == 3501
    assert stack.transport.closed == ["c"]
    assert stack.connections.get("c") is None


@pytest.mark.parametrize(
    "body", ["", "no json", '{"id":5}', '{"id":5,"nonsense":{}}', '{"id":', "\0", "AAEC", "5", "\n\n"]
)
def test_what_is_nobodys_ends_a_connection_that_speaks_centrifugos(
    stack: MemoryStack, theirs: Client, body: str
) -> None:
    assert raw(body) == {"statusCode": 200}
    assert stack.transport.closed == ["a="]
    assert json.loads(stack.transport.received["a="][-1])["push"]["disconnect"]["code"] == 3501


def test_what_is_nobodys_is_answered_while_it_can_t_be_told_whose_it_is(
    stack: MemoryStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise UnavailableError

    stack.connect("c", "ann")
    monkeypatch.setattr(stack.connections, "get", broken)
    assert send("nonsense")["error"]["name"] == "bad_frame"
