"""DynamoDB throttles: who asks is told to come back, and what was acknowledged waits until it can be stored."""

from collections.abc import Iterator
from contextlib import contextmanager

import boto3

from localstack.stack import LocalStack
from tests.integration.checks import assert_gapless, eventually
from tests.integration.conftest import Connect
from tests.torture.proxy import ProxyProcess


@contextmanager
def detour(stack: LocalStack, function: str) -> Iterator[ProxyProcess]:
    """Let a function's calls to AWS go through a proxy, which lets them through as long as nothing else is said."""
    client, name = boto3.client("lambda"), stack.function_names()[function]
    variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    with ProxyProcess(seed=1) as proxy:
        proxy.configure(upstream=stack.emulator.endpoint, faults=["throttled"], services=["dynamodb"])
        there = {**variables, "AWS_ENDPOINT_URL": proxy.endpoint}
        client.update_function_configuration(FunctionName=name, Environment={"Variables": there})
        try:
            yield proxy
        finally:
            client.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


async def test_who_asks_while_the_store_is_busy_is_told_when_to_come_back(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    with detour(stack, "ws_message") as proxy:
        ann = await connect("ann", subscribe=[{"channel": channel}])
        proxy.configure(one_in=1)
        for priority in ("express", "normal"):
            publish = {"type": "publish", "channel": channel, "name": "said", "data": 0, "priority": priority}
            error = (await ann.request(publish))["error"]
            assert (error["name"], error["retryable"]) == ("unavailable", True)
            assert error["retry_after_ms"] >= 1
        proxy.configure(one_in=0)
        published = await ann.publish(channel, 1, priority="express")
    assert published["position"]["offset"] == 1
    assert [event["data"] for event in await ann.wait_for_events(channel, 1)] == [1]


async def test_what_was_acknowledged_waits_for_a_busy_store(stack: LocalStack, connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    with detour(stack, "publish_worker") as proxy:
        proxy.configure(one_in=1)
        for number in range(5):
            assert (await ann.publish(channel, number))["status"] == "accepted"
        await eventually(lambda: proxy.counts()["hits"].get("dynamodb", {}).get("throttled", 0) > 0)
        assert ann.events(channel) == []
        proxy.configure(one_in=0)
        events = await ann.wait_for_events(channel, 5)
    assert_gapless(events)
    assert [event["data"] for event in events] == list(range(5))
