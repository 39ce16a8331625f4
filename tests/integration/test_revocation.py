"""Thrown out on the deployed stack: told at once on each transport, refused with old tokens, let in with new ones."""

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from localstack.stack import LocalStack
from tests.integration.client import DEADLINE_S, Client, Frame, RequestError, dev_token
from tests.integration.conftest import Connect
from tests.integration.http_session import HttpSession
from tests.integration.test_http import assert_problem
from tests.streams import Lines, streaming

# The promise is 2 s. This machine runs other things too; the janitor, which comes by each minute, would be too late.
TOLD_WITHIN_S: Final = 15
REVOKED: Final = {"type": "system", "event": "disconnect", "code": 3501, "name": "revoked", "reconnect": False}
Header = dict[str, str]
Revoke = Callable[[], Awaitable[float]]


@pytest.fixture
def user_id() -> str:
    return f"ann/{secrets.token_hex(6)} ö"


@pytest.fixture
def revoke(stack: LocalStack, admin: Header, user_id: str) -> Revoke:
    """Revokes the user; returns when it was asked."""

    async def revoke_() -> float:
        asked_s = time.monotonic()
        async with httpx.AsyncClient(base_url=stack.url, timeout=DEADLINE_S) as http:
            answer = await http.delete(f"/v1/users/{quote(user_id, safe='')}/connections", headers=admin)
        assert (answer.status_code, answer.content) == (204, b"")
        return asked_s

    return revoke_


def frames_of(value: Any) -> list[Frame]:
    return value if isinstance(value, list) else [value]


async def next_frames(lines: Lines, style: str) -> list[Frame]:
    if style == "sse":
        return frames_of(json.loads((await lines.sse())["data"]))
    return list((await lines.ndjson())["frames"])


async def follow(address: str, headers: Header, style: str, frames: list[Frame], reads: asyncio.Event) -> bool:
    """Read a stream, and the next one when its age ends it, until somebody is thrown out; tell if that was between."""
    while REVOKED not in frames:
        async with streaming(address, headers=headers) as lines:
            if lines.response.status_code == 410:
                return True
            assert lines.response.status_code == 200
            try:
                while True:  # also behind what ends it
                    frames += await next_frames(lines, style)
                    reads.set()
            except EOFError:
                pass
    return False


async def let_in_again(stack: LocalStack, connect: Connect, user_id: str) -> Client:
    """Return a connection with a token of a second that has not been revoked, which takes some."""
    async with asyncio.timeout(DEADLINE_S), httpx.AsyncClient(base_url=stack.url, timeout=DEADLINE_S) as http:
        while True:
            token = await asyncio.to_thread(dev_token, stack.url, user_id)
            answer = await http.get("/v1/commands", headers=header_of(token))
            if answer.status_code == 200:
                break
            assert_problem(answer, 401, "unauthenticated")
            await asyncio.sleep(0.2)  # nothing tells of it but the clock
    client = await connect(None)
    await client.hello(token)
    return client


async def test_a_websocket_is_told_and_closed(
    stack: LocalStack, connect: Connect, user_id: str, channel: str, revoke: Revoke, record_property: Any
) -> None:
    old = await asyncio.to_thread(dev_token, stack.url, user_id)
    client, bob = await connect(None), await connect("bob")
    await client.hello(old, subscribe=[{"channel": channel}])
    asked_s = await revoke()
    await client.wait_for(lambda: REVOKED in client.frames)
    await client.wait_closed()
    record_property("told_after_s", told_s := time.monotonic() - asked_s)
    assert told_s < TOLD_WITHIN_S
    await bob.publish(channel, "after", priority="express")
    assert client.events(channel) == []
    again = await connect(None)
    with pytest.raises(RequestError, match="unauthenticated"):
        await again.hello(old)
    renewed = await let_in_again(stack, connect, user_id)
    await renewed.ask("subscribe", channel=channel)
    with pytest.raises(RequestError, match="unauthenticated"):
        await renewed.ask("refresh", token=old)


@pytest.mark.parametrize(("style", "accept"), [("sse", "text/event-stream"), ("stream", "application/x-ndjson")])
async def test_a_stream_is_told_and_ends(
    stack: LocalStack,
    connect: Connect,
    user_id: str,
    channel: str,
    revoke: Revoke,
    style: str,
    accept: str,
    record_property: Any,
) -> None:
    bob = await connect("bob")
    session = HttpSession.open(stack.url, user_id=user_id, subscribe=[{"channel": channel}])
    headers = session.headers | {"Accept": accept}
    await bob.publish(channel, "before")
    frames: list[Frame] = []
    reads = asyncio.Event()
    reading = asyncio.create_task(follow(stack.url + session.stream, headers, style, frames, reads))
    await asyncio.wait_for(reads.wait(), DEADLINE_S)
    asked_s = await revoke()
    refused = await reading
    record_property("told_after_s", told_s := time.monotonic() - asked_s)
    assert told_s < TOLD_WITHIN_S
    assert refused or frames[-1] == REVOKED
    await bob.publish(channel, "after", priority="express")
    again = httpx.get(stack.url + session.stream, headers=session.headers | {"Accept": accept}, timeout=DEADLINE_S)
    assert_problem(again, 410, "session_unknown")


async def test_a_poll_that_waits_is_answered_at_once(
    stack: LocalStack, connect: Connect, user_id: str, channel: str, revoke: Revoke, record_property: Any
) -> None:
    bob = await connect("bob")
    session = HttpSession.open(stack.url, user_id=user_id, subscribe=[{"channel": channel}])
    polling = asyncio.create_task(asyncio.to_thread(session.poll, stack.url, wait_s=25))
    await bob.publish(channel, "before")
    assert [frame["data"] for frame in await polling] == ["before"]
    polling = asyncio.create_task(asyncio.to_thread(session.poll, stack.url, wait_s=25))
    asked_s = await revoke()
    assert await polling == [REVOKED]
    record_property("told_after_s", told_s := time.monotonic() - asked_s)
    assert told_s < TOLD_WITHIN_S


async def test_a_short_poll_and_what_is_sent_are_refused(
    stack: LocalStack, user_id: str, channel: str, revoke: Revoke
) -> None:
    old = await asyncio.to_thread(dev_token, stack.url, user_id)
    session = HttpSession.open(stack.url, user_id=user_id, subscribe=[{"channel": channel}])
    assert await asyncio.to_thread(session.poll, stack.url) == []
    await revoke()
    async with httpx.AsyncClient(base_url=stack.url, timeout=DEADLINE_S) as http:
        bearer = {"Authorization": f"Bearer {old}"}
        assert (await http.get(session.path, headers=session.headers)).json()["frames"] == [REVOKED]
        sent = await http.post(session.path, json={"type": "ping"}, headers=session.headers)
        assert_problem(sent, 410, "session_unknown")
        taken = {"protocol": 1, "session_id": session.answer["session_id"]}
        for refused in (
            await http.post("/v1/sessions", json={"protocol": 1}, headers=bearer),
            await http.post("/v1/sessions", json={"protocol": 1, "token": old}),
            await http.post("/v1/sessions", json=taken, headers=bearer),
            await http.post("/v1/tickets", headers=bearer),
            await http.get(f"/v1/channels/{channel}/history", headers=bearer),
            await http.get(f"/v1/stream/events?channel={channel}", headers=bearer),
        ):
            assert_problem(refused, 401, "unauthenticated")


async def test_a_channels_stream_ends_and_its_cursor_is_refused(
    stack: LocalStack, connect: Connect, user_id: str, channel: str, revoke: Revoke, record_property: Any
) -> None:
    bob = await connect("bob")
    old = await asyncio.to_thread(dev_token, stack.url, user_id)
    async with httpx.AsyncClient(base_url=stack.url, timeout=DEADLINE_S) as http:
        answer = await http.post("/v1/tickets", headers={"Authorization": f"Bearer {old}"})
    address = f"{stack.url}/v1/stream/events?channel={channel}&ticket={answer.json()['ticket']}"
    async with streaming(address) as lines:
        await bob.publish(channel, "before")
        event = await lines.sse()
        assert json.loads(event["data"])["data"] == "before"
        asked_s = await revoke()
        with pytest.raises(EOFError):
            await lines.sse()
        record_property("told_after_s", told_s := time.monotonic() - asked_s)
        assert told_s < TOLD_WITHIN_S
    again = await asyncio.to_thread(httpx.get, address, headers={"Last-Event-ID": event["id"]}, timeout=DEADLINE_S)
    assert_problem(again, 401, "unauthenticated")


async def test_one_connection_is_thrown_out_and_its_user_may_come_back(
    stack: LocalStack, connect: Connect, admin: Header, everywhere: httpx.Client, user_id: str
) -> None:
    token = await asyncio.to_thread(dev_token, stack.url, user_id)
    client, other = await connect(None), await connect(None)
    connection_id = (await client.hello(token))["connection_id"]
    await other.hello(token)
    path = f"/v1/connections/{quote(connection_id, safe='')}"
    assert_problem(await asyncio.to_thread(everywhere.delete, path, headers=header_of(token)), 403, "forbidden")
    assert (await asyncio.to_thread(everywhere.delete, path, headers=admin)).status_code == 204
    await client.wait_for(lambda: REVOKED in client.frames)
    await client.wait_closed()
    assert_problem(await asyncio.to_thread(everywhere.delete, path, headers=admin), 404, "not_found")
    assert await other.ask("sync", positions={}) == {"behind": {}}
    await (await connect(None)).hello(token)


def header_of(token: str) -> Header:
    return {"Authorization": f"Bearer {token}"}
