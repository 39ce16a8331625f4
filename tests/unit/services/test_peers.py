"""Sending to peers, receipts, read markers; a connection that the server has lost; purging."""

from collections.abc import Sequence

import pytest

from shared.domain.principal import Principal
from shared.errors import ForbiddenError, UnavailableError
from shared.ports import Broadcast
from tests.unit.stack import MemoryStack

HELLO = {"type": "send", "name": "hi", "data": 1}


def two() -> MemoryStack:
    stack = MemoryStack()
    stack.connect("a", "ann")
    stack.connect("b", "bob")
    return stack


def test_what_is_sent_to_a_user_is_kept_in_their_channel() -> None:
    stack = two()
    reply = stack.ask("a", {**HELLO, "to": {"user_id": "bob"}, "message_id": "m"})
    assert reply["result"] == {"message_id": "m", "status": "accepted"}
    stack.drain()
    (event,) = stack.events("b")
    assert (event["channel"], event["offset"], event["sender"]["user_id"]) == ("user:bob", 1, "ann")
    page = stack.ask("b", {"type": "history", "channel": "user:bob"})["result"]
    assert [p["message_id"] for p in page["publications"]] == ["m"]


def test_what_is_sent_to_a_connection_reaches_it_alone() -> None:
    stack = two()
    stack.connect("b2", "bob")
    assert "result" in stack.ask("a", {**HELLO, "to": {"connection_id": "b2"}})
    stack.drain()
    assert stack.events("b") == []
    (event,) = stack.events("b2")
    assert event["ephemeral"] is True
    assert "offset" not in event


@pytest.mark.parametrize("peer", ["nobody", "pending"])
def test_a_connection_that_is_not_there_is_told(peer: str) -> None:
    stack = two()
    stack.connect("pending")
    reply = stack.ask("a", {**HELLO, "to": {"connection_id": peer}})
    assert reply["error"]["name"] == "no_such_peer"


@pytest.mark.parametrize("to", [{"user_id": "bob"}, {"connection_id": "b"}])
def test_sending_needs_its_capability(to: dict[str, str]) -> None:
    stack = two()
    stack.connect("c", "cyd", caps={"*": ["publish"], "user:cyd": ["send"]})
    assert stack.ask("c", {**HELLO, "to": to})["error"]["name"] == "forbidden"
    assert stack.lanes.sent == []


@pytest.mark.parametrize("to", [{}, {"user_id": "a", "connection_id": "b"}, {"user_id": ""}, {"user_id": "ä" * 128}])
def test_a_peer_is_one_user_or_one_connection(to: dict[str, str]) -> None:
    assert two().ask("a", {**HELLO, "to": to})["error"]["name"] == "invalid_field"


def test_the_sender_is_told_when_it_is_stored_and_when_it_is_read() -> None:
    stack = two()
    for number in range(3):
        stack.ask("a", {**HELLO, "to": {"user_id": "bob"}, "message_id": f"m{number}", "receipt": number != 1})
    stack.drain()
    stack.drain()
    assert [(f["message_id"], f["status"]) for f in stack.events("a")] == [("m0", "stored"), ("m2", "stored")]
    assert stack.events("a")[1]["position"]["offset"] == 3
    stack.transport.inboxes["a"].clear()
    for offset in (2, 1, 900, 3):
        assert stack.ask("b", {"type": "ack", "channel": "user:bob", "offset": offset})["result"] == {}
    stack.drain()
    assert [(f["message_id"], f["status"], f["user_id"]) for f in stack.events("a")] == [
        ("m0", "read", "bob"),
        ("m2", "read", "bob"),
    ]


def test_a_read_receipt_that_the_bus_does_not_take_is_told_by_the_next_ack() -> None:
    stack = two()
    stack.ask("a", {**HELLO, "to": {"user_id": "bob"}, "message_id": "m", "receipt": True})
    stack.drain()
    put = stack.bus.put

    def busy(broadcasts: Sequence[Broadcast]) -> None:
        stack.bus.put = put  # type: ignore[method-assign]  # once
        raise UnavailableError

    stack.bus.put = busy  # type: ignore[method-assign]
    ack = {"type": "ack", "channel": "user:bob", "offset": 1}
    stack.transport.inboxes["a"].clear()
    assert stack.ask("b", ack)["error"]["name"] == "unavailable"
    for _ in range(2):
        assert stack.ask("b", ack)["result"] == {}
    stack.drain()
    assert [(f["message_id"], f["status"]) for f in stack.events("a")] == [("m", "read")]


def test_nobody_marks_what_they_may_not_see() -> None:
    stack = two()
    stack.connect("c", "cyd", caps={"*": ["subscribe"]})
    assert stack.ask("c", {"type": "ack", "channel": "room:a", "offset": 1})["error"]["name"] == "forbidden"
    assert stack.ask("c", {"type": "ack", "channel": "user:cyd", "offset": 1})["result"] == {}


def test_a_connection_that_the_server_has_lost_is_told_to_come_back() -> None:
    stack = two()
    stack.connections.close("a")
    replies = stack.dispatcher.handle(
        "a", '[{"type":"ping","id":1},{"type":"sync","id":2}]', max_bytes=1000, received_at_ms=stack.clock()
    )
    assert [reply.get("error", {}).get("name") for reply in replies[:2]] == ["unavailable", "unavailable"]
    assert (replies[2]["event"], replies[2]["code"], replies[2]["reconnect"]) == ("disconnect", 3004, True)


def test_a_purge_begins_the_stream_anew_and_tells_its_subscribers() -> None:
    stack = two()
    stack.ask("a", {"type": "subscribe", "channel": "room:a"})
    stack.ask("a", {"type": "publish", "channel": "room:a", "name": "n", "data": 1, "priority": "express"})
    before = stack.ask("a", {"type": "history", "channel": "room:a"})["result"]
    with pytest.raises(ForbiddenError):
        stack.purge.purge(Principal("ann", {"*": ["publish"]}), "room:a")
    stack.purge.purge(Principal("root", {"*": ["admin"]}), "room:a")
    stack.drain()
    assert stack.events("a")[-1] == {
        "type": "system",
        "event": "resubscribe",
        "channel": "room:a",
        "reason": "purged",
    }
    again = stack.ask("a", {"type": "subscribe", "channel": "room:a", "since": before["position"]})["result"]
    assert (again["recovered"], again["publications"], again["position"]["offset"]) == (False, [], 0)
    assert again["position"]["epoch"] != before["position"]["epoch"]


def test_a_room_takes_as_many_as_it_says() -> None:
    stack = MemoryStack("[namespaces.room]\nmax_subscribers = 2")
    for name in ("a", "b", "c"):
        stack.connect(name, name)
    subscribe = {"type": "subscribe", "channel": "room:a"}
    assert ["error" in stack.ask(name, subscribe) for name in ("a", "b", "a", "c")] == [False, False, False, True]
    assert stack.ask("c", subscribe)["error"]["name"] == "limit_reached"
