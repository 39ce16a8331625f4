"""Forwards EMF metric lines from the emulator's logs into its CloudWatch, which does not read them itself; and what the
app measures that the edge serves, which writes no such lines.
"""

import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from shared.contract import METRICS_NAMESPACE, SERVICE_NAME

logger = logging.getLogger(__name__)

_POLL_S: Final = 5
# A line may lie in its group a moment after the time that it bears: that young ones are left for the next time.
_LAG_MS: Final = 500
_LOG_GROUPS: Final = "TidewireLocal"  # in their names: the emulator puts something before it
_EMF_MARK: Final = "CloudWatchMetrics"
_DATA_PER_CALL: Final = (
    500  # docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html allows 1,000
)


class ServedMetrics:
    """Metrics of the app that the edge serves: no invocation ends there, with which they would be written as a line."""

    def __init__(self) -> None:
        self._data: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def count(self, name: str, value: int = 1) -> None:
        """See :class:`shared.ports.Metrics`."""
        self._add(name, value, "Count")

    def milliseconds(self, name: str, value: float) -> None:
        """See :class:`shared.ports.Metrics`."""
        self._add(name, value, "Milliseconds")

    def level(self, name: str, value: float) -> None:
        """See :class:`shared.ports.Metrics`."""
        self._add(name, value, "None")

    def take(self) -> list[dict[str, Any]]:
        """Return the data of PutMetricData that have come since the last time."""
        with self._lock:
            taken, self._data = self._data, []
        return taken

    def _add(self, name: str, value: float, unit: str) -> None:
        datum = {
            "MetricName": name,
            "Dimensions": [{"Name": "service", "Value": SERVICE_NAME}],
            "Timestamp": time.time(),
            "Value": float(value),
            "Unit": unit,
            "StorageResolution": 1,
        }
        with self._lock:
            self._data.append(datum)


class MetricForwarder:
    """Polls in a thread of its own."""

    def __init__(self, served: ServedMetrics) -> None:
        self._served = served
        self._logs: Any = boto3.client("logs")
        self._cloudwatch: Any = boto3.client("cloudwatch")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._since_ms: dict[str, int] = {}

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; return when the thread has."""
        self._stop.set()
        if self._thread.ident is not None:  # it may not have come to starting
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_POLL_S):
            try:
                self.forward()
            except (BotoCoreError, ClientError) as error:
                logger.warning("metrics are not forwarded: %s", type(error).__name__)

    def forward(self) -> int:
        """Forward what is new; return the number of data."""
        served = self._served.take()
        self._put(METRICS_NAMESPACE, served)
        count = len(served)
        for group in self._logs.get_paginator("describe_log_groups").paginate(logGroupNamePattern=_LOG_GROUPS):
            for item in group["logGroups"]:
                count += self._forward_group(item["logGroupName"])
        return count

    def _forward_group(self, group: str) -> int:
        # The emulator gives lines no ids to know them again by: each poll takes the span of time behind the last one.
        since_ms, until_ms = self._since_ms.get(group, 0), time.time_ns() // 1_000_000 - _LAG_MS
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=since_ms, endTime=until_ms - 1, filterPattern=f'"{_EMF_MARK}"'
        )
        data: dict[str, list[dict[str, Any]]] = {}
        for event in (event for page in pages for event in page["events"]):
            for namespace, datum in metric_data(event["message"]):
                data.setdefault(namespace, []).append(datum)
        self._since_ms[group] = until_ms
        for namespace, items in data.items():
            self._put(namespace, items)
        return sum(map(len, data.values()))

    def _put(self, namespace: str, data: list[dict[str, Any]]) -> None:
        for start in range(0, len(data), _DATA_PER_CALL):
            self._cloudwatch.put_metric_data(Namespace=namespace, MetricData=data[start : start + _DATA_PER_CALL])


def metric_data(line: str) -> list[tuple[str, dict[str, Any]]]:
    """Return (namespace, datum of PutMetricData) for each value in a line of the embedded metric format.

    Source: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    if _EMF_MARK not in line:
        return []
    try:
        return list(_data(json.loads(line)))
    except (ValueError, RecursionError, KeyError, TypeError):
        return []  # some other line that has the word in it


def _data(record: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for directive in record["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = [{"Name": name, "Value": str(record[name])} for name in names]
            for metric in directive["Metrics"]:
                values = record[metric["Name"]]
                yield (
                    directive["Namespace"],
                    {
                        "MetricName": metric["Name"],
                        "Dimensions": dimensions,
                        "Timestamp": record["_aws"]["Timestamp"] / 1000,
                        "Values": [float(value) for value in (values if isinstance(values, list) else [values])],
                        "Unit": metric.get("Unit", "None"),
                        "StorageResolution": metric.get("StorageResolution", 60),
                    },
                )
