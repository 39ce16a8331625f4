"""State documents on the deployed stack: over frames of every transport, and by HTTP."""

import asyncio
import secrets
from typing import Any

import boto3
import httpx
import pytest

from localstack.stack import LocalStack
from shared.adapters.dynamodb_documents import DynamoDbDocumentStore
from shared.contract import ENV_STATE_TABLE, OUTPUT_TABLE_NAMES
from tests.integration.client import Client, RequestError, dev_token
from tests.integration.conftest import Connect
from tests.integration.http_session import HttpSession
from tidewire.replica import Replica


def room(namespace: str = "room") -> str:
    return f"{namespace}:{secrets.token_hex(6)}"


def pushes(client: Client) -> list[dict[str, Any]]:
    return [frame for frame in client.frames if frame.get("type") == "state"]


async def test_a_change_is_settled_told_and_read(connect: Connect) -> None:
    channel, ann, bob = room(), await connect("ann"), await connect("bob")
    subscribed = await bob.ask("subscribe", channel=channel, state=True)
    assert subscribed["state"] == {"documents": {}}
    first = await ann.ask("state.set", channel=channel, key="board", value={"a": 1, "text": "x" * 100})
    assert first == {"version": 1, "value": {"a": 1, "text": "x" * 100}, "resolution": "applied"}
    await ann.ask("state.patch", channel=channel, key="board", patch={"a": 2}, base_version=1)
    merged = await bob.ask("state.patch", channel=channel, key="board", patch={"b": 1}, base_version=1)
    assert (merged["version"], merged["resolution"]) == (3, "merged")
    assert merged["value"] == {"a": 2, "b": 1, "text": "x" * 100}
    replica = Replica(channel)
    await bob.wait_for(lambda: len(pushes(bob)) == 2)
    for push in sorted(pushes(bob), key=lambda push: int(push["version"])):
        assert replica.pushed(push) is None
    replica.wrote("board", merged)
    assert replica.values == {"board": merged["value"]}
    changes = (await ann.ask("state.get", channel=channel, key="board", since_version=1))["changes"]
    assert [change["patch"] for change in changes] == [{"a": 2}, {"b": 1}]
    late = await connect("cyd")
    result = await late.ask("subscribe", channel=channel, state={"board": 2})
    assert [change["version"] for change in result["state"]["documents"]["board"]["changes"]] == [3]
    deleted = await ann.ask("state.delete", channel=channel, key="board")
    assert deleted == {"version": 4, "deleted": True, "resolution": "applied"}
    await late.wait_for(lambda: any(push.get("deleted") for push in pushes(late)))
    assert pushes(ann) == []


async def test_many_write_one_document_at_once(connect: Connect) -> None:
    channel = room()
    writers = [await connect(f"user-{number}") for number in range(5)]

    async def write(number: int) -> None:
        for count in range(1, 11):
            patch = {f"w{number}": count}
            await writers[number].ask("state.patch", channel=channel, key="k", patch=patch, base_version=None)

    await asyncio.gather(*(write(number) for number in range(5)))
    document = (await writers[0].ask("state.get", channel=channel, key="k"))["documents"]["k"]
    assert document["value"] == {f"w{number}": 10 for number in range(5)}
    assert document["version"] == 50


@pytest.mark.parametrize("namespace", ["room", "score"])
async def test_two_who_were_away_agree(connect: Connect, namespace: str) -> None:
    channel, ann, bob = room(namespace), await connect("ann"), await connect("bob")
    await ann.ask("state.set", channel=channel, key="k", value={"ann": 1, "bob": 1})
    for number in range(2, 5):
        # Each on the version that it knew before it went away.
        await ann.ask("state.set", channel=channel, key="k", value={"ann": number, "bob": 1}, base_version=1)
        await bob.ask("state.set", channel=channel, key="k", value={"ann": 1, "bob": number}, base_version=1)
    ends = [await one.ask("subscribe", channel=channel, state=True) for one in (ann, bob)]
    assert ends[0]["state"] == ends[1]["state"]
    assert ends[0]["state"]["documents"]["k"]["value"] == {"ann": 4, "bob": 4}


async def test_a_stale_write_is_rejected_or_wins_where_that_is_wanted(connect: Connect) -> None:
    ann = await connect("ann")
    strict, last = room("vote"), room("ticker")
    for channel in (strict, last):
        await ann.ask("state.set", channel=channel, key="k", value={"a": 1})
        await ann.ask("state.set", channel=channel, key="k", value={"a": 2}, base_version=1)
    with pytest.raises(RequestError) as refused:
        await ann.ask("state.set", channel=strict, key="k", value={"b": 1}, base_version=1)
    assert refused.value.error["details"] == {"version": 2, "value": {"a": 2}}
    won = await ann.ask("state.set", channel=last, key="k", value={"b": 1}, base_version=1)
    assert won == {"version": 3, "value": {"b": 1}, "resolution": "applied"}


async def test_a_long_history_is_kept_as_a_snapshot_and_what_came_since(connect: Connect, stack: LocalStack) -> None:
    channel, ann = room(), await connect("ann")
    patches = [{"type": "state.patch", "channel": channel, "key": "k", "patch": {f"f{n % 7}": n}} for n in range(90)]
    replies = await ann.batch(patches)
    assert [reply["result"]["version"] for reply in replies] == list(range(1, 91))
    document = (await ann.ask("state.get", channel=channel, key="k", since_version=1))["documents"]["k"]
    assert document["value"] == {f"f{n % 7}": n for n in range(83, 90)}
    changes = (await ann.ask("state.get", channel=channel, key="k", since_version=60))["changes"]
    assert [change["version"] for change in changes] == list(range(61, 91))
    table = stack.outputs[OUTPUT_TABLE_NAMES[ENV_STATE_TABLE]]
    log = DynamoDbDocumentStore(boto3.client("dynamodb"), table).log(channel, "k")
    assert 1 < log.snapshot.version <= 58
    assert log.stale == ()


async def test_conflicts_and_bad_input_are_told(connect: Connect) -> None:
    channel, ann = room(), await connect("ann")
    await ann.ask("state.set", channel=channel, key="k", value=1)
    for fields, name in (
        ({"value": 2, "base_version": 0}, "version_conflict"),
        ({"value": 2, "base_version": 9}, "version_conflict"),
        ({"value": None}, "invalid_field"),
        ({"value": 2, "key": "a#b"}, "invalid_field"),
    ):
        with pytest.raises(RequestError) as refused:
            await ann.ask("state.set", **{"channel": channel, "key": "k"} | fields)
        assert refused.value.error["name"] == name
    assert (await ann.ask("state.get", channel=channel, key="k"))["documents"]["k"]["value"] == 1


async def test_a_session_by_http_writes_and_is_told(stack: LocalStack, connect: Connect) -> None:
    channel, ann = room(), await connect("ann")
    session = await asyncio.to_thread(
        HttpSession.open, stack.url, user_id="bob", subscribe=[{"channel": channel, "state": True}]
    )
    assert session.answer["subscriptions"][0]["state"] == {"documents": {}}
    await ann.ask("state.set", channel=channel, key="k", value={"a": 1})
    frames = await asyncio.to_thread(session.poll, stack.url, wait_s=20)
    [push] = [frame for frame in frames if frame["type"] == "state"]
    assert (push["version"], push["value"]) == (1, {"a": 1})
    [reply] = await asyncio.to_thread(
        session.send, stack.url, {"type": "state.patch", "channel": channel, "key": "k", "patch": {"b": 2}}
    )
    assert reply["result"] == {"version": 2, "value": {"a": 1, "b": 2}, "resolution": "applied"}
    large = {"type": "state.set", "channel": channel, "key": "large", "value": "x" * 190_000}
    [reply] = await asyncio.to_thread(session.send, stack.url, large)
    assert reply["result"] == {"version": 1, "resolution": "applied"}, "too large for a frame: it is read by HTTP"


def test_documents_by_http(stack: LocalStack) -> None:
    url = f"{stack.url}/v1/channels/{room().replace(':', '%3A')}/state"
    headers = {"Authorization": f"Bearer {dev_token(stack.url, 'ann')}"}
    with httpx.Client(headers=headers, timeout=30) as http:
        made = http.put(f"{url}/k", json={"text": "x" * 150_000}, headers={"If-None-Match": "*"})
        assert (made.status_code, made.headers["ETag"]) == (200, '"1"')
        patched = http.patch(f"{url}/k", json={"n": 1}, headers={"If-Match": '"1"'})
        assert (patched.status_code, patched.json()["version"]) == (200, 2)
        read = http.get(f"{url}/k")
        assert (read.json(), read.headers["ETag"]) == ({"text": "x" * 150_000, "n": 1}, '"2"')
        assert http.put(f"{url}/k", json=1, headers={"If-None-Match": "*"}).status_code == 412
        assert "value" not in http.get(url).json()["documents"]["k"], "it is too large for a list"
        assert http.delete(f"{url}/k").json()["deleted"] is True
        assert http.get(f"{url}/k").status_code == 404
