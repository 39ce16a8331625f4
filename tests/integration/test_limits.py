"""What a connection, a user and a channel may do at most: on the deployed stack."""

import hashlib
import secrets
from collections.abc import Iterator

import boto3
import pytest

from localstack.stack import LocalStack
from shared.adapters.dynamodb_connections import DynamoDbConnectionStore
from shared.bootstrap import now_ms
from shared.contract import ENV_CONNECTIONS_TABLE, ENV_LIMITS_TABLE, OUTPUT_TABLE_NAMES
from tests.integration.checks import eventually
from tests.integration.client import Client, Frame, RequestError
from tests.integration.conftest import Connect
from tests.integration.edited import edited
from tests.integration.http_session import HttpSession
from tests.unit.stack import events_of

# Settings that no namespace has by default.
HEADING = "[namespaces.room]"
SETTINGS = f"""
[namespaces.duo]
max_subscribers = 2

[namespaces.narrow]
channel_rate_per_s = 0.1
channel_burst = 5

{HEADING}"""


@pytest.fixture(scope="module", autouse=True)
def settings(stack: LocalStack) -> Iterator[None]:
    with edited(stack, "ws_message", "channels.toml", HEADING, SETTINGS):
        yield


async def accepted(client: Client, frame: Frame, times: int) -> int:
    """Return how many of so many requests, all at once, were accepted; see that the others may come back."""
    replies = await client.batch([frame] * times)
    errors = [reply["error"] for reply in replies if "error" in reply]
    assert {(error["name"], error["retryable"]) for error in errors} <= {("rate_limited", True)}
    assert all(error["retry_after_ms"] >= 1 for error in errors)
    return times - len(errors)


async def test_a_flood_of_requests_slows_down_its_own_connection_alone(connect: Connect) -> None:
    ann, other = await connect("ann"), await connect("ann")
    cheap = {"type": "sync", "positions": {}}
    taken = [await accepted(ann, cheap, 100) for _ in range(10)]
    assert taken[:2] == [100, 100]
    assert min(taken) < 100
    assert await other.ask("sync", positions={}) == {"behind": {}}

    async def goes_on() -> bool:
        return await accepted(ann, cheap, 1) == 1

    await eventually(goes_on)


async def test_a_users_limit_is_no_other_users(connect: Connect) -> None:
    ann, bob = await connect("ann"), await connect("bob")
    vote = {"type": "publish", "channel": f"vote:{secrets.token_hex(6)}", "name": "voted", "data": 1}
    assert 5 <= await accepted(ann, vote, 40) < 40
    assert await accepted(bob, vote, 5) == 5


async def test_a_channels_limit_is_everybodys_in_it(connect: Connect, channel: str) -> None:
    clients = [await connect(name) for name in ("ann", "bob", "cyd")]
    said = {"type": "publish", "channel": f"narrow:{secrets.token_hex(6)}", "name": "said", "data": 1}
    taken = [await accepted(client, said, 10) for client in clients]
    assert 5 <= sum(taken) < 10
    assert taken[-1] == 0
    assert await accepted(clients[-1], {**said, "channel": channel}, 10) == 10


async def test_a_connection_has_so_many_subscriptions_and_no_more(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    ann = await connect("ann")
    limit = ann.welcome["limits"]["max_subscriptions"]
    channels = [f"{channel}:{number}" for number in range(limit - 1)]
    store = DynamoDbConnectionStore(
        boto3.client("dynamodb"), stack.outputs[OUTPUT_TABLE_NAMES[ENV_CONNECTIONS_TABLE]], now_ms
    )
    connection = store.get(ann.welcome["connection_id"])
    assert connection is not None
    store.subscribe(connection, events_of(*channels), expires_at_s=connection.expires_at_s)
    await ann.ask("subscribe", channel=f"{channel}:last")
    with pytest.raises(RequestError, match="1010 limit_reached") as refused:
        await ann.ask("subscribe", channel=channel)
    assert refused.value.error["details"] == {"limit": limit}
    await ann.ask("subscribe", channel=channels[0])  # it has that one
    await ann.ask("unsubscribe", channel=channels[0])
    await ann.ask("subscribe", channel=channel)


async def test_a_channel_has_so_many_subscribers_and_no_more(connect: Connect) -> None:
    channel = f"duo:{secrets.token_hex(6)}"
    ann, bob, cyd = [await connect(name) for name in ("ann", "bob", "cyd")]
    for client in (ann, bob):
        await client.ask("subscribe", channel=channel)
    with pytest.raises(RequestError, match="1010 limit_reached") as refused:
        await cyd.ask("subscribe", channel=channel)
    assert refused.value.error["details"] == {"limit": 2}
    await ann.ask("subscribe", channel=channel)  # it is there already
    await ann.ask("unsubscribe", channel=channel)
    await cyd.ask("subscribe", channel=channel)


def test_large_frames_count_by_their_size(stack: LocalStack) -> None:
    ann, other = HttpSession.open(stack.url), HttpSession.open(stack.url)
    # As if ann's connection had just sent all that it may, to other processes.
    taken = now_ms() + 60_000
    key = hashlib.sha256(f"bytes:{ann.answer['connection_id']}".encode()).hexdigest()
    limits = boto3.resource("dynamodb").Table(stack.outputs[OUTPUT_TABLE_NAMES[ENV_LIMITS_TABLE]])
    limits.put_item(Item={"pk": f"BUCKET#{key}", "sk": "META", "full_at_ms": taken, "expires_at_s": taken // 1000 + 60})
    large = {"type": "sync", "positions": {}, "more": "x" * 250_000}
    replies = [ann.send(stack.url, large)[0] for _ in range(20)]
    refused = [reply["error"] for reply in replies if "error" in reply]
    assert {error["name"] for error in refused} == {"rate_limited"}
    assert refused[-1]["retry_after_ms"] > 10_000
    assert "result" in replies[0], "a process lets some through by itself"
    assert ann.send(stack.url, {"type": "ping"}) == [{"type": "pong", "id": 1}]
    assert other.send(stack.url, large)[0]["result"] == {"behind": {}}
