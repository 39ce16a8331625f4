"""What is wrong is refused with its own error; the connection stays open, and nothing is written."""

import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import boto3
import httpx
import jwt
import pytest

from localstack.stack import LocalStack
from shared.contract import (
    ENV_CONNECTIONS_TABLE,
    ENV_LIMITS_TABLE,
    OUTPUT_TABLE_NAMES,
    OUTPUT_TOKEN_SECRET_ARN,
    TTL_ATTRIBUTE,
)
from tests.integration.checks import Tables, eventually
from tests.integration.client import Client, dev_token
from tests.integration.conftest import Connect

Item = dict[str, Any]

CHANNEL = "room:bad-input"
CAPABILITIES = {
    "*": ["subscribe", "publish", "history", "presence", "state.read", "state.write"],
    "command:dice.*": ["command"],
}


def frame(type_: str, **fields: Any) -> str:
    return json.dumps({"type": type_, "id": 7, **fields})


def publish(**fields: Any) -> str:
    return frame("publish", **{"channel": CHANNEL, "name": "said", "data": 1, **fields})


def state(type_: str, **fields: Any) -> str:
    return frame(f"state.{type_}", **{"channel": CHANNEL, "key": "k", **fields})


def presence(**fields: Any) -> str:
    return frame("presence.update", channel=CHANNEL, **fields)


def command(**fields: Any) -> str:
    return frame("command", **{"name": "dice.roll", "data": {"channel": CHANNEL}, **fields})


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


# What is sent, and the code, name and id of the answer.
BAD_FRAMES: dict[str, tuple[str, int, str, Any]] = {
    "nothing": ("", 1000, "bad_frame", None),
    "no JSON": ('{"type": "publish"', 1000, "bad_frame", None),
    "NaN": ('{"type": "publish", "id": 7, "data": NaN}', 1000, "bad_frame", None),
    "a number": ("5", 1000, "bad_frame", None),
    "a string": ('"publish"', 1000, "bad_frame", None),
    "null": ("null", 1000, "bad_frame", None),
    "an empty batch": ("[]", 1000, "bad_frame", None),
    "a batch of no objects": ("[1]", 1000, "bad_frame", None),
    "a batch of 101": (json.dumps([{"type": "ping"}] * 101), 1000, "bad_frame", None),
    "nested 10,000 deep": (nested(10_000), 1000, "bad_frame", None),
    "data nested 10,000 deep": (publish()[:-1] + f', "data": {nested(10_000)}}}', 1000, "bad_frame", None),
    "objects nested 5,000 deep": ('{"a":' * 5000 + "1" + "}" * 5000, 1000, "bad_frame", None),
    "no type": ('{"id": 7}', 1000, "bad_frame", 7),
    "a type that is no string": ('{"type": 7, "id": 7}', 1000, "bad_frame", 7),
    "a number beyond all": (publish()[:-1] + ', "data": 1e999}', 1000, "bad_frame", 7),
    "a lone surrogate": ('{"type": "publish", "id": 7, "data": "\\ud800"}', 1000, "bad_frame", None),
    "a frame too large": (publish(data="x" * 23_000, more="x" * 9_200), 1003, "too_large", None),
    "data too large": (publish(data="x" * 24_000), 1003, "too_large", 7),
    "an unknown type": (frame("nonsense"), 1001, "unknown_type", 7),
    "a route's name": (frame("$disconnect"), 1001, "unknown_type", 7),
    "another route's name": (frame("$connect"), 1001, "unknown_type", 7),
    "the default route's name": (frame("$default"), 1001, "unknown_type", 7),
    "a push's type": (frame("event"), 1001, "unknown_type", 7),
    "a field missing": (frame("publish", channel=CHANNEL, data=1), 1002, "invalid_field", 7),
    "data missing": (frame("publish", channel=CHANNEL, name="said"), 1002, "invalid_field", 7),
    "a field of another type": (publish(name=5), 1002, "invalid_field", 7),
    "a number as text": (frame("history", channel=CHANNEL, limit="5"), 1002, "invalid_field", 7),
    "a field out of range": (frame("history", channel=CHANNEL, limit=301), 1002, "invalid_field", 7),
    "an unknown priority": (publish(priority="urgent"), 1002, "invalid_field", 7),
    "a message id too long": (publish(message_id="m" * 65), 1002, "invalid_field", 7),
    "no request id": ('{"type": "subscribe", "channel": "room:x"}', 1002, "invalid_field", None),
    "a request id of another type": (
        '{"type": "subscribe", "channel": "room:x", "id": []}',
        1002,
        "invalid_field",
        None,
    ),
    "a channel without namespace": (publish(channel="lobby"), 1002, "invalid_field", 7),
    "a channel of other characters": (publish(channel="room:a b"), 1002, "invalid_field", 7),
    "a channel with a line's end": (publish(channel="room:a\n"), 1002, "invalid_field", 7),
    "a channel too long": (publish(channel="room:" + "a" * 196), 1002, "invalid_field", 7),
    "a pattern as a channel": (frame("subscribe", channel="room:*"), 1002, "invalid_field", 7),
    "a protocol of the future": (frame("hello", protocol=2), 1012, "unsupported_protocol", 7),
    "a channel for servers": (publish(channel="broadcast:all"), 1005, "forbidden", 7),
    "a document of null": (state("set", value=None), 1002, "invalid_field", 7),
    "a document nested 10,000 deep": (state("set")[:-1] + f', "value": {nested(10_000)}}}', 1000, "bad_frame", None),
    "a document too large for a frame": (state("set", value="x" * 32_000), 1003, "too_large", None),
    "a key of other characters": (state("set", value=1, key="a/b"), 1002, "invalid_field", 7),
    "a key too long": (state("set", value=1, key="k" * 101), 1002, "invalid_field", 7),
    "a key that is a path": (state("set", value=1, key=".."), 1002, "invalid_field", 7),
    "a base that never was": (state("set", value=1, base_version=5), 1007, "version_conflict", 7),
    "a base below all": (state("set", value=1, base_version=-1), 1002, "invalid_field", 7),
    "presence data too large": (presence(data="x" * 1_001), 1003, "too_large", 7),
    "presence where one is not": (presence(status="away"), 1006, "not_subscribed", 7),
    "a status that there is not": (presence(status=""), 1002, "invalid_field", 7),
    "typing where one is not": (frame("typing", channel=CHANNEL, active=True), 1006, "not_subscribed", 7),
    "reading on from nowhere": (frame("ack", channel=CHANNEL, offset=-1), 1002, "invalid_field", 7),
    "a command's field missing": (command(data={}), 1002, "invalid_field", 7),
    "a command's field out of range": (command(data={"channel": CHANNEL, "sides": 1}), 1002, "invalid_field", 7),
    "a command's data of another type": (command(data=[1]), 1002, "invalid_field", 7),
    "a command that there is not": (command(name="dice.no"), 1008, "unknown_command", 7),
    "a command of nobody": (command(to={"user_id": ""}), 1002, "invalid_field", 7),
    "a command with no time": (command(timeout_ms=0), 1002, "invalid_field", 7),
    "an answer nobody asked for": (frame("result", command_id="c" * 20, data=1), 1008, "unknown_command", 7),
}


@pytest.fixture(scope="module")
async def ann(stack: LocalStack) -> AsyncIterator[Client]:
    """One connection for all bad frames: each has to leave it as it was."""
    client = await Client.open(stack.url)
    await client.hello(dev_token(stack.url, "ann", caps=CAPABILITIES))
    yield client
    await client.close()


@pytest.fixture(scope="module")
async def tables(stack: LocalStack) -> Tables:
    """The tables, once what earlier tests have left behind is done."""
    tables = Tables(stack)
    await eventually(lambda: tables.items() == tables.items())
    return tables


def written(before: list[Item], after: list[Item]) -> list[Item]:
    """Return what is new or changed, but for the count of requests. What is gone may have expired."""
    known = [_without_end(item) for item in before]
    return [item for item in after if _without_end(item) not in known and not item["pk"]["S"].startswith("BUCKET#")]


def _without_end(item: Item) -> Item:
    """Leave out when a session ends: that of an earlier test's connection may just have been set."""
    session = item["pk"]["S"].startswith("SESSION#")
    return {name: value for name, value in item.items() if not (session and name == TTL_ATTRIBUTE)}


@pytest.mark.parametrize("name", BAD_FRAMES)
async def test_a_bad_frame_gets_its_error_and_changes_nothing(ann: Client, tables: Tables, name: str) -> None:
    text, code, error_name, id_ = BAD_FRAMES[name]
    before = tables.items()
    reply = await ann.answer(text)
    assert (reply["type"], reply["id"]) == ("reply", id_)
    assert (reply["error"]["code"], reply["error"]["name"]) == (code, error_name)
    assert reply["error"]["retryable"] is False
    assert await ann.ask("sync", positions={}) == {"behind": {}}
    assert written(before, tables.items()) == []


async def test_what_is_bad_in_a_batch_leaves_the_rest_alone(ann: Client, tables: Tables) -> None:
    before = tables.items()
    replies = await ann.answer(
        json.dumps(
            [
                {"type": "sync", "id": 1, "positions": {}},
                "no frame",
                {"type": "publish", "id": 2, "channel": "nowhere", "name": "said", "data": 1},
                {"type": "history", "id": 3, "channel": CHANNEL},
            ]
        )
    )
    assert [reply["id"] for reply in replies] == [1, None, 2, 3]
    assert [reply.get("error", {}).get("code") for reply in replies] == [None, 1000, 1002, None]
    assert written(before, tables.items()) == []


@pytest.fixture(scope="module")
def secret(stack: LocalStack) -> str:
    answer = boto3.client("secretsmanager").get_secret_value(SecretId=stack.outputs[OUTPUT_TOKEN_SECRET_ARN])
    return answer["SecretString"]


def claims(**changed: Any) -> dict[str, Any]:
    now_s = int(time.time())
    return {"sub": "ann", "iat": now_s, "exp": now_s + 60, "caps": CAPABILITIES, **changed}


def tampered(token: str) -> str:
    head, _, signature = token.split(".")
    _, body, _ = jwt.encode(claims(sub="bob"), "x" * 32).split(".")
    return f"{head}.{body}.{signature}"


BAD_TOKENS: dict[str, Callable[[str], str]] = {
    "expired": lambda secret: jwt.encode(claims(exp=int(time.time()) - 6), secret),
    "of another key": lambda _secret: jwt.encode(claims(), "x" * 64),
    "unsigned": lambda _secret: jwt.encode(claims(), "", algorithm="none"),
    "of another algorithm": lambda secret: jwt.encode(claims(), secret, algorithm="HS512"),
    "forged": lambda secret: tampered(jwt.encode(claims(), secret)),
    "without its signature": lambda secret: jwt.encode(claims(), secret).rpartition(".")[0] + ".",
    "without an end": lambda secret: jwt.encode({"sub": "ann", "caps": CAPABILITIES}, secret),
    "nobody's": lambda secret: jwt.encode({"exp": int(time.time()) + 60, "caps": CAPABILITIES}, secret),
    "of too long a name": lambda secret: jwt.encode(claims(sub="a" * 129), secret),
    "with other capabilities": lambda secret: jwt.encode(claims(caps={"*": "publish"}), secret),
    "no token": lambda _secret: "nonsense",
    "nested 2,000 deep": lambda _secret: f"{base64.urlsafe_b64encode(nested(2000).encode()).decode()}.e30.x",
}


@pytest.mark.parametrize("name", BAD_TOKENS)
async def test_a_bad_token_is_refused(
    connect: Connect, tables: Tables, secret: str, http: httpx.Client, name: str
) -> None:
    token, client = BAD_TOKENS[name](secret), await connect("ann")
    before = tables.items()
    reply = await client.request({"type": "hello", "protocol": 1, "token": token})
    assert (reply["error"]["code"], reply["error"]["name"]) == (1004, "unauthenticated")
    answer = http.post("/v1/tickets", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["name"]) == (401, "unauthenticated")
    assert await client.ask("sync", positions={}) == {"behind": {}}
    assert written(before, tables.items()) == []


async def test_a_token_that_has_ended_meanwhile_allows_nothing_more(
    stack: LocalStack, connect: Connect, tables: Tables
) -> None:
    client = await connect("ann", subscribe=[{"channel": CHANNEL}])
    change_record(stack, client, "token_expires_at_s", int(time.time()) - 1)
    before = tables.items()
    for text in (publish(), frame("sync", positions={}), frame("unsubscribe", channel=CHANNEL)):
        reply = await client.answer(text)
        assert (reply["error"]["code"], reply["error"]["message"]) == (1004, "the token has expired")
    assert written(before, tables.items()) == []
    await client.hello(dev_token(stack.url, "ann"))
    assert await client.ask("unsubscribe", channel=CHANNEL) == {}


async def test_who_has_not_said_who_it_is_may_only_say_that(
    stack: LocalStack, connect: Connect, tables: Tables, secret: str
) -> None:
    client = await connect(None)
    before = tables.items()
    bad_hellos = [frame("hello", protocol=1), frame("hello", protocol=1, token=BAD_TOKENS["unsigned"](secret))]
    for text in (publish(), frame("subscribe", channel=CHANNEL), frame("history", channel=CHANNEL), *bad_hellos):
        reply = await client.answer(text)
        assert (reply["error"]["code"], reply["error"]["name"]) == (1004, "unauthenticated")
    assert written(before, tables.items()) == []
    assert (await client.hello(dev_token(stack.url, "ann")))["user_id"] == "ann"


async def test_a_failure_says_internal_and_no_more(
    stack: LocalStack, connect: Connect, everywhere: httpx.Client, channel: str
) -> None:
    client = await connect("ann")
    marker = secrets.token_hex(8)
    before = change_record(stack, client, "capabilities", marker)
    reply = await client.request(json.loads(publish(channel=channel)))
    change_record(stack, client, "capabilities", before)
    internal = {"code": 2000, "name": "internal", "message": "internal", "retryable": True}
    assert reply["error"] == internal

    limits = boto3.resource("dynamodb").Table(stack.outputs[OUTPUT_TABLE_NAMES[ENV_LIMITS_TABLE]])
    limits.put_item(Item={"pk": f"APIKEY#{marker}", "sk": "META"})
    answer = everywhere.get("/v1/channels/room:x/history", headers={"X-API-Key": f"{marker}.secret"})
    assert answer.status_code == 500
    assert internal.items() <= answer.json().items()
    assert marker not in answer.text


def change_record(stack: LocalStack, client: Client, attribute: str, value: Any) -> Any:
    """Change what the table says about a connection, behind everybody's back; return what it said before."""
    table = boto3.resource("dynamodb").Table(stack.outputs[OUTPUT_TABLE_NAMES[ENV_CONNECTIONS_TABLE]])
    answer = table.update_item(
        Key={"pk": f"CONNECTION#{client.welcome['connection_id']}", "sk": "META"},
        UpdateExpression="SET #attribute = :value",
        ExpressionAttributeNames={"#attribute": attribute},
        ExpressionAttributeValues={":value": value},
        ReturnValues="UPDATED_OLD",
    )
    return answer["Attributes"][attribute]
