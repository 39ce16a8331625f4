"""Tokens that end while somebody is connected, on the deployed stack: warned, refreshed, closed."""

import asyncio
from typing import Any, Final

import pytest

from localstack.stack import LocalStack
from tests.integration.client import RequestError, dev_token
from tests.integration.conftest import Connect
from tests.integration.http_session import HttpSession

EXPIRED: Final = {"type": "system", "event": "disconnect", "code": 3500, "name": "token_expired", "reconnect": False}
SHORT_S: Final = 12  # so that all is done that is to be done before the end, on a slow machine too


def system(frames: list[Any]) -> list[Any]:
    return [frame for frame in frames if frame.get("type") == "system"]


async def test_a_websocket_is_warned_and_then_closed(stack: LocalStack, connect: Connect, channel: str) -> None:
    client = await connect(None)
    await client.hello(dev_token(stack.url, "ann", ttl_s=SHORT_S), subscribe=[{"channel": channel}])
    await client.wait_closed()
    *warnings, ended = system(client.frames)
    assert {warning["event"] for warning in warnings} == {"token_expiring"}
    assert ended == EXPIRED


async def test_a_refreshed_one_goes_on_without_a_gap(stack: LocalStack, connect: Connect, channel: str) -> None:
    client, bob = await connect(None), await connect("bob")
    await client.hello(dev_token(stack.url, "ann", ttl_s=SHORT_S), subscribe=[{"channel": channel}])
    await bob.publish(channel, 0)
    warning = await client.wait_for(lambda: system(client.frames))
    token = await asyncio.to_thread(dev_token, stack.url, "ann", ttl_s=600)
    ends_at_ms = (await client.ask("refresh", token=token))["expires_at_ms"]
    assert ends_at_ms > warning[0]["expires_at_ms"] + 500_000
    number, heard_after_ms = 0, 0
    while heard_after_ms <= warning[0]["expires_at_ms"] + 1000:  # on past the end of the first token
        number += 1
        await bob.publish(channel, number)
        heard_after_ms = (await client.wait_for_events(channel, number + 1))[-1]["published_at_ms"]
    assert [event["data"] for event in client.events(channel)] == list(range(number + 1))
    assert EXPIRED not in client.frames
    assert client.close_code is None


async def test_capabilities_shrink_and_grow_with_the_token(stack: LocalStack, connect: Connect, channel: str) -> None:
    client, bob = await connect(None), await connect("bob")
    other = f"{channel}.other"
    await client.hello(dev_token(stack.url, "ann"), subscribe=[{"channel": channel}, {"channel": other}])
    less = await asyncio.to_thread(dev_token, stack.url, "ann", caps={channel: ["subscribe"]})
    await client.ask("refresh", token=less)
    resubscribe = {"type": "system", "event": "resubscribe", "channel": other, "reason": "capabilities"}
    await client.wait_for(lambda: resubscribe in client.frames)
    await bob.publish(other, "not heard", priority="express")
    await bob.publish(channel, "heard", priority="express")
    await client.wait_for_events(channel, 1)
    assert client.events(other) == []
    with pytest.raises(RequestError, match="forbidden"):
        await client.ask("subscribe", channel=other)
    await client.ask("refresh", token=await asyncio.to_thread(dev_token, stack.url, "ann"))
    await client.ask("subscribe", channel=other)
    await bob.publish(other, "heard again", priority="express")
    await client.wait_for_events(other, 1)


async def test_a_session_by_http_is_warned_refreshed_and_ended(stack: LocalStack, channel: str) -> None:
    token = await asyncio.to_thread(dev_token, stack.url, "ann", ttl_s=SHORT_S)
    session = await asyncio.to_thread(HttpSession.open, stack.url, token=token, subscribe=[{"channel": channel}])
    warning, *_ = await asyncio.to_thread(session.poll, stack.url, wait_s=25)
    assert warning["event"] == "token_expiring"
    newer = await asyncio.to_thread(dev_token, stack.url, "ann", ttl_s=SHORT_S)
    (reply,) = await asyncio.to_thread(session.send, stack.url, {"type": "refresh", "token": newer})
    assert reply["result"]["expires_at_ms"] > warning["expires_at_ms"]
    told: list[Any] = []
    while EXPIRED not in told:
        told += await asyncio.to_thread(session.poll, stack.url, wait_s=25)
    *warnings, ended = told
    assert warning | {"expires_at_ms": reply["result"]["expires_at_ms"]} in warnings
    assert ended == EXPIRED
    fresh = await asyncio.to_thread(dev_token, stack.url, "ann")
    await asyncio.to_thread(HttpSession.open, stack.url, token=fresh, session_id=session.answer["session_id"])
