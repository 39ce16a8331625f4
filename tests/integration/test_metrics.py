"""Metrics: log lines of the functions become data in CloudWatch."""

import datetime

import boto3
import httpx
import pytest

from localstack.stack import LocalStack
from shared.contract import METRICS_NAMESPACE, SERVICE_NAME
from tests.integration.checks import eventually
from tests.integration.client import dev_token
from tests.integration.conftest import Connect


def total(name: str) -> float:
    """Return the sum of a metric since ever."""
    now = datetime.datetime.now(datetime.UTC)
    answer = boto3.client("cloudwatch").get_metric_statistics(
        Namespace=METRICS_NAMESPACE,
        MetricName=name,
        Dimensions=[{"Name": "service", "Value": SERVICE_NAME}],
        StartTime=now - datetime.timedelta(hours=1),
        EndTime=now + datetime.timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )
    return sum(point["Sum"] for point in answer["Datapoints"])


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
