"""A store that fails is left alone, and asked again when it may have recovered: in the deployed functions."""

import datetime
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3

from localstack.stack import LocalStack
from shared.bootstrap import now_ms
from shared.contract import OUTPUT_LANE_URLS
from shared.domain.publication import Publication
from shared.ports import Lane
from tests.integration.checks import assert_gapless, eventually, measured, next_second, whole_history
from tests.integration.conftest import Connect
from tests.integration.test_throttling import detour
from tests.torture.proxy import ProxyProcess
from tests.torture.worker_records import Record, lane_record

OPENS_AFTER = 3  # calls that fail in a row, each tried three times
TRIES = 3


@contextmanager
def failing_store(stack: LocalStack, function: str) -> Iterator[ProxyProcess]:
    """A function whose calls to DynamoDB fail while the proxy is told so."""
    with detour(stack, function) as proxy:
        proxy.configure(faults=["failed"])
        yield proxy


def failures(proxy: ProxyProcess) -> int:
    """Return how many calls have failed."""
    count: int = proxy.counts()["hits"].get("dynamodb", {}).get("failed", 0)
    return count


def ten_records(stack: LocalStack) -> list[Record]:
    """Return records of as many channels, which lie in no lane: when they fail, nothing is left of them."""
    urls: dict[Lane, str] = {"normal": stack.outputs[OUTPUT_LANE_URLS["normal"]]}
    publication = Publication("m", "said", 1, "ann", None, "normal", now_ms())
    return [lane_record(f"room:{secrets.token_hex(6)}", publication, "normal", urls, received=1) for _ in range(10)]


async def breaker_was(level: int, *, since: datetime.datetime) -> None:
    """Return when CloudWatch knows that a breaker before the store was open (1) or closed again (0)."""
    statistic: Any = "Maximum" if level else "Minimum"
    await eventually(lambda: level in measured("StorageBreakerOpen", statistic, since=since))


async def test_who_asks_is_told_to_come_back_without_the_store_being_asked(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    begun = await next_second()
    publish: dict[str, Any] = {"type": "publish", "channel": channel, "name": "said"}
    ways: list[dict[str, Any]] = [{}, {"priority": "express"}, {"priority": "low"}, {"ephemeral": True}]
    with failing_store(stack, "ws_message") as proxy:
        ann = await connect("ann", subscribe=[{"channel": channel}])
        proxy.configure(one_in=1)
        for number in range(10 * OPENS_AFTER):
            error = (await ann.request({**publish, "data": "refused", **ways[number % len(ways)]}))["error"]
            assert (error["name"], error["retryable"]) == ("unavailable", True)
            assert error["retry_after_ms"] >= 1
        assert failures(proxy) <= TRIES * (OPENS_AFTER + 4)  # trials are among them
        proxy.configure(one_in=0)

        async def taken() -> bool:
            return "result" in await ann.request({**publish, "data": "taken", "priority": "express"})

        await eventually(taken)
    assert [publication["data"] for publication in await whole_history(ann, channel)] == ["taken"]
    await ann.wait_for_events(channel, 1)
    assert [event["data"] for event in ann.events(channel)] == ["taken"]
    await breaker_was(1, since=begun)
    await breaker_was(0, since=begun)


async def test_what_was_acknowledged_waits_until_the_store_is_asked_again(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    begun = await next_second()
    ann = await connect("ann", subscribe=[{"channel": channel}])
    with failing_store(stack, "publish_worker") as proxy:
        await ann.publish(channel, 0)
        await ann.wait_for_events(channel, 1)  # there is a worker; all that follows is for this one
        proxy.configure(one_in=1)

        def left_alone() -> bool:
            """Hand ten records more to the worker; tell whether it has given them back without asking for each."""
            before = failures(proxy)
            records = ten_records(stack)
            answer = boto3.client("lambda").invoke(
                FunctionName=stack.function_names()["publish_worker"], Payload=json.dumps({"Records": records})
            )
            assert len(json.load(answer["Payload"])["batchItemFailures"]) == len(records)
            return failures(proxy) - before < len(records) // 2

        await eventually(left_alone)
        asked = failures(proxy)
        for number in range(1, 4):
            assert (await ann.publish(channel, number))["status"] == "accepted"
        await eventually(lambda: failures(proxy) > asked)  # a trial
        assert len(ann.events(channel)) == 1
        proxy.configure(one_in=0)
        await ann.wait_for_events(channel, 4)
        for number in range(4, 6):  # three trials close it, and those that waited may have been one
            await ann.publish(channel, number)
            await ann.wait_for_events(channel, number + 1)
    kept = await whole_history(ann, channel)
    assert_gapless(kept)
    for publications in (kept, ann.events(channel)):
        assert [publication["data"] for publication in publications] == list(range(6))
    await breaker_was(1, since=begun)
    await breaker_was(0, since=begun)
