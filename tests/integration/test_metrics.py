"""Metrics: log lines of the functions become data in CloudWatch."""

import httpx
import pytest

from localstack.stack import LocalStack
from tests.integration.checks import eventually, total
from tests.integration.client import dev_token
from tests.integration.conftest import Connect


@pytest.mark.usefixtures("stack")
async def test_what_functions_measure_arrives_in_cloudwatch(connect: Connect, channel: str) -> None:
    names = ("Connects", "Publishes", "PublicationsAppended", "Deliveries", "PublishToDeliverLatency")
    before = {name: total(name) for name in names}
    ann = await connect("ann", subscribe=[{"channel": channel}])
    for number in range(3):
        await ann.publish(channel, number)
    await ann.wait_for_events(channel, 3)
    at_least = {"Connects": 1, "Publishes": 3, "PublicationsAppended": 3, "Deliveries": 1, "PublishToDeliverLatency": 1}
    await eventually(lambda: all(total(name) >= before[name] + at_least[name] for name in names))


async def test_what_the_served_app_measures_arrives_as_well(
    stack: LocalStack, http: httpx.Client, channel: str
) -> None:
    before = total("Publishes")
    headers = {"Authorization": f"Bearer {dev_token(stack.url, 'ann')}"}
    for number in range(3):
        body = {"channel": channel, "name": "said", "data": number}
        http.post("/v1/publish", json=body, headers=headers).raise_for_status()
    await eventually(lambda: total("Publishes") >= before + 3)


@pytest.mark.usefixtures("stack")
async def test_recoveries_gaps_and_repeats_are_counted(connect: Connect, channel: str) -> None:
    names = ("Recovered", "RecoveryRefused", "GapsFilled", "DuplicatesDropped")
    before = {name: total(name) for name in names}
    ann = await connect("ann", subscribe=[{"channel": channel}])
    await ann.publish(channel, 1, message_id="m")
    (event,) = await ann.wait_for_events(channel, 1)
    beginning = {"epoch": event["epoch"], "offset": 0}
    await ann.ask("subscribe", channel=channel, since=beginning)
    await ann.ask("subscribe", channel=channel, since={"epoch": "another", "offset": 0})
    await ann.ask("history", channel=channel, since=beginning)
    await ann.publish(
        channel, 1, message_id="m", priority="low", retry=True
    )  # by another lane: SQS knows nothing of it
    # At least: a lane may hand out again what a worker of an earlier test did not come to the end of.
    await eventually(lambda: all(total(name) > before[name] for name in names))
