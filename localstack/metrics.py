"""Forwards EMF metric lines from the emulator's logs into its CloudWatch, which does not read them itself; and what the
app measures that the edge serves, which writes no such lines.
"""

import json
import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from shared.contract import METRICS_NAMESPACE, SERVICE_NAME

logger = logging.getLogger(__name__)

_POLL_S: Final = 2  # one takes some 35 ms of CPU, the emulator's included
# A line may lie in its group a while after the time that it bears, longer on a busy machine: each poll reads so much of
# the time before it once more, and takes what it has not seen.
_OVERLAP_MS: Final = 3_000
_LOG_GROUPS: Final = "TidewireLocal"  # in their names: the emulator puts something before it
_EMF_MARK: Final = "CloudWatchMetrics"
_DATA_PER_CALL: Final = (
    500  # docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html allows 1,000
)


class ServedMetrics:
    """Metrics of the app that the edge serves: no invocation ends there, with which they would be written as a line."""

    def __init__(self) -> None:
        self._data: list[dict[str, Any]] = []
        self._sums: defaultdict[tuple[str, int], float] = defaultdict(float)  # by name and second
        self._lock = threading.Lock()

    def count(self, name: str, value: int = 1) -> None:
        """See :class:`shared.ports.Metrics`."""
        self.billed(name, value)

    def billed(self, name: str, units: float) -> None:
        """See :class:`shared.ports.Metrics`."""
        with self._lock:
            self._sums[name, int(time.time())] += units

    def milliseconds(self, name: str, value: float) -> None:
        """See :class:`shared.ports.Metrics`."""
        self._add(name, value, "Milliseconds")

    def level(self, name: str, value: float) -> None:
        """See :class:`shared.ports.Metrics`."""
        self._add(name, value, "None")

    def take(self) -> list[dict[str, Any]]:
        """Return the data of PutMetricData that have come since the last time."""
        with self._lock:
            sums, self._sums = self._sums, defaultdict(float)
            taken, self._data = self._data, []
        return taken + [_datum(name, value, "Count", at_s) for (name, at_s), value in sums.items()]

    def _add(self, name: str, value: float, unit: str) -> None:
        with self._lock:
            self._data.append(_datum(name, value, unit, time.time()))


_Line = tuple[str, int, str]


class MetricForwarder:
    """Polls in a thread of its own."""

    def __init__(self, served: ServedMetrics) -> None:
        self._served = served
        self._logs: Any = boto3.client("logs")
        self._cloudwatch: Any = boto3.client("cloudwatch")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._waiting: list[tuple[str, dict[str, Any]]] = []
        self._read: dict[str, tuple[int, frozenset[_Line]]] = {}  # from when on to read a group, and what was read

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
                logger.warning("metrics are late, what was measured comes with the next poll: %s", error)

    def forward(self) -> int:
        """Forward what is new; return the number of data."""
        self._waiting += [(METRICS_NAMESPACE, datum) for datum in self._served.take()]
        for page in self._logs.get_paginator("describe_log_groups").paginate(logGroupNamePattern=_LOG_GROUPS):
            for item in page["logGroups"]:
                for line in self._new_lines(item["logGroupName"]):
                    self._waiting += metric_data(line)
        self._waiting = merged(self._waiting)
        count = len(self._waiting)
        while self._waiting:  # what can't be put is left for the next time
            namespace, group = next(groupby(self._waiting[:_DATA_PER_CALL], key=itemgetter(0)))
            some = [datum for _, datum in group]
            self._cloudwatch.put_metric_data(Namespace=namespace, MetricData=some)
            del self._waiting[: len(some)]
        return count

    def _new_lines(self, group: str) -> list[str]:
        since_ms, seen = self._read.get(group, (0, frozenset()))
        until_ms = time.time_ns() // 1_000_000
        pages = self._logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=since_ms, endTime=until_ms, filterPattern=f'"{_EMF_MARK}"'
        )
        # The emulator gives lines no ids, but each invocation a stream.
        lines = {
            (event["logStreamName"], event["timestamp"], event["message"]) for page in pages for event in page["events"]
        }
        self._read[group] = max(0, until_ms - _OVERLAP_MS), frozenset(lines)
        return [message for _, _, message in sorted(lines - seen)]


def _datum(name: str, value: float, unit: str, at_s: float) -> dict[str, Any]:
    return {
        "MetricName": name,
        "Dimensions": [{"Name": "service", "Value": SERVICE_NAME}],
        "Timestamp": at_s,
        "Values": [float(value)],
        "Counts": [1.0],
        "Unit": unit,
        "StorageResolution": 1,
    }


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


def merged(data: Iterable[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Return data that say the same, each value once a second with how often it came.

    The emulator keeps every value for two weeks, and looks through all of them for its alarms.
    """
    counts: defaultdict[str, Counter[float]] = defaultdict(Counter)
    for namespace, datum in data:
        rest = {name: value for name, value in datum.items() if name not in ("Values", "Counts")}
        key = json.dumps([namespace, rest | {"Timestamp": int(datum["Timestamp"])}])
        for value, count in zip(datum["Values"], datum["Counts"], strict=True):
            counts[key][value] += count
    found = []
    for key, values in counts.items():
        namespace, rest = json.loads(key)
        found.append((namespace, rest | {"Values": list(values), "Counts": list(values.values())}))
    return found


def _data(record: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for directive in record["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = [{"Name": name, "Value": str(record[name])} for name in names]
            for metric in directive["Metrics"]:
                said = record[metric["Name"]]
                values = [float(value) for value in (said if isinstance(said, list) else [said])]
                yield (
                    directive["Namespace"],
                    {
                        "MetricName": metric["Name"],
                        "Dimensions": dimensions,
                        "Timestamp": record["_aws"]["Timestamp"] / 1000,
                        "Values": values,
                        "Counts": [1.0] * len(values),
                        "Unit": metric.get("Unit", "None"),
                        "StorageResolution": metric.get("StorageResolution", 60),
                    },
                )
