"""What the services send is what the models, and so the published schemas and types, say: no field more or less."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from functions.commands import COMMANDS
from shared.adapters.memory import MemoryLaneQueue
from shared.domain.commands import catalogue
from shared.domain.principal import Principal
from shared.errors import UnavailableError
from shared.ports import Lane, LaneMessage
from shared.protocol import server
from shared.protocol.requests import REQUEST_TYPES, Model
from tests.unit.stack import MemoryStack

ROOM = "room:a"
PUBLISH = {"type": "publish", "channel": ROOM, "name": "said", "data": {"text": "hi"}}
RESULTS: dict[str, Any] = {
    "hello": server.HelloResult,
    "subscribe": server.SubscribeResult,
    "unsubscribe": server.Nothing,
    "publish": server.PublishResult,
    "send": server.PublishResult,
    "command": server.CommandResult,
    "result": server.Nothing,
    "ack": server.Nothing,
    "history": server.HistoryResult,
    "sync": server.SyncResult,
    "state.get": server.DocumentsResult | server.ChangesResult,
    "state.set": server.StateWriteResult,
    "state.patch": server.StateWriteResult,
    "state.delete": server.StateWriteResult,
    "refresh": server.RefreshResult,
    "presence.get": server.PresenceResult,
    "presence.update": server.Nothing,
    "typing": server.Nothing,
}
REPLY: TypeAdapter[server.Reply] = TypeAdapter(server.Reply)
PUSH: TypeAdapter[Any] = TypeAdapter(server.Push)


def is_all_of(model: Model, frame: Any) -> bool:
    """Tell whether the model took up every field: on the wire unknown ones are ignored, here they are a mistake."""
    return bool(model.model_dump(exclude_unset=True) == frame)


class Checked:
    """A connection whose every reply is held against the models."""

    def __init__(self, stack: MemoryStack, connection_id: str = "c", user_id: str = "ann") -> None:
        self._stack, self._id = stack, connection_id
        stack.connect(connection_id)
        self.welcome = self.ask({"type": "hello", "protocol": 1, "token": stack.token(user_id)})

    def ask(self, request: dict[str, Any]) -> Any:
        reply = self._stack.ask(self._id, request)
        text = json.dumps(reply)
        assert is_all_of(REPLY.validate_json(text), reply)
        result = TypeAdapter[Any](RESULTS[request["type"]]).validate_json(json.dumps(reply["result"]))
        assert is_all_of(result, reply["result"])
        return reply["result"]

    def refused(self, request: dict[str, Any]) -> Any:
        reply = self._stack.ask(self._id, request)
        model = REPLY.validate_json(json.dumps(reply))
        assert is_all_of(model, reply)
        assert (model.result, model.error is None) == (None, False)
        return reply["error"]

    def pushed(self) -> list[dict[str, Any]]:
        frames = self._stack.events(self._id)
        for frame in frames:
            assert is_all_of(PUSH.validate_json(json.dumps(frame)), frame)
        return frames


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack()


def test_there_is_a_model_for_every_result() -> None:
    assert RESULTS.keys() == REQUEST_TYPES - {"ping"}


def test_results_of_a_whole_conversation(stack: MemoryStack) -> None:
    client = Checked(stack)
    since = client.ask({"type": "subscribe", "channel": ROOM})["position"]
    for number in range(3):
        client.ask(PUBLISH | {"message_id": f"m{number}"})
    stack.drain()
    assert client.ask(PUBLISH | {"priority": "express"})["position"]["offset"] == 4
    assert len(client.ask({"type": "subscribe", "channel": ROOM, "since": since})["publications"]) == 4
    assert len(client.ask({"type": "subscribe", "channel": ROOM, "history": 2})["publications"]) == 2
    assert len(client.ask({"type": "history", "channel": ROOM, "limit": 1})["publications"]) == 1
    assert client.ask({"type": "history", "channel": "room:nobody"})["publications"] == []
    assert client.ask({"type": "sync", "positions": {ROOM: since}})["behind"].keys() == {ROOM}
    assert client.ask({"type": "unsubscribe", "channel": ROOM}) == {}


def test_documents_and_their_changes(stack: MemoryStack) -> None:
    writer, reader = Checked(stack, "writer"), Checked(stack, "reader", "bob")
    assert reader.ask({"type": "subscribe", "channel": ROOM, "state": True})["state"] == {"documents": {}}
    document = {"channel": ROOM, "key": "board"}
    writer.ask({"type": "state.set", **document, "value": {"text": "x" * 50, "null": None}})
    writer.ask({"type": "state.patch", **document, "patch": {"a": 1}})
    assert len(reader.ask({"type": "state.get", **document, "since_version": 1})["changes"]) == 1
    known = reader.ask({"type": "subscribe", "channel": ROOM, "state": {"board": 1}})["state"]["documents"]
    assert known["board"].keys() == {"version", "changes"}
    writer.ask({"type": "state.delete", **document})
    assert reader.ask({"type": "state.get", **document})["documents"]["board"]["deleted"] is True
    assert [push["version"] for push in reader.pushed()] == [1, 2, 3]


def test_a_recovery_in_pages(stack: MemoryStack) -> None:
    client = Checked(stack)
    since = client.ask({"type": "subscribe", "channel": ROOM})["position"]
    for _ in range(3):
        client.ask(PUBLISH | {"data": "x" * 20_000})
    stack.drain()
    assert client.ask({"type": "subscribe", "channel": ROOM, "since": since})["more"] is True


def test_a_hello_with_subscriptions_good_and_bad(stack: MemoryStack) -> None:
    Checked(stack, "writer").ask(PUBLISH)
    stack.drain()
    client = Checked(stack, "reader")
    token = stack.token("ann", {"room:*": ["subscribe", "history"]})
    subscribe = [{"channel": ROOM, "history": 1}, {"channel": "secret:a"}]
    good, bad = client.ask({"type": "hello", "protocol": 1, "token": token, "subscribe": subscribe})["subscriptions"]
    assert len(good["publications"]) == 1
    assert bad["error"]["name"] == "forbidden"


def test_events_with_a_place_and_without(stack: MemoryStack) -> None:
    client = Checked(stack)
    client.ask({"type": "subscribe", "channel": ROOM})
    client.ask(PUBLISH)
    client.ask(PUBLISH | {"priority": "express"})
    client.ask(PUBLISH | {"ephemeral": True})
    stack.drain()
    assert sorted(event.get("offset", 0) for event in client.pushed()) == [0, 1, 2]


def test_receipts_when_it_is_stored_and_when_it_is_read(stack: MemoryStack) -> None:
    ann, bob = Checked(stack, "a", "ann"), Checked(stack, "b", "bob")
    send = {"type": "send", "to": {"user_id": "bob"}, "name": "hi", "data": 1, "message_id": "m1", "receipt": True}
    ann.ask(send)
    stack.drain()
    bob.ask({"type": "ack", "channel": "user:bob", "offset": 1})
    stack.drain()
    assert [push["status"] for push in ann.pushed()] == ["stored", "read"]
    assert [push["type"] for push in bob.pushed()] == ["event"]


def test_who_is_there_and_who_types(stack: MemoryStack) -> None:
    ann, bob = Checked(stack, "a", "ann"), Checked(stack, "b", "bob")
    ann.ask({"type": "subscribe", "channel": ROOM, "presence": True})
    assert bob.ask({"type": "subscribe", "channel": ROOM, "presence": True})["presence"]["count"] == 2
    bob.ask({"type": "presence.update", "channel": ROOM, "status": "busy", "active": True, "data": [1]})
    bob.ask({"type": "typing", "channel": ROOM, "active": True})
    ann.ask(PUBLISH)
    stack.drain()
    bob.ask({"type": "ack", "channel": ROOM, "offset": 1})
    assert ann.ask({"type": "presence.get", "channel": ROOM})["members"][1]["read_offset"] == 1
    bob.ask({"type": "unsubscribe", "channel": ROOM})
    stack.drain()
    told = [(push["type"], push.get("event")) for push in ann.pushed() if push["type"] != "event"]
    assert sorted(told, key=str) == [
        *[("presence", "join")] * 2,
        ("presence", "leave"),
        ("typing", None),
    ]


def test_how_many_are_there(stack: MemoryStack) -> None:
    stack.presence_reader.namespaces.named["crowd"] = replace(  # type: ignore[index]
        stack.namespaces.defaults, presence="count"
    )
    ann = Checked(stack)
    ann.ask({"type": "subscribe", "channel": "crowd:a", "presence": True})
    stack.drain()
    assert [push["count"] for push in ann.pushed()] == [1]


def test_what_is_sent_to_a_connection(stack: MemoryStack) -> None:
    ann = Checked(stack, "a", "ann")
    ann.ask({"type": "send", "to": {"connection_id": "a"}, "name": "hi", "data": 1})
    stack.drain()
    assert [push["ephemeral"] for push in ann.pushed()] == [True]


def test_a_command_that_the_server_runs(stack: MemoryStack) -> None:
    stack.catalogue.update(catalogue(COMMANDS))
    client = Checked(stack)
    roll = {"type": "command", "name": "dice.roll", "data": {"channel": ROOM, "dice": 2}}
    assert len(client.ask(roll)["data"]["rolls"]) == 2
    assert client.refused(roll | {"data": {}})["details"]["fields"][0]["field"] == "data.channel"
    assert client.refused(roll | {"name": "no.such"})["code"] == 1008


@pytest.mark.parametrize("answer", [{"data": [1]}, {"error": {"message": "no", "details": {"why": 1}}}, None])
def test_a_command_of_a_peer(stack: MemoryStack, answer: dict[str, Any] | None) -> None:
    ann, bob = Checked(stack, "a", "ann"), Checked(stack, "b", "bob")
    body = {"type": "command", "id": 7, "name": "n", "data": 1, "to": {"user_id": "bob"}}
    assert stack.dispatcher.handle("a", json.dumps(body), max_bytes=32_000, received_at_ms=stack.clock()) == []
    stack.drain()
    (push,) = bob.pushed()
    if answer is None:
        stack.peer_answers.expire(push["command_id"])
    else:
        bob.ask({"type": "result", "command_id": push["command_id"], **answer})
    stack.drain()
    (reply,) = stack.events("a")
    assert is_all_of(REPLY.validate_json(json.dumps(reply)), reply)
    assert (reply["id"], "result" in reply) == (7, answer == {"data": [1]})
    del ann


def test_an_event_with_its_senders_claims(stack: MemoryStack) -> None:
    stack.processors.append(lambda draft, _context: replace(draft, claims={"name": "Ann"}))
    client = Checked(stack)
    client.ask({"type": "subscribe", "channel": ROOM})
    client.ask(PUBLISH)
    stack.drain()
    assert [push["sender"]["claims"] for push in client.pushed()] == [{"name": "Ann"}]


def test_a_purge_asks_to_subscribe_again(stack: MemoryStack) -> None:
    client = Checked(stack)
    client.ask({"type": "subscribe", "channel": ROOM})
    client.ask(PUBLISH)
    stack.purge.purge(Principal("root", {"*": ["admin"]}), ROOM)
    stack.bus.broadcasts = [item for item in stack.bus.broadcasts if item.frames[0]["type"] == "system"]
    stack.lanes.sent.clear()
    stack.drain()
    assert [push["event"] for push in client.pushed()] == ["resubscribe"]


def test_a_connection_that_nobody_knows_is_told_to_come_back(stack: MemoryStack) -> None:
    reply, push = stack.dispatcher.handle(
        "lost", '{"type":"ping","id":1}', max_bytes=32_000, received_at_ms=stack.clock()
    )
    assert is_all_of(REPLY.validate_python(reply), reply)
    assert is_all_of(PUSH.validate_python(push), push)


def test_the_last_words_to_who_did_not_say_who_they_are(stack: MemoryStack) -> None:
    stack.connect("quiet")
    inbox = stack.transport.inboxes["quiet"]
    stack.deadlines.check("quiet")
    (frame,) = map(json.loads, inbox)
    assert is_all_of(PUSH.validate_python(frame), frame)


@pytest.mark.parametrize("id_", [None, 0, "x"])
def test_pongs(stack: MemoryStack, id_: int | str | None) -> None:
    stack.connect("c")
    ping = {"type": "ping"} if id_ is None else {"type": "ping", "id": id_}
    (pong,) = stack.dispatcher.handle("c", json.dumps(ping), max_bytes=32_000, received_at_ms=stack.clock())
    assert is_all_of(PUSH.validate_python(pong), pong)


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({"type": "nonsense"}, "unknown_type"),
        ({"type": "subscribe", "channel": "room"}, "invalid_field"),
        (PUBLISH | {"data": "x" * 24_000}, "too_large"),
        ({"type": "hello", "protocol": 1, "token": "nonsense"}, "unauthenticated"),
        (PUBLISH | {"channel": "broadcast:all"}, "forbidden"),
        ({"type": "hello", "protocol": 1, "session_id": "nonsense"}, "session_unknown"),
        ({"type": "hello", "protocol": 2}, "unsupported_protocol"),
    ],
)
def test_errors(stack: MemoryStack, request_: dict[str, Any], name: str) -> None:
    assert Checked(stack).refused(request_)["name"] == name


def test_an_error_that_says_when_to_come_back(stack: MemoryStack) -> None:
    class BusyLanes(MemoryLaneQueue):
        def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
            raise UnavailableError("the lane is busy", retry_after_ms=1000)

    object.__setattr__(stack.publishing, "lanes", BusyLanes())
    error = Checked(stack).refused(PUBLISH)
    assert (error["code"], error["retryable"], error["retry_after_ms"]) == (2001, True, 1000)
