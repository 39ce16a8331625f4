"""A dashboard, and what CloudWatch answers to each of its widgets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tools.dashboard.log_queries import Table, asked
from tools.dashboard.metric_math import MetricMath, Series

_ALARM_NAMES_MAX: Final = 100  # docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when, in periods of how many seconds; begins and ends with one."""

    from_s: int
    until_s: int
    period_s: int

    @classmethod
    def last(cls, minutes: int, *, period_s: int, now_s: float) -> "Span":
        """Return the last so many minutes, with the period that has begun."""
        until_s = (int(now_s) // period_s + 1) * period_s
        return cls(until_s - minutes * 60 // period_s * period_s, until_s, period_s)

    @property
    def whole(self) -> "Span":
        """The same as one period."""
        return Span(self.from_s, self.until_s, self.until_s - self.from_s)

    @property
    def times(self) -> range:
        """When each period begins."""
        return range(self.from_s, self.until_s, self.period_s)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a graph; ``reckoned``: its metric math was done here, not by the endpoint."""

    label: str
    values: Series
    reckoned: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A widget as the dashboard has it, and what was answered: lines, a table, or alarms' states by name."""

    widget: Mapping[str, Any]
    lines: Sequence[Line] = ()
    table: Table | None = None
    alarms: Mapping[str, str] | None = None

    @property
    def reckoned(self) -> bool:
        """Whether something was reckoned here."""
        return any(line.reckoned for line in self.lines) or (self.table is not None and self.table.reckoned)


def answers(session: Any, name: str, span: Span) -> list[Answer]:
    """Return all widgets of the dashboard with what they ask for, for which ``session`` makes clients."""
    cloudwatch, logs = session.client("cloudwatch"), session.client("logs")
    body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
    found = []
    for widget in body["widgets"]:
        properties = widget["properties"]
        match widget["type"]:
            case "metric":
                found.append(Answer(widget, lines=metric_lines(cloudwatch, properties, span)))
            case "log":
                table = asked(logs, properties["query"], from_s=span.from_s, until_s=span.until_s)
                found.append(Answer(widget, table=table))
            case "alarm":
                found.append(Answer(widget, alarms=_states(cloudwatch, properties["alarms"])))
            case _:
                found.append(Answer(widget))
    return found


def metric_lines(cloudwatch: Any, properties: Mapping[str, Any], span: Span) -> list[Line]:
    """Return a metric widget's lines: all queries in one call, each expression again here where it was not answered.

    Raises:
        ValueError: The widget has something that is not known here.
    """
    entries = properties["metrics"]
    queries = [_query(place, entry, span.period_s) for place, entry in enumerate(entries)]
    results, refused = _asked(cloudwatch, queries, span)
    if properties.get("setPeriodToTimeRange"):
        # CloudWatch's periods are those of the clock, of which none is the time shown: sums of its parts are.
        if any(query["MetricStat"]["Stat"] != "Sum" for query in queries if "MetricStat" in query):
            raise ValueError(f"of the time shown, sums alone are known here: {properties['title']}")
        refused = {query["Id"] for query in queries if "Expression" in query}
        results = {name: {span.from_s: sum(values.values())} if values else {} for name, values in results.items()}
        span = span.whole
    math = MetricMath(results, span.times, span.period_s)
    for query in queries:
        if query["Id"] in refused:
            results[query["Id"]] = math.evaluate(query["Expression"])
    return [
        Line(query["Label"], results[query["Id"]], query["Id"] in refused)
        for query, entry in zip(queries, entries, strict=True)
        if not (isinstance(entry[-1], dict) and entry[-1].get("visible") is False)
    ]


def _asked(cloudwatch: Any, queries: Sequence[Any], span: Span) -> tuple[dict[str, Series], set[str]]:
    """Return what was answered, by id, and the ids of what was not: metric math, by the emulator."""
    results: dict[str, dict[int, float]] = {query["Id"]: {} for query in queries}
    refused = set()
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries,
        StartTime=datetime.fromtimestamp(span.from_s, UTC),
        EndTime=datetime.fromtimestamp(span.until_s, UTC),
    )
    for result in (result for page in pages for result in page["MetricDataResults"]):
        if result["StatusCode"] == "InternalError":
            refused.add(result["Id"])
        values = zip(result["Timestamps"], result["Values"], strict=True)
        results[result["Id"]] |= {int(at.timestamp()): value for at, value in values}
    return dict(results), refused


def _query(place: int, entry: Sequence[Any], period_s: int) -> dict[str, Any]:
    """Return the query for an entry of ``metrics``: ``[{expression}]`` or ``[namespace, name, dimension, value …]``."""
    options = entry[-1] if isinstance(entry[-1], dict) else {}
    names = [part for part in entry if isinstance(part, str)]
    query_id = options.get("id", f"q{place}")
    if "expression" in options:
        return {
            "Id": query_id,
            "Expression": options["expression"],
            "Label": options.get("label", options["expression"]),
            "Period": period_s,
        }
    if any(set(name) == {"."} for name in names):
        raise ValueError(f"short for what stands above it, which is not known here: {entry}")
    namespace, metric, *dimensions = names
    pairs = zip(dimensions[::2], dimensions[1::2], strict=True)
    return {
        "Id": query_id,
        "Label": options.get("label", metric),
        "MetricStat": {
            "Metric": {
                "Namespace": namespace,
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in pairs],
            },
            "Period": period_s,
            "Stat": options["stat"],
        },
    }


def _states(cloudwatch: Any, arns: Sequence[str]) -> dict[str, str]:
    names = [arn.partition(":alarm:")[2] for arn in arns]
    states = dict.fromkeys(names, "there is none")
    for begin in range(0, len(names), _ALARM_NAMES_MAX):
        told = cloudwatch.describe_alarms(AlarmNames=names[begin : begin + _ALARM_NAMES_MAX], MaxRecords=100)
        states |= {alarm["AlarmName"]: alarm["StateValue"] for alarm in told["MetricAlarms"]}
    return states
