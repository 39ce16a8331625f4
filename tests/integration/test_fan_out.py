"""Fan-out when the gateway does not take what is pushed: on the deployed stack, with faults in the edge."""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import boto3

from localstack.edge.faults import Fault, NoFaults, Operation
from localstack.stack import LocalStack
from shared.adapters.dynamodb_connections import DynamoDbConnectionStore
from shared.bootstrap import now_ms
from shared.contract import ENV_CONNECTIONS_TABLE, OUTPUT_TABLE_NAMES
from shared.services.fan_out import SHARD_MAX_SUBSCRIBERS
from shared.services.publish import EXPRESS_MAX_SUBSCRIBERS
from tests.integration.checks import eventually, measured, next_second
from tests.integration.client import RequestError
from tests.integration.conftest import Connect


class First:
    """The first so many pushes go wrong.

    Attributes:
        asked: How many pushes there were, whatever became of them.
        well: How many of them go well before.
    """

    def __init__(self, count: int, fault: Fault, *, well: int = 0) -> None:
        self.left, self.asked, self.well, self._fault = count, 0, well, fault

    def next(self, operation: Operation) -> Fault | None:
        if operation != "post":
            return None
        self.asked += 1
        if self.asked <= self.well or self.left <= 0:
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


@contextmanager
def absent(stack: LocalStack, channel: str, count: int) -> Iterator[None]:
    """Let a channel have so many subscribers more, of connections that are not there."""
    table = boto3.resource("dynamodb").Table(stack.outputs[OUTPUT_TABLE_NAMES[ENV_CONNECTIONS_TABLE]])
    keys = [{"pk": f"CHANNEL#{channel}#0", "sk": f"absent-{number}"} for number in range(count)]
    with table.batch_writer() as batch:
        for key in keys:
            batch.put_item(Item={**key, "expires_at_s": now_ms() // 1000 + 600})
    yield
    with table.batch_writer() as batch:
        for key in keys:
            batch.delete_item(Key=key)


async def test_who_is_not_reached_at_once_is_reached_later(stack: LocalStack, connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    with faults(stack, First(1, Fault(status=500))) as all_failed:
        await ann.publish(channel, 1)
        assert (await ann.wait_for_events(channel, 1))[0]["data"] == 1
        assert all_failed()


async def test_what_is_left_of_a_delivery_reaches_who_remained_and_nobody_twice(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    clients = [await connect(name, subscribe=[{"channel": channel}]) for name in ("ann", "bob", "cyd")]
    # Whoever is first takes it; the other two do not.
    with faults(stack, First(2, Fault(status=500), well=1)) as all_failed:
        await clients[0].publish(channel, 1)
        for client in clients:
            await client.wait_for_events(channel, 1)
        assert all_failed()
    await clients[0].publish(channel, 2)
    for client in clients:
        await client.wait_for_events(channel, 2)
        assert [event["data"] for event in client.events(channel)] == [1, 2]


async def test_a_gateway_that_fails_is_left_alone_until_it_works_again(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    begun = await next_second()
    ann = await connect("ann", subscribe=[{"channel": channel}])

    def breaker(level: float) -> bool:
        return level in (
            *measured("PushBreakerOpen", "Minimum", since=begun),
            *measured("PushBreakerOpen", "Maximum", since=begun),
        )

    with absent(stack, channel, 40):
        broken = First(10_000, Fault(status=500))
        with faults(stack, broken):
            lost, left_alone = 0, False
            while not left_alone:  # each process finds out by itself that it does not work
                asked = broken.asked
                await ann.publish(channel, "lost", ephemeral=True)
                lost += 1
                await eventually(lambda: sum(measured("EphemeralShed", "Sum", since=begun)) == lost)  # noqa: B023
                left_alone = broken.asked - asked <= 3  # trials, and not 41
            await eventually(lambda: breaker(1))
        await ann.publish(channel, "kept")
        # Where a process leaves the gateway alone a little longer, the second try says only how far the channel is.
        await ann.wait_for(lambda: ann.events(channel) or [f for f in ann.frames if f.get("event") == "lagged"])
        page = await ann.ask("history", channel=channel, limit=10)
        assert [publication["data"] for publication in page["publications"]] == ["kept"]

        async def works() -> bool:
            # Each process finds out by itself that it works again; several at once are several processes.
            await asyncio.gather(*(ann.publish(channel, "heard", ephemeral=True) for _ in range(4)))
            return breaker(0) and any(event["data"] == "heard" for event in ann.events(channel))

        await eventually(works)


async def test_who_does_not_keep_up_is_told_that_it_lags(stack: LocalStack, connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    with faults(stack, First(2, Fault(status=429))) as all_failed:
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
        Payload=json.dumps({"detail": {"channel": mark}}),  # and no frames
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


async def test_a_shard_that_is_full_is_not_the_last_one(stack: LocalStack, connect: Connect, channel: str) -> None:
    store = DynamoDbConnectionStore(boto3.client("dynamodb"), stack.outputs["ConnectionsTableName"], now_ms)
    ann = await connect("ann")
    with absent(stack, channel, SHARD_MAX_SUBSCRIBERS + 1):
        await ann.publish(channel, 1, ephemeral=True)
        await eventually(lambda: store.subscribers(channel).count == 2)
    clients = []
    while not all(store.subscribers(channel, shard).connection_ids for shard in range(2)):
        clients.append(await connect("bob", subscribe=[{"channel": channel}]))
        assert len(clients) < 30
    await ann.publish(channel, 2)
    for client in clients:
        await client.wait_for_events(channel, 1)


async def test_express_in_a_channel_of_many_reaches_everybody_by_the_bus(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    with absent(stack, channel, EXPRESS_MAX_SUBSCRIBERS):
        published = await ann.publish(channel, 1, priority="express")
        (event,) = await ann.wait_for_events(channel, 1)
    assert (event["epoch"], event["offset"]) == (published["position"]["epoch"], published["position"]["offset"])
    assert len(ann.events(channel)) == 1
