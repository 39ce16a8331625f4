"""What was measured is read back from CloudWatch as the memory adapter gives it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from shared.adapters.cloudwatch import CloudWatchMetricSource
from shared.adapters.memory import MemoryMetricSource
from shared.contract import METRICS_NAMESPACE, SERVICE_NAME
from shared.errors import UnavailableError
from shared.ports import Measure, MetricSource

NOW_S = int(datetime.now(UTC).timestamp()) // 600 * 600
Put = Callable[[str, int, float], None]


@pytest.fixture(params=["memory", "cloudwatch"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[MetricSource, Put]]:
    if request.param == "memory":
        memory = MemoryMetricSource()

        def put_in_memory(name: str, at_s: int, value: float) -> None:
            memory.values.setdefault(Measure(name), {})[at_s] = value

        yield memory, put_in_memory
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        client = boto3.client("cloudwatch", region_name="us-east-1")

        def put(name: str, at_s: int, value: float) -> None:
            for service in (SERVICE_NAME, "another"):
                datum: Any = {
                    "MetricName": name,
                    "Dimensions": [{"Name": "service", "Value": service}],
                    "Timestamp": datetime.fromtimestamp(at_s, UTC),
                    "Value": value if service == SERVICE_NAME else 1000,
                }
                client.put_metric_data(Namespace=METRICS_NAMESPACE, MetricData=[datum])

        yield CloudWatchMetricSource(client), put


def test_values_come_by_measure_and_period(source: tuple[MetricSource, Put]) -> None:
    reader, put = source
    put("Publishes", NOW_S - 600, 2)
    put("Publishes", NOW_S - 540, 3)
    put("Publishes", NOW_S, 99)
    put("Deliveries", NOW_S - 60, 4)
    measures = [Measure("Deliveries"), Measure("Publishes"), Measure("Requests")]
    found = reader.read(measures, from_s=NOW_S - 600, until_s=NOW_S, period_s=60)
    assert found == [{NOW_S - 60: 4}, {NOW_S - 600: 2, NOW_S - 540: 3}, {}]


def _result(place: int, *values: tuple[int, float], status: str) -> dict[str, Any]:
    return {
        "Id": f"m{place}",
        "Timestamps": [datetime.fromtimestamp(at_s, UTC) for at_s, _ in values],
        "Values": [value for _, value in values],
        "StatusCode": status,
    }


def _answering(*pages: dict[str, Any]) -> CloudWatchMetricSource:
    client = boto3.client("cloudwatch", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    stubber = Stubber(client)
    for page in pages:
        stubber.add_response("get_metric_data", page)
    stubber.activate()
    return CloudWatchMetricSource(client)


def test_an_answer_in_pages_is_read_to_its_end() -> None:
    reader = _answering(
        {"MetricDataResults": [_result(0, (600, 1.0), status="PartialData")], "NextToken": "more"},
        {
            "MetricDataResults": [
                _result(0, (660, 2.0), status="Complete"),
                _result(1, (600, 3.0), status="Complete"),
            ]
        },
    )
    found = reader.read([Measure("A"), Measure("B", "p99")], from_s=600, until_s=1200, period_s=60)
    assert found == [{600: 1.0, 660: 2.0}, {600: 3.0}]


def test_what_cloudwatch_could_not_read_is_not_taken_for_nothing() -> None:
    reader = _answering({"MetricDataResults": [_result(0, status="InternalError")]})
    with pytest.raises(UnavailableError):
        reader.read([Measure("A")], from_s=600, until_s=1200, period_s=60)
