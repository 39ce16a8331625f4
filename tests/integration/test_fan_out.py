"""Fan-out when the gateway does not take what is pushed: on the deployed stack, with faults in the edge."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import boto3

from localstack.edge.faults import Fault, NoFaults, Operation
from localstack.stack import LocalStack
from shared.adapters.dynamodb_connections import DynamoDbConnectionStore
from shared.bootstrap import now_ms
from tests.integration.checks import eventually
from tests.integration.client import RequestError
from tests.integration.conftest import Connect


class First:
    """The first so many pushes go wrong."""

    def __init__(self, count: int, fault: Fault) -> None:
        self.left, self._fault = count, fault

    def next(self, operation: Operation) -> Fault | None:
        if operation != "post" or self.left <= 0:
            return None
        self.left -= 1
        return self._fault


@contextmanager
def faults(stack: LocalStack, first: First) -> Iterator[Callable[[], bool]]:
    """Let pushes fail; gives a function that tells whether all of them have."""
    gateway = stack.edge.gateway
    gateway.faults = first
    try:
        yield lambda: first.left == 0
    finally:
        gateway.faults = NoFaults()


async def test_who_is_not_reached_at_once_is_reached_later(stack: LocalStack, connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    with faults(stack, First(1, Fault(status=500))) as all_failed:
        await ann.publish(channel, 1)
        assert (await ann.wait_for_events(channel, 1))[0]["data"] == 1
        assert all_failed()


async def test_who_does_not_keep_up_is_told_that_it_lags(stack: LocalStack, connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    # boto3 asks three times for each try of ours.
    with faults(stack, First(6, Fault(status=429))) as all_failed:
        published = await ann.publish(channel, 1, priority="express")
        lagged = await ann.wait_for(lambda: [f for f in ann.frames if f.get("event") == "lagged"])
        assert all_failed()
    assert (lagged[0]["channel"], lagged[0]["position"]) == (channel, published["position"])
    assert ann.events(channel) == []
    page = await ann.ask("history", channel=channel, since={"epoch": published["position"]["epoch"], "offset": 0})
    assert [p["data"] for p in page["publications"]] == [1]


async def test_one_that_fails_does_not_keep_the_others_waiting(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    clients = [await connect(name, subscribe=[{"channel": channel}]) for name in ("ann", "bob", "cyd")]
    with faults(stack, First(1, Fault(status=410))):
        await clients[0].publish(channel, 1)
        await eventually(lambda: sum(bool(client.events(channel)) for client in clients) == 2)


async def test_an_event_that_fails_for_good_is_kept_for_who_looks(stack: LocalStack) -> None:
    mark = secrets.token_hex(6)
    # As EventBridge does; the emulator's own rules try but once.
    boto3.client("lambda").invoke(
        FunctionName=stack.function_names()["fan_out"],
        InvocationType="Event",
        Payload=json.dumps({"detail": {"channel": mark, "frames": "none"}}),
    )
    sqs = boto3.client("sqs")
    (url,) = [url for url in sqs.list_queues()["QueueUrls"] if "EventDeadLetters" in url and "FanOut" in url]

    def kept() -> list[str]:
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0).get("Messages", [])
        return [message["Body"] for message in messages if mark in message["Body"]]

    (body,) = await eventually(kept)
    told = json.loads(body)
    assert told["requestContext"]["condition"] == "RetriesExhausted"
    assert told["requestPayload"]["detail"]["channel"] == mark


async def test_a_live_connection_that_was_taken_for_gone_is_told_to_come_back(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    with faults(stack, First(1, Fault(status=410))) as all_failed:
        await ann.publish(channel, 1)
        await eventually(all_failed)

    async def unknown() -> bool:
        try:
            await ann.ask("sync", positions={channel: {"epoch": "e", "offset": 0}})
        except RequestError as refused:
            assert refused.error["retryable"]
            return True
        return False

    await eventually(unknown)
    (told,) = [f for f in ann.frames if f.get("type") == "system"]
    assert (told["event"], told["code"], told["reconnect"]) == ("disconnect", 3004, True)
    again = await connect("ann", session_id=ann.welcome["session_id"])
    await again.publish(channel, 2)
    await again.wait_for(lambda: [event for event in again.events(channel) if event["data"] == 2])


async def test_everybody_in_every_shard_is_reached_once(stack: LocalStack, connect: Connect, channel: str) -> None:
    store = DynamoDbConnectionStore(boto3.client("dynamodb"), stack.outputs["ConnectionsTableName"], now_ms)
    store.grow(channel, 4)
    clients = [await connect(f"u{n}", subscribe=[{"channel": channel}]) for n in range(8)]
    shards = [set(store.subscribers(channel, shard).connection_ids) for shard in range(4)]
    assert sum(map(len, shards)) == 8
    assert sum(map(bool, shards)) > 1
    for priority in ("normal", "express"):
        await clients[0].publish(channel, 1, priority=priority)
    for client in clients:
        await client.wait_for_events(channel, 2)
    await clients[3].ask("unsubscribe", channel=channel)
    await clients[5].close()
    gone = {clients[n].welcome["connection_id"] for n in (3, 5)}

    def left() -> set[str]:
        return {c for shard in range(4) for c in store.subscribers(channel, shard).connection_ids}

    await eventually(lambda: not gone & left())
    assert len(left()) == 6
