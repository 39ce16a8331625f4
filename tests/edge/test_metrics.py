"""Lines of the embedded metric format become data of PutMetricData; every other line is left alone.

docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localstack.metrics import ServedMetrics, merged, metric_data

RECORD: dict[str, Any] = {
    "_aws": {
        "Timestamp": 1_800_000_000_123,
        "CloudWatchMetrics": [
            {
                "Namespace": "Tidewire",
                "Dimensions": [["service"], ["service", "kind"]],
                "Metrics": [{"Name": "Connects", "Unit": "Count"}, {"Name": "LatencyMs"}],
            }
        ],
    },
    "service": "tidewire",
    "kind": 7,
    "Connects": 1,
    "LatencyMs": [3.5, 4],
}


def data(record: Any) -> list[tuple[str, dict[str, Any]]]:
    return metric_data(json.dumps(record))


def test_a_line_is_a_datum_for_each_metric_and_set_of_dimensions() -> None:
    found = data(RECORD)
    service, kind = {"Name": "service", "Value": "tidewire"}, {"Name": "kind", "Value": "7"}
    assert [(namespace, datum["MetricName"], datum["Dimensions"]) for namespace, datum in found] == [
        ("Tidewire", "Connects", [service]),
        ("Tidewire", "LatencyMs", [service]),
        ("Tidewire", "Connects", [service, kind]),
        ("Tidewire", "LatencyMs", [service, kind]),
    ]
    assert [(datum["Values"], datum["Unit"]) for _, datum in found[:2]] == [([1], "Count"), ([3.5, 4], "None")]
    assert found[0][1]["Timestamp"] == 1_800_000_000.123


def test_a_line_that_is_no_json_is_left_alone() -> None:
    assert metric_data("START CloudWatchMetrics") == []
    assert metric_data("[" * 100_000 + "CloudWatchMetrics") == []


def without(*path: Any) -> Any:
    """Return the record without what lies at a path."""
    record = json.loads(json.dumps(RECORD))
    inner = record
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return record


DIRECTIVE = ("_aws", "CloudWatchMetrics", 0)


@pytest.mark.parametrize(
    "record",
    [
        "CloudWatchMetrics",
        {"message": "CloudWatchMetrics"},
        {"_aws": None, "x": "CloudWatchMetrics"},
        {"_aws": {"CloudWatchMetrics": None}},
        {"_aws": {"CloudWatchMetrics": [None]}},
        {"_aws": {"CloudWatchMetrics": 5}},
        without("_aws", "Timestamp"),
        without(*DIRECTIVE, "Namespace"),
        without(*DIRECTIVE, "Dimensions"),
        without(*DIRECTIVE, "Metrics"),
        without(*DIRECTIVE, "Metrics", 0, "Name"),
        without("kind"),
        without("Connects"),
        {**RECORD, "Connects": "many"},
        {**RECORD, "Connects": [1, None]},
    ],
)
def test_a_line_that_only_looks_like_it_is_left_alone_whole(record: Any) -> None:
    assert data(record) == []


@given(line=st.text() | st.text().map(lambda text: json.dumps({"_aws": {"CloudWatchMetrics": text}})))
def test_no_line_breaks_it(line: str) -> None:
    metric_data(line)


def test_what_the_served_app_counts_is_summed_up_by_the_second_and_taken_once() -> None:
    served = ServedMetrics()
    for _ in range(500):
        served.count("Requests", 2)
        served.billed("SqsRequests", 0.5)
    served.milliseconds("Latency", 3)
    taken = served.take()
    assert len(taken) < 50
    sums = {datum["MetricName"]: 0.0 for datum in taken}
    for datum in taken:
        sums[datum["MetricName"]] += sum(datum["Values"])
    assert sums == {"Requests": 1000, "SqsRequests": 250, "Latency": 3}
    assert served.take() == []


def test_what_was_measured_more_than_once_in_a_second_is_one_datum_with_counts() -> None:
    later = {**RECORD, "_aws": {**RECORD["_aws"], "Timestamp": 1_800_000_001_000}}
    again = {**RECORD, "LatencyMs": [4, 5]}
    found = merged([*data(RECORD), *data(again), *data(later)])
    latencies = [
        (datum["Timestamp"], dict(zip(datum["Values"], datum["Counts"], strict=True)))
        for _, datum in found
        if datum["MetricName"] == "LatencyMs" and len(datum["Dimensions"]) == 1
    ]
    assert latencies == [(1_800_000_000, {3.5: 1, 4: 2, 5: 1}), (1_800_000_001, {3.5: 1, 4: 1})]
    assert merged(found) == found
