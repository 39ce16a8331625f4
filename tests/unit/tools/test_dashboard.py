"""What draws the dashboard takes what an endpoint reckons, as AWS does, and reckons what it does not."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tools.dashboard.answers import Line, Span, metric_lines
from tools.dashboard.log_queries import Table, asked

_SPAN = Span(600, 720, 60)
_WIDGET = {
    "title": "Errors",
    "metrics": [
        [{"expression": "100 * FILL(bad, 0) / all", "label": "share"}],
        ["Tidewire", "RequestErrors", "service", "tidewire", {"id": "bad", "visible": False, "stat": "Sum"}],
        ["Tidewire", "Requests", "service", "tidewire", {"id": "all", "label": "requests", "stat": "Sum"}],
    ],
}
_QUERY = "SOURCE 'a' | SOURCE 'b' | filter @message like /ERR/\n| stats count(*) as failures by error\n| limit 1"


class CloudWatch:
    """Answers with these values; where there are none, as the emulator does to metric math."""

    def __init__(self, values: Mapping[str, Mapping[int, float]]) -> None:
        self._values = values

    def get_paginator(self, name: str) -> "CloudWatch":
        assert name == "get_metric_data"
        return self

    def paginate(self, *, MetricDataQueries: Any, StartTime: datetime, EndTime: datetime) -> list[Any]:
        assert (StartTime.timestamp(), EndTime.timestamp()) == (600, 720)
        return [{"MetricDataResults": [self._result(query["Id"]) for query in MetricDataQueries]}]

    def _result(self, query_id: str) -> dict[str, Any]:
        known = self._values.get(query_id, {})
        return {
            "Id": query_id,
            "StatusCode": "Complete" if query_id in self._values else "InternalError",
            "Timestamps": [datetime.fromtimestamp(at_s, UTC) for at_s in known],
            "Values": list(known.values()),
        }


class Logs:
    """Runs one query after another; each finds these rows."""

    def __init__(self, *found: Sequence[Mapping[str, str]]) -> None:
        self.queries: list[str] = []
        self._found = found

    def start_query(self, **query: Any) -> dict[str, str]:
        assert (query["logGroupNames"], query["startTime"], query["endTime"]) == (["a", "b"], 1, 2)
        self.queries.append(query["queryString"])
        return {"queryId": str(len(self.queries) - 1)}

    def get_query_results(self, *, queryId: str) -> dict[str, Any]:
        rows = [[{"field": name, "value": value} for name, value in row.items()] for row in self._found[int(queryId)]]
        return {"status": "Complete", "results": rows}


def test_metric_math_of_the_endpoint_is_taken() -> None:
    cloudwatch = CloudWatch({"q0": {600: 7.0}, "bad": {600: 1.0}, "all": {600: 2.0}})
    lines = metric_lines(cloudwatch, _WIDGET, _SPAN)
    assert lines == [Line("share", {600: 7.0}, reckoned=False), Line("requests", {600: 2.0}, reckoned=False)]


def test_what_it_does_not_reckon_is_reckoned_here_and_said_so() -> None:
    cloudwatch = CloudWatch({"bad": {600: 1.0}, "all": {600: 2.0, 660: 4.0}})
    share, requests = metric_lines(cloudwatch, _WIDGET, _SPAN)
    assert share == Line("share", {600: 50.0, 660: 0.0}, reckoned=True)
    assert not requests.reckoned


def test_of_the_time_shown_is_the_sum_of_it() -> None:
    cloudwatch = CloudWatch({"q0": {600: 7.0}, "bad": {600: 1.0}, "all": {600: 2.0, 660: 6.0}})
    lines = metric_lines(cloudwatch, {**_WIDGET, "setPeriodToTimeRange": True}, _SPAN)
    assert lines == [Line("share", {600: 12.5}, reckoned=True), Line("requests", {600: 8.0}, reckoned=False)]


def test_an_average_of_the_time_shown_is_no_guess() -> None:
    metrics = [["Tidewire", "Requests", "service", "tidewire", {"stat": "Average"}]]
    with pytest.raises(ValueError, match="sums alone"):
        metric_lines(CloudWatch({"q0": {}}), {"title": "", "setPeriodToTimeRange": True, "metrics": metrics}, _SPAN)


def test_what_logs_insights_counts_is_taken() -> None:
    logs = Logs([{"error": "Boom", "failures": "3"}])
    assert asked(logs, _QUERY, from_s=1, until_s=2) == Table(["error", "failures"], [["Boom", "3"]], reckoned=False)
    assert logs.queries == ["filter @message like /ERR/\n| stats count(*) as failures by error\n| limit 1"]


def test_lines_that_come_uncounted_are_counted_here() -> None:
    lines = [{"@message": json.dumps({"error": name}), "@log": "a"} for name in ("Bang", "Boom", "Boom")]
    logs = Logs(lines[:1], [*lines, {"@message": "REPORT", "@log": "a"}])
    table = asked(logs, _QUERY, from_s=1, until_s=2)
    assert table == Table(["error", "failures"], [["Boom", "2"]], reckoned=True)
    assert logs.queries[1] == "fields @message, @log\n| filter @message like /ERR/"


def test_a_query_that_does_not_count_is_no_guess() -> None:
    with pytest.raises(ValueError, match="not known here"):
        asked(Logs([]), "SOURCE 'a' | SOURCE 'b' | fields @message", from_s=1, until_s=2)
