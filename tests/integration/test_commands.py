"""Commands that the deployed functions run, and commands of one client to another: on the deployed stack."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from localstack.stack import LocalStack
from tests.integration.checks import eventually
from tests.integration.client import Client, Frame, RequestError, dev_token
from tests.integration.conftest import Connect
from tests.integration.http_session import HttpSession


@pytest.fixture
def name() -> str:
    return secrets.token_hex(4)


def command_of(client: Client) -> Callable[[], list[Frame]]:
    """Return what looks for commands that the client has been pushed."""
    return lambda: [frame for frame in client.frames if frame.get("type") == "command"]


async def refused(asking: Any) -> Frame:
    """Return the error that a request is answered with."""
    with pytest.raises(RequestError) as caught:
        await asking
    return caught.value.error


async def test_the_server_rolls_dice_and_tells_the_channel(connect: Connect, channel: str) -> None:
    ann, bob = await connect("ann"), await connect("bob", subscribe=[{"channel": channel}])
    rolled = (await ann.ask("command", name="dice.roll", data={"channel": channel, "dice": 3, "sides": 8}))["data"]
    assert len(rolled["rolls"]) == 3
    (event,) = await bob.wait_for_events(channel, 1)
    assert (event["name"], event["data"]) == ("rolled", {"user_id": "ann", "sides": 8, **rolled})
    assert event["sender"] == {"user_id": "command:dice.roll", "connection_id": None}


async def test_the_server_searches_what_is_kept(connect: Connect, channel: str) -> None:
    ann = await connect("ann")
    for text in ("green tea", "coffee", "Tea, please"):
        await ann.publish(channel, {"text": text}, priority="express")
    found = (await ann.ask("command", name="history.search", data={"channel": channel, "text": "tea"}))["data"]
    assert [publication["offset"] for publication in found["publications"]] == [3, 1]
    assert (found["searched"], found["more"]) == (3, False)


async def test_what_cannot_be_done_is_told(connect: Connect, channel: str) -> None:
    ann, eve = await connect("ann"), await connect("eve", caps={"*": ["publish"], "command:dice.*": ["command"]})
    roll = {"name": "dice.roll", "data": {"channel": channel}}
    assert (await refused(ann.ask("command", **roll | {"name": "no.such"})))["name"] == "unknown_command"
    for unknown in ("no.such", "history.search"):
        assert (await refused(eve.ask("command", **roll | {"name": unknown})))["name"] == "forbidden"
    error = await refused(ann.ask("command", **roll | {"data": {"channel": channel, "dice": 21}}))
    assert (error["name"], error["details"]["fields"][0]["field"]) == ("invalid_field", "data.dice")
    assert "rolls" in (await eve.ask("command", **roll))["data"]


def test_an_http_session_has_the_server_roll(stack: LocalStack, channel: str) -> None:
    session = HttpSession.open(stack.url)
    (reply,) = session.send(stack.url, {"type": "command", "name": "dice.roll", "data": {"channel": channel}})
    assert 1 <= reply["result"]["data"]["total"] <= 6


def test_commands_are_listed_for_who_may_use_them(stack: LocalStack, everywhere: httpx.Client) -> None:
    def listed(caps: Any) -> list[Frame]:
        headers = {"Authorization": f"Bearer {dev_token(stack.url, 'ann', caps=caps)}"}
        commands: list[Frame] = everywhere.get("/v1/commands", headers=headers).raise_for_status().json()["commands"]
        return commands

    everything = listed({"*": ["command"]})
    assert {"dice.roll", "history.search"} <= {one["name"] for one in everything}
    (dice,) = listed({"command:dice.roll": ["command"]})
    assert dice in everything
    assert dice["input"]["properties"]["sides"]["maximum"] == 100
    assert listed({"*": ["publish"]}) == []


@pytest.mark.parametrize("by", ["user_id", "connection_id"])
async def test_a_peer_answers_and_a_third_may_not(connect: Connect, name: str, by: str) -> None:
    ann, bob, eve = await connect("ann"), await connect(f"bob-{name}"), await connect("eve")
    asking = asyncio.create_task(ann.ask("command", name="game.move", data={"to": "e4"}, to={by: bob.welcome[by]}))
    (push,) = await bob.wait_for(command_of(bob))
    assert (push["name"], push["data"], push["sender"]["user_id"]) == ("game.move", {"to": "e4"}, "ann")
    answer = {"command_id": push["command_id"], "data": {"ok": True}}
    assert (await refused(eve.ask("result", **answer)))["name"] == "forbidden"
    assert await bob.ask("result", **answer) == {}
    assert await asking == {"data": {"ok": True}}
    assert (await refused(bob.ask("result", **answer)))["name"] == "unknown_command"


async def test_a_peer_says_that_it_failed(connect: Connect, name: str) -> None:
    ann, bob = await connect("ann"), await connect(f"bob-{name}")
    asking = asyncio.create_task(ann.ask("command", name="x", data=None, to={"user_id": f"bob-{name}"}))
    (push,) = await bob.wait_for(command_of(bob))
    told = {"message": "not my turn", "details": {"turn": "ann"}}
    await bob.ask("result", command_id=push["command_id"], error=told)
    error = await refused(asking)
    assert (error["name"], error["details"]) == ("command_failed", told)


async def test_a_peer_that_says_nothing_is_waited_for_no_longer_than_asked(connect: Connect, name: str) -> None:
    ann, bob = await connect("ann"), await connect(f"bob-{name}")
    error = await refused(ann.ask("command", name="x", data=1, to={"user_id": f"bob-{name}"}, timeout_ms=1_000))
    assert (error["code"], error["name"]) == (2002, "timeout")
    (push,) = await bob.wait_for(command_of(bob))
    late = await refused(bob.ask("result", command_id=push["command_id"], data=1))
    assert late["name"] == "unknown_command"


async def test_a_peer_that_is_not_there_is_told(connect: Connect, name: str) -> None:
    ann, bob = await connect("ann"), await connect(f"bob-{name}")
    await bob.close()

    async def no_such_peer(to: Frame) -> bool:
        return bool(
            (await refused(ann.ask("command", name="x", data=1, to=to, timeout_ms=100)))["name"] == "no_such_peer"
        )

    for to in ({"user_id": f"bob-{name}"}, {"connection_id": bob.welcome["connection_id"]}, {"user_id": f"no-{name}"}):
        assert await eventually(lambda to=to: no_such_peer(to))  # type: ignore[misc]


async def test_the_reply_follows_the_askers_session(connect: Connect, name: str) -> None:
    ann, bob = await connect("ann"), await connect(f"bob-{name}")
    asking = asyncio.create_task(
        ann.request({"type": "command", "name": "x", "data": 1, "to": {"user_id": f"bob-{name}"}})
    )
    (push,) = await bob.wait_for(command_of(bob))
    moved = await connect("ann", session_id=ann.welcome["session_id"])
    await bob.ask("result", command_id=push["command_id"], data="here")
    (reply,) = await moved.wait_for(
        lambda: [f for f in moved.frames if f.get("type") == "reply" and f.get("result") == {"data": "here"}]
    )
    assert "error" not in reply
    asking.cancel()


async def test_peers_by_http_and_by_websocket_ask_each_other(stack: LocalStack, connect: Connect, name: str) -> None:
    ann = await connect(f"ann-{name}")
    bob = HttpSession.open(stack.url, user_id=f"bob-{name}")

    def polled(kind: str) -> list[Frame]:
        return [frame for frame in bob.poll(stack.url, wait_s=1) if frame["type"] == kind]

    asking = asyncio.create_task(ann.ask("command", name="x", data=1, to={"user_id": f"bob-{name}"}, timeout_ms=25_000))
    (push,) = await eventually(lambda: asyncio.to_thread(polled, "command"))
    answer = {"type": "result", "command_id": push["command_id"], "data": 2}
    assert await asyncio.to_thread(bob.send, stack.url, answer) == [{"type": "reply", "id": 1, "result": {}}]
    assert await asking == {"data": 2}
    ask = {"type": "command", "id": 7, "name": "y", "data": 3, "to": {"user_id": f"ann-{name}"}, "timeout_ms": 25_000}
    assert await asyncio.to_thread(bob.send, stack.url, ask) == []
    (push,) = await ann.wait_for(command_of(ann))
    await ann.ask("result", command_id=push["command_id"], data=4)
    (reply,) = await eventually(lambda: asyncio.to_thread(polled, "reply"))
    assert (reply["id"], reply["result"]) == (7, {"data": 4})
