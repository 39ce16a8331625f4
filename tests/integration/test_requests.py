"""Every request of the protocol on every transport: what is answered, and what comes of it on the receiving side."""

import asyncio
import itertools
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from localstack.stack import LocalStack
from shared.protocol.requests import REQUEST_TYPES
from tests.integration.client import DEADLINE_S, Frame, dev_token
from tests.torture.http_wire import HttpWire
from tests.torture.wire import Wire

TRANSPORTS = ("websocket", "sse", "stream", "long_poll", "short_poll")


class Side:
    """One client on a transport.

    Attributes:
        asked: The types of request that it was given a result for.
        pushed: All that came on its receiving side.
    """

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self.pushed: list[Frame] = []
        self.wire: Wire | HttpWire
        self._news = asyncio.Event()

    def take(self, frame: Frame) -> None:
        self.pushed.append(frame)
        self._news.set()

    async def result(self, **frame: Any) -> Any:
        """Return a request's result."""
        reply = await self.wire.request(**frame)
        assert reply is not None and "result" in reply, (frame, reply)
        self.asked.add(frame["type"])
        return reply["result"]

    async def one(self, wanted: Callable[[Frame], bool]) -> Frame:
        """Return the first push that is wanted, as soon as it is there."""
        async with asyncio.timeout(DEADLINE_S):
            while not (found := [frame for frame in self.pushed if wanted(frame)]):
                self._news.clear()
                await self._news.wait()
        return found[0]


async def opened(url: str, transport: str) -> Side:
    side = Side()
    open_ = Wire.open if transport == "websocket" else partial(HttpWire.open, transport=transport)  # type: ignore[arg-type]
    side.wire = await open_(url, side.take)
    return side


def is_(type_: str, **fields: Any) -> Callable[[Frame], bool]:
    """Return what tells a push of this type with these fields."""
    return lambda frame: frame["type"] == type_ and fields.items() <= frame.items()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_request_works(stack: LocalStack, transport: str) -> None:
    name = secrets.token_hex(4)
    channel, user, peer_id = f"room:{name}", f"ann-{name}", f"bob-{name}"
    side, peer = await opened(stack.url, transport), await opened(stack.url, transport)
    numbers = itertools.count(1_000)
    try:
        for one, user_id in ((side, user), (peer, peer_id)):
            token = dev_token(stack.url, user_id)
            welcome = await one.result(type="hello", protocol=1, token=token)
            assert welcome["user_id"] == user_id
        newer = await side.result(type="refresh", token=dev_token(stack.url, user, ttl_s=7_200))
        assert newer["expires_at_ms"] > welcome["server_time_ms"] + 7_000_000
        subscribe: Frame = {"type": "subscribe", "channel": channel, "presence": True, "state": True}
        first = await peer.result(**subscribe)
        assert first["state"] == {"documents": {}}
        await side.result(**subscribe)
        await peer.one(is_("presence", event="join"))

        # messages
        published = await side.result(
            type="publish", channel=channel, name="said", data=1, message_id="m1", priority="express", receipt=True
        )
        assert published["position"]["offset"] == 1
        event = await peer.one(is_("event", channel=channel))
        assert (event["data"], event["offset"], event["sender"]["user_id"]) == (1, 1, user)
        await side.one(is_("receipt", status="stored"))
        await side.result(type="send", to={"user_id": peer_id}, name="hi", data=2, message_id="m2", receipt=True)
        await peer.one(is_("event", channel=f"user:{peer_id}", data=2))
        history = await peer.result(type="history", channel=channel)
        assert [publication["data"] for publication in history["publications"]] == [1]
        behind = await peer.result(type="sync", positions={channel: first["position"]})
        assert behind["behind"][channel]["offset"] == 1
        await peer.result(type="ack", channel=f"user:{peer_id}", offset=1)
        await side.one(is_("receipt", status="read"))

        # documents
        document = {"channel": channel, "key": "board"}
        assert (await side.result(type="state.set", value={"a": 1}, **document))["version"] == 1
        assert (await side.result(type="state.patch", patch={"b": 2}, base_version=1, **document))["version"] == 2
        await peer.one(is_("state", version=2))
        got = await peer.result(type="state.get", **document)
        assert got["documents"]["board"]["value"] == {"a": 1, "b": 2}
        assert (await side.result(type="state.delete", **document))["deleted"] is True
        await peer.one(is_("state", version=3, deleted=True))

        # presence
        await side.result(type="presence.update", channel=channel, status="busy", data={"mood": "good"})
        update = await peer.one(lambda frame: is_("presence")(frame) and frame["member"].get("status") == "busy")
        assert update["member"]["data"] == {"mood": "good"}
        there = await side.result(type="presence.get", channel=channel)
        assert [member["user_id"] for member in there["members"]] == [user, peer_id]
        await side.result(type="typing", channel=channel, active=True)
        await peer.one(is_("typing", user_id=user, active=True))
        await peer.result(type="ack", channel=channel, offset=1)
        await side.one(lambda frame: is_("presence")(frame) and frame["member"].get("read_offset") == 1)

        # commands
        rolled = await side.result(type="command", name="dice.roll", data={"channel": channel})
        assert 1 <= rolled["data"]["total"] <= 6
        ask_id = next(numbers)
        ask = {"name": "move", "data": "e4", "to": {"user_id": peer_id}, "timeout_ms": 20_000}
        if transport == "websocket":
            asking = asyncio.create_task(side.result(type="command", **ask))
        else:  # the reply comes on the receiving side
            assert await side.wire.ask({"type": "command", "id": ask_id, **ask}) == []
            asking = asyncio.create_task(side.one(is_("reply", id=ask_id)))
        command = await peer.one(is_("command", name="move"))
        assert await peer.result(type="result", command_id=command["command_id"], data="e5") == {}
        answer = await asking
        assert (answer if transport == "websocket" else answer["result"]) == {"data": "e5"}

        # and the end
        assert await side.result(type="unsubscribe", channel=channel) == {}
        await peer.one(is_("presence", event="leave"))
        pinging = asyncio.create_task(side.wire.request(type="ping"))
        # On WebSocket the gateway answers by itself, and can't echo an id.
        pong = await side.one(is_("pong")) if transport == "websocket" else await pinging
        pinging.cancel()
        assert pong is not None and pong["type"] == "pong"
        assert side.asked | peer.asked | {"ping"} == REQUEST_TYPES
    finally:
        await asyncio.gather(side.wire.close(), peer.wire.close())
