"""What the server has subscribed: recovered as far as one reply holds, and never given up by its SDK."""

from typing import Any

import pytest

from shared.ports import Delivery
from shared.protocol.limits import SERVER_FRAME_MAX_BYTES
from tests.unit.centrifugo.client import CHANNELS, Client, token
from tests.unit.centrifugo.test_in_order import failing, stored
from tests.unit.centrifugo.test_server_api import call
from tests.unit.stack import MemoryStack


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(CHANNELS)


def since_start(stack: MemoryStack, channel: str) -> dict[str, Any]:
    epoch = stack.streams.position(stack.streams.end(channel)).epoch
    return {"recover": True, "offset": 0, "epoch": epoch}


def test_what_many_channels_missed_is_recovered_as_far_as_one_reply_holds(stack: MemoryStack) -> None:
    channels = [f"room:{number}" for number in range(6)]
    subs = {}
    for channel in channels:
        stored(stack, *["x" * 4_000] * (7 if channel == "room:1" else 3), channel=channel)
        subs[channel] = since_start(stack, channel)
    ann = Client(stack, "a=")
    result = ann.ask("connect", token=token("ann", channels=channels), subs=subs)
    assert list(result["subs"]) == ["#ann", *channels]
    recovered = {name: sub["recovered"] for name, sub in result["subs"].items() if name != "#ann"}
    assert recovered == dict.fromkeys(channels, False) | {"room:0": True, "room:2": True}
    assert [len(result["subs"][name]["publications"]) for name in ("room:0", "room:2")] == [3, 3]
    assert max(map(len, stack.transport.inboxes["a="])) <= SERVER_FRAME_MAX_BYTES


ROOM = "room:lagging"


def lagging(stack: MemoryStack, channel: str) -> Delivery:
    """Have a publication not be taken by `a=` until it is told that it lags; return what is left to be delivered."""
    (event,) = stored(stack, "lost", channel=channel)
    refusing = failing(stack, "a=")
    refusing.deliver(event)
    refusing.resume(stack.deliveries.sent.pop()[0])
    ((left, _),) = stack.deliveries.sent
    stack.deliveries.sent.clear()
    return left


@pytest.mark.parametrize("made", ["by the token", "by a server", "personal", "personal, after a refresh"])
def test_who_lags_where_the_server_has_subscribed_it_comes_back_and_recovers(stack: MemoryStack, made: str) -> None:
    ann = Client(stack, "a=")
    channel, name = ("user:ann", "#ann") if "personal" in made else (ROOM, ROOM)
    answer = ann.connect("ann", channels=[ROOM] if made == "by the token" else [])
    if made == "by a server":
        assert call(stack, "subscribe", user="ann", channel=ROOM) == {"result": {}}
    if "refresh" in made:
        assert "error" not in ann.ask("refresh", token=token("ann"))
    ann.pushes()
    stack.fan_out.resume(lagging(stack, channel))
    assert ann.pushes() == [{"disconnect": {"code": 3010, "reason": "insufficient state"}}]
    assert stack.transport.closed == ["a="]
    stack.sessions.disconnect("a=")
    position = answer["subs"].get(
        name, {"offset": 0, "epoch": stack.streams.position(stack.streams.end(channel)).epoch}
    )
    again = Client(stack, "b=")
    subs = {name: {"recover": True, "offset": position["offset"], "epoch": position["epoch"]}}
    back = again.ask("connect", token=token("ann", channels=[ROOM]), subs=subs)["subs"][name]
    assert (back["recovered"], [pub["data"] for pub in back["publications"]]) == (True, ["lost"])


def test_who_lags_where_its_client_has_subscribed_recovers_that_alone(stack: MemoryStack) -> None:
    ann = Client(stack, "a=")
    ann.connect("ann", channels=[ROOM])
    ann.subscribe(ROOM, "ann")  # from now on its SDK knows it as its own
    ann.pushes()
    stack.fan_out.resume(lagging(stack, ROOM))
    assert [push["unsubscribe"]["code"] for push in ann.pushes()] == [2500]
    assert stack.transport.closed == []


def test_others_of_the_channel_are_told_as_ever(stack: MemoryStack) -> None:
    ann = Client(stack, "a=")
    ann.connect("ann", channels=[ROOM])
    stack.connect("ours", "bob")
    assert "result" in stack.ask("ours", {"type": "subscribe", "channel": ROOM})
    (event,) = stored(stack, 1, channel=ROOM)
    assert stack.fan_out.deliver(event) == 2
    assert ann.publications() == [(ROOM, 1)]
    assert stack.events("ours")[-1] == dict(event.frames[0])


def test_a_purge_ends_no_connection_and_what_comes_then_is_told(stack: MemoryStack) -> None:
    ann = Client(stack, "a=")
    ann.connect("ann", channels=[ROOM])
    (before,) = stored(stack, 1, channel=ROOM)
    stack.fan_out.deliver(before)
    since = since_start(stack, ROOM)
    assert call(stack, "history_remove", channel=ROOM) == {"result": {}}
    stack.drain()
    (after,) = stored(stack, 2, channel=ROOM)
    stack.fan_out.deliver(after)
    assert [list(push) for push in ann.pushes()] == [["channel", "pub"]] * 2
    assert stack.transport.closed == []
    again = Client(stack, "b=")
    back = again.ask("connect", token=token("ann", channels=[ROOM]), subs={ROOM: {**since, "offset": 1}})
    assert back["subs"][ROOM]["recovered"] is False


def much_meanwhile(stack: MemoryStack, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    """Have more be appended than can be pushed behind it, as soon as this is sent."""
    push_all = type(stack.sinks).push_all

    def appended(self: Any, ids: Any, messages: Any, gate: Any = None) -> Any:
        if messages and said in messages[0]:
            stored(stack, *["x" * 15_000] * 3, channel=ROOM)
        return push_all(self, ids, messages, gate)

    monkeypatch.setattr(type(stack.sinks), "push_all", appended)


def test_who_missed_too_much_while_it_was_connecting_comes_back(
    stack: MemoryStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Client(stack, "a=")
    much_meanwhile(stack, monkeypatch, b'"connect"')
    reply, *behind = ann.send({"id": 1, "connect": {"token": token("ann", channels=[ROOM])}})
    assert ROOM in reply["connect"]["subs"]
    assert behind == [{"push": {"disconnect": {"code": 3010, "reason": "insufficient state"}}}]
    assert stack.transport.closed == ["a="]


def test_who_missed_too_much_while_a_server_subscribed_it_comes_back(
    stack: MemoryStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = Client(stack, "a=")
    ann.connect("ann")
    much_meanwhile(stack, monkeypatch, b'"subscribe"')
    assert call(stack, "subscribe", user="ann", channel=ROOM) == {"result": {}}
    subscribe, disconnect = ann.pushes()
    assert "subscribe" in subscribe
    assert disconnect == {"disconnect": {"code": 3010, "reason": "insufficient state"}}
    assert stack.transport.closed == ["a="]
