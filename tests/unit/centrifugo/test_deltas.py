"""Deltas for who asks for them: only of what stands before them in the same message."""

import json
from typing import Any

import pytest

from shared.ports import Broadcast
from shared.protocol.centrifugo.replies import as_text, deltas, encode, translated
from shared.protocol.encode import encode_frames
from tests.unit.centrifugo.client import Client, token
from tests.unit.centrifugo.test_in_order import CHANNELS, ROOM, failing, stored
from tests.unit.domain.test_fossil import applied
from tests.unit.stack import MemoryStack


class Reader:
    """Takes publications as their JavaScript client's ``applyDeltaIfNeeded`` does."""

    def __init__(self) -> None:
        self._before = b""

    def data(self, pub: dict[str, Any]) -> Any:
        text = pub["data"].encode()
        self._before = applied(self._before, text) if pub.get("delta") else text
        return json.loads(self._before)


def rows(changed: int, count: int = 20) -> list[dict[str, Any]]:
    return [{"id": n, "é": -1 if n == changed else n} for n in range(count)]


def event(offset: int, data: Any, channel: str = ROOM) -> dict[str, Any]:
    sender = {"user_id": "ann", "connection_id": None}
    return {
        "type": "event",
        "channel": channel,
        "name": "message",
        "data": data,
        "sender": sender,
        "offset": offset,
        "published_at_ms": 1,
    }


def pubs(message: bytes) -> list[dict[str, Any]]:
    return [json.loads(line)["push"]["pub"] for line in message.split(b"\n")]


def test_in_a_message_the_first_is_whole_and_the_others_are_deltas() -> None:
    (message,) = translated(encode_frames(as_text([event(n, rows(n)) for n in range(1, 5)])))
    found = pubs(message)
    assert [pub.get("delta", False) for pub in found] == [False, True, True, True]
    reader = Reader()
    assert [reader.data(pub) for pub in found] == [rows(n) for n in range(1, 5)]


def test_each_message_stands_for_itself() -> None:
    messages = translated(encode_frames(as_text([event(n, [n % 7, "ab" * n] * 300) for n in range(1, 60)])))
    assert len(messages) > 2
    for message in messages:
        reader, found = Reader(), pubs(message)
        assert "delta" not in found[0]
        assert [reader.data(pub) for pub in found] == [[p["offset"] % 7, "ab" * p["offset"]] * 300 for p in found]


def test_channels_have_nothing_to_do_with_one_another() -> None:
    frames = [event(1, rows(1)), event(1, rows(1), "exact:other"), event(2, rows(2))]
    found = pubs(b"\n".join(translated(encode_frames(as_text(frames)))))
    assert [pub.get("delta", False) for pub in found] == [False, False, True]


def test_where_a_delta_is_longer_the_data_goes_whole() -> None:
    found = pubs(b"\n".join(translated(encode_frames(as_text([event(1, 1), event(2, "x")])))))
    assert [(pub["data"], "delta" in pub) for pub in found] == [("1", False), ('"x"', False)]


def test_nobody_else_is_sent_texts_or_deltas() -> None:
    (message,) = translated(encode_frames([event(1, rows(1)), event(2, rows(2))]))
    assert [pub["data"] for pub in pubs(message)] == [rows(1), rows(2)]
    assert encode([{"id": 1, "publish": {}}]) == [b'{"id":1,"publish":{}}']


def test_what_a_reply_recovers_is_deltas_too() -> None:
    found = deltas([event(n, rows(n)) for n in range(1, 4)])
    reader = Reader()
    assert [reader.data(pub) for pub in found] == [rows(n) for n in range(1, 4)]
    assert [pub.get("delta", False) for pub in found] == [False, True, True]


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(CHANNELS)


@pytest.fixture
def ann(stack: MemoryStack) -> Client:
    client = Client(stack, "a=")
    client.connect("ann")
    assert client.subscribe(ROOM, "ann", delta="fossil")["delta"] is True
    return client


def test_who_asks_is_told_in_deltas_and_others_beside_it_are_not(stack: MemoryStack, ann: Client) -> None:
    bob = Client(stack, "b=")
    bob.connect("bob")
    assert "delta" not in bob.subscribe(ROOM, "bob")
    *_, last = stored(stack, rows(1), rows(2), rows(3))
    stack.fan_out.deliver(last)
    reader = Reader()
    found = [push["pub"] for push in ann.pushes()]
    assert [(pub.get("delta", False), reader.data(pub)) for pub in found] == [
        (False, rows(1)),
        (True, rows(2)),
        (True, rows(3)),
    ]
    assert [data for _, data in bob.publications()] == [rows(1), rows(2), rows(3)]


def test_what_is_ephemeral_is_a_text_as_well(stack: MemoryStack, ann: Client) -> None:
    (stored_,) = stored(stack, rows(1))
    ephemeral = {**stored_.frames[0], "ephemeral": True}
    del ephemeral["offset"]
    stack.fan_out.deliver(Broadcast(ROOM, [ephemeral]))
    (push,) = ann.pushes()
    assert Reader().data(push["pub"]) == rows(1)


def test_who_recovers_begins_with_a_whole_one_again(stack: MemoryStack, ann: Client) -> None:
    first, *_ = stored(stack, rows(1))
    stack.fan_out.deliver(first)
    epoch = first.frames[0]["epoch"]
    ann.pushes()
    second, *_ = stored(stack, rows(2), rows(3))
    failing(stack, "a=").deliver(second)
    stack.fan_out.resume(stack.deliveries.sent.pop()[0])
    assert [push["unsubscribe"]["code"] for push in ann.pushes()] == [2500]
    wanted = {"channel": ROOM, "token": token("ann", channel=ROOM), "delta": "fossil"}
    reply, *_ = ann.send({"id": 9, "subscribe": wanted | {"recover": True, "offset": 1, "epoch": epoch}})
    found, reader = reply["subscribe"]["publications"], Reader()
    assert [(pub.get("delta", False), reader.data(pub)) for pub in found] == [(False, rows(2)), (True, rows(3))]
    fourth, *_ = stored(stack, rows(4))
    stack.fan_out.deliver(fourth)
    (push,) = ann.pushes()
    assert "delta" not in push["pub"]
    assert reader.data(push["pub"]) == rows(4)


def test_half_of_a_reply_is_left_for_what_texts_take_more(stack: MemoryStack, ann: Client) -> None:
    (first,) = stored(stack, 0)
    epoch = first.frames[0]["epoch"]
    stored(stack, *[['"' * 1_000, n] for n in range(9)])
    wanted = {"recover": True, "offset": 1, "epoch": epoch}
    late = Client(stack, "l=")
    late.connect("late")
    assert late.subscribe(ROOM, "late", **wanted)["recovered"]
    assert not late.subscribe(ROOM, "late", delta="fossil", **wanted)["recovered"]


def test_where_nobody_is_told_in_order_there_are_no_deltas(stack: MemoryStack, ann: Client) -> None:
    assert "delta" not in ann.subscribe("wide:room", "ann", delta="fossil")
    assert "delta" not in ann.subscribe(ROOM, "ann", delta="another")
    assert stack.connections.subscribers(ROOM).fossil == frozenset()
    assert stack.connections.subscribers(ROOM).positioned == {ann.name}
