"""The commands that are shipped: a search in a channel's history, and dice."""

from typing import Any

import pytest

from functions.commands import COMMANDS
from shared.domain.commands import catalogue
from tests.unit.stack import MemoryStack

ROOM = "room:a"


@pytest.fixture
def stack() -> MemoryStack:
    stack = MemoryStack()
    stack.catalogue.update(catalogue(COMMANDS))
    stack.connect("a", "ann")
    return stack


def say(stack: MemoryStack, data: Any) -> None:
    frame = {"type": "publish", "channel": ROOM, "name": "said", "data": data, "priority": "express"}
    assert "result" in stack.ask("a", frame)


def run(stack: MemoryStack, name: str, *, by: str = "a", **data: Any) -> dict[str, Any]:
    return stack.ask(by, {"type": "command", "name": name, "data": {"channel": ROOM, **data}})


def search(stack: MemoryStack, text: str, **data: Any) -> Any:
    return run(stack, "history.search", text=text, **data)["result"]["data"]


def roll(stack: MemoryStack, **data: Any) -> Any:
    return run(stack, "dice.roll", **data)["result"]["data"]


def test_they_are_shipped() -> None:
    assert [one.name for one in COMMANDS] == ["history.search", "dice.roll"]
    assert all(one.description for one in COMMANDS)


def test_a_text_is_found_wherever_it_stands_newest_first(stack: MemoryStack) -> None:
    for data in ("Tea?", {"text": "green TEA"}, {"tea": 1}, [5, {"deep": ["steamed"]}], None, {"text": "coffee"}):
        say(stack, data)
    found = search(stack, "tea")
    assert [publication["offset"] for publication in found["publications"]] == [4, 2, 1]
    assert (found["searched"], found["more"]) == (6, False)
    assert found["publications"][1]["data"] == {"text": "green TEA"}
    assert search(stack, "milk") == {"publications": [], "searched": 6, "more": False}


def test_no_more_are_returned_than_asked_for_or_fit(stack: MemoryStack) -> None:
    for _ in range(4):
        say(stack, "tea " + "x" * 6_000)
    assert [len(search(stack, "tea", limit=limit)["publications"]) for limit in (1, 2, 100)] == [1, 2, 3]
    assert search(stack, "tea", limit=100)["more"] is True


def test_who_may_not_read_does_not_search(stack: MemoryStack) -> None:
    stack.connect("b", "bob", {"command:*": ["command"], ROOM: ["subscribe", "publish"]})
    assert run(stack, "history.search", by="b", text="tea")["error"]["name"] == "forbidden"


def test_everybody_searches_what_was_sent_to_them(stack: MemoryStack) -> None:
    stack.connect("b", "bob", {"command:*": ["command"]})
    reply = run(stack, "history.search", by="b", text="tea", channel="user:bob")
    assert reply["result"]["data"]["searched"] == 0


@pytest.mark.parametrize("data", [{"text": ""}, {"text": "x" * 201}, {"text": "x", "limit": 0}, {"channel": "room"}])
def test_what_cannot_be_searched_is_told(stack: MemoryStack, data: dict[str, Any]) -> None:
    assert run(stack, "history.search", **{"text": "x", **data})["error"]["name"] == "invalid_field"


def test_dice_are_rolled_and_the_channel_is_told_by_the_server(stack: MemoryStack) -> None:
    stack.ask("a", {"type": "subscribe", "channel": ROOM})
    rolled = roll(stack, dice=20, sides=4)
    assert len(rolled["rolls"]) == 20
    assert set(rolled["rolls"]) <= {1, 2, 3, 4}
    assert rolled["total"] == sum(rolled["rolls"])
    stack.drain()
    (event,) = stack.events("a")
    assert (event["name"], event["data"]) == ("rolled", {"user_id": "ann", "sides": 4, **rolled})
    assert event["sender"] == {"user_id": "command:dice.roll", "connection_id": None}


def test_every_side_comes_up(stack: MemoryStack) -> None:
    faces = {face for _ in range(20) for face in roll(stack, dice=20, sides=6)["rolls"]}
    assert faces == {1, 2, 3, 4, 5, 6}  # but once in 10**31


@pytest.mark.parametrize("data", [{"dice": 0}, {"dice": 21}, {"sides": 1}, {"sides": 101}, {"dice": 1.5}])
def test_there_are_no_such_dice(stack: MemoryStack, data: dict[str, Any]) -> None:
    assert run(stack, "dice.roll", **data)["error"]["name"] == "invalid_field"
    assert stack.lanes.sent == []


def test_who_may_not_publish_does_not_roll(stack: MemoryStack) -> None:
    stack.connect("b", "bob", {"command:*": ["command"], ROOM: ["subscribe", "history"]})
    assert run(stack, "dice.roll", by="b")["error"]["name"] == "forbidden"
    assert stack.lanes.sent == []


def test_dice_are_rolled_only_where_one_may_publish_and_as_often(stack: MemoryStack) -> None:
    """The server's word is for all who may hear it, but not a way around who may speak."""
    for channel in ("broadcast:all", "user:bob"):
        assert run(stack, "dice.roll", channel=channel)["error"]["name"] == "forbidden"
    errors = [run(stack, "dice.roll").get("error", {}).get("name") for _ in range(40)]
    assert errors == [None] * 40
    slow = MemoryStack("[namespaces.room]\npublish_rate_per_s = 1\npublish_burst = 5")
    slow.catalogue.update(catalogue(COMMANDS))
    slow.connect("a", "ann")
    assert "rate_limited" in [run(slow, "dice.roll").get("error", {}).get("name") for _ in range(8)]


def test_commands_have_a_rate_of_their_own() -> None:
    stack = MemoryStack("[namespaces.command]\npublish_rate_per_s = 1\npublish_burst = 5")
    stack.catalogue.update(catalogue(COMMANDS))
    stack.connect("a", "ann")
    asked = [run(stack, "history.search", text="x").get("error", {}).get("name") for _ in range(8)]
    assert asked[0] is None
    assert asked[-1] == "rate_limited"
