"""Metric lines reach CloudWatch once each, also late ones, and those of a poll that failed."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from localstack.metrics import MetricForwarder, ServedMetrics
from shared.adapters.cloudwatch import CloudWatchMetricSource
from shared.ports import Measure

GROUP = "/aws/lambda/TidewireLocal-Function"


class Scene:
    def __init__(self) -> None:
        self.logs: Any = boto3.client("logs")
        self.logs.create_log_group(logGroupName=GROUP)
        self.served = ServedMetrics()
        self.forwarder = MetricForwarder(self.served)
        self._streams = 0

    def invoked(self, *values: float, ago_ms: int = 0, name: str = "Requests") -> None:
        """Write an invocation's line, as one that bears an earlier time."""
        self._streams += 1
        at_ms = time.time_ns() // 1_000_000 - ago_ms
        directive = {"Namespace": "Tidewire", "Dimensions": [["service"]], "Metrics": [{"Name": name, "Unit": "Count"}]}
        record = {"_aws": {"Timestamp": at_ms, "CloudWatchMetrics": [directive]}, "service": "tidewire", name: values}
        stream = f"invocation-{self._streams}"
        self.logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        events = [{"timestamp": at_ms, "message": text} for text in ("START", json.dumps(record), "END")]
        self.logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)

    def total(self, name: str = "Requests") -> float:
        now_s = int(datetime.now(UTC).timestamp())
        source = CloudWatchMetricSource(boto3.client("cloudwatch"))
        (found,) = source.read([Measure(name)], from_s=now_s - 3_600, until_s=now_s + 60, period_s=60)
        return sum(found.values())


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield Scene()


def test_each_line_is_forwarded_once(scene: Scene) -> None:
    scene.invoked(1, 2)
    scene.invoked(3)
    assert scene.forwarder.forward() in (1, 2), "what falls into one second is one"
    assert scene.forwarder.forward() == 0
    scene.invoked(4)
    assert scene.forwarder.forward() == 1
    assert scene.total() == 10


def test_two_that_are_alike_are_two(scene: Scene) -> None:
    for _ in range(30):
        scene.invoked(1)
    scene.forwarder.forward()
    assert scene.total() == 30


def test_a_line_that_comes_late_is_not_lost(scene: Scene) -> None:
    scene.invoked(1)
    scene.forwarder.forward()
    scene.invoked(2, ago_ms=2_000)
    scene.forwarder.forward()
    scene.forwarder.forward()
    assert scene.total() == 3


def test_what_could_not_be_put_is_put_the_next_time(scene: Scene) -> None:
    def unreachable(**_event: Any) -> None:
        raise EndpointConnectionError(endpoint_url="http://localhost")

    scene.served.count("Publishes", 5)
    scene.invoked(7)
    events = scene.forwarder._cloudwatch.meta.events
    events.register("before-call", unreachable)
    with pytest.raises(EndpointConnectionError):
        scene.forwarder.forward()
    events.unregister("before-call", unreachable)
    scene.forwarder.forward()
    scene.forwarder.forward()
    assert (scene.total(), scene.total("Publishes")) == (7, 5)
