"""What is the matter: changes nothing. Each function yields lines, with tabs between their columns."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import boto3

from shared.contract import METRICS_NAMESPACE, OUTPUT_WEBSOCKET_API_ID, SERVICE_NAME
from tools.runbook.deployed import Deployed, named

_TIME: Final = "%m-%d %H:%M"
# Of each queue: what waits, what somebody works on, what is not due yet.
_COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
# Written by our own code, by Lambda's runtime for what nobody caught, and by Lambda for a function that ran out of time
# or memory: repost.aws/knowledge-center/lambda-troubleshoot-invocation-timeouts and …/lambda-runtime-error. Asked for
# one after the other: the emulator does not know "any of them".
_FAULTS: Final = ("ERROR", "CRITICAL", '"Task timed out"', '"Runtime.ExitError"')

_METRICS_MARK: Final = "CloudWatchMetrics"


def alarms(deployed: Deployed, *, every: bool) -> Iterator[str]:
    """Tell which alarms of the stack ring, since when, and their pages."""
    pages = boto3.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{deployed.stack}-")
    ring = [one for page in pages for one in page["MetricAlarms"] if every or one["StateValue"] == "ALARM"]
    for one in sorted(ring, key=lambda one: one["StateUpdatedTimestamp"]):
        name = one["AlarmName"].removeprefix(f"{deployed.stack}-")
        yield f"{one['StateUpdatedTimestamp']:{_TIME}}\t{one['StateValue']}\t{name}\t{one['AlarmDescription']}"
    if not ring:
        yield "no alarm rings"


def metric(name: str, statistic: str, *, minutes: int) -> Iterator[str]:
    """Tell what a metric of docs/metrics.md was, by the minute."""
    yield from _by_minute([(METRICS_NAMESPACE, name, statistic, {"service": SERVICE_NAME})], minutes)


def function(deployed: Deployed, name: str, *, minutes: int) -> Iterator[str]:
    """Tell how a function did, by the minute: docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html."""
    about = {"FunctionName": named(name, deployed.functions, "function")}
    wanted = (
        ("Invocations", "Sum"),
        ("Errors", "Sum"),
        ("Throttles", "Sum"),
        ("ConcurrentExecutions", "Maximum"),
        ("Duration", "Maximum"),
    )
    yield from _by_minute([("AWS/Lambda", metric, statistic, about) for metric, statistic in wanted], minutes)


def table(deployed: Deployed, name: str, *, minutes: int) -> Iterator[str]:
    """Tell what a table took and refused, by the minute, and why it refused: docs.aws.amazon.com/amazondynamodb/latest/
    developerguide/TroubleshootingThrottling-cloudwatch.html.
    """
    about = {"TableName": named(name, deployed.tables, "table")}
    wanted = [
        f"{kind}{what}"
        for kind in ("Read", "Write")
        for what in ("ThrottleEvents", "KeyRangeThroughputThrottleEvents", "AccountLimitThrottleEvents")
    ]
    consumed = ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits")
    yield from _by_minute([("AWS/DynamoDB", metric, "Sum", about) for metric in (*consumed, *wanted)], minutes)


def requests(deployed: Deployed, *, minutes: int) -> Iterator[str]:
    """Tell what the two APIs take of API Gateway's quota, by the minute: the quota is by the second."""
    websocket = {"ApiId": deployed.outputs[OUTPUT_WEBSOCKET_API_ID]}
    http = {"ApiId": deployed.http_api_id}
    wanted = [("MessageCount", websocket), ("ConnectCount", websocket), ("Count", http)]
    yield from _by_minute([("AWS/ApiGateway", metric, "Sum", about) for metric, about in wanted], minutes)


def queues(deployed: Deployed) -> Iterator[str]:
    """Tell what waits in each queue, what is worked on, what is not due; who works on it, and how many at most."""
    sqs, workers = boto3.client("sqs"), _workers(deployed)
    yield "queue\twaits\tworked on\tnot due\tworker"
    for name, url in sorted(deployed.queues.items()):
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[*_COUNTS, "QueueArn"])["Attributes"]
        counts = "\t".join(attributes[count] for count in _COUNTS)
        yield f"{name}\t{counts}\t{workers.get(attributes['QueueArn'], '')}".rstrip()


def faults(deployed: Deployed, function: str, *, minutes: int) -> Iterator[str]:
    """Tell what a function logged of its faults, the latest last."""
    physical = named(function, deployed.functions, "function")
    group = boto3.client("lambda").get_function_configuration(FunctionName=physical)["LoggingConfig"]["LogGroup"]
    since_ms = int((datetime.now(UTC) - timedelta(minutes=minutes)).timestamp() * 1_000)
    pages = boto3.client("logs").get_paginator("filter_log_events")
    found = {
        (event["timestamp"], event["message"].rstrip())
        for fault in _FAULTS
        for page in pages.paginate(logGroupName=group, startTime=since_ms, filterPattern=fault)
        for event in page["events"]
        if _METRICS_MARK not in event["message"]  # the emulator finds "errors", too, in names of metrics
    }
    for at_ms, message in sorted(found):
        yield f"{datetime.fromtimestamp(at_ms / 1_000, UTC):{_TIME}}\t{message}"
    if not found:
        yield f"no faults of {function} in {minutes} minutes"


def concurrency(deployed: Deployed) -> Iterator[str]:
    """Tell Lambda's quota, and what is reserved of it."""
    client = boto3.client("lambda")
    limit = client.get_account_settings()["AccountLimit"]
    yield f"account\t{limit['ConcurrentExecutions']}\tunreserved\t{limit['UnreservedConcurrentExecutions']}"
    for name, physical in sorted(deployed.functions.items()):
        reserved = client.get_function_concurrency(FunctionName=physical).get("ReservedConcurrentExecutions")
        if reserved is not None:
            yield f"{name}\t{reserved}\treserved"


def _workers(deployed: Deployed) -> dict[str, str]:
    """Return by queue's ARN who works on it."""
    client = boto3.client("lambda")
    found = {}
    for function, physical in deployed.functions.items():
        for one in client.list_event_source_mappings(FunctionName=physical)["EventSourceMappings"]:
            at_most = one.get("ScalingConfig", {}).get("MaximumConcurrency", "as many as there are")
            found[one["EventSourceArn"]] = f"{function}, {one['State']}, at most {at_most}"
    return found


def _by_minute(wanted: Sequence[tuple[str, str, str, Mapping[str, str]]], minutes: int) -> Iterator[str]:
    """Tell metrics, each as namespace, name, statistic and dimensions: a line a minute, a column each."""
    queries: list[Any] = [
        {
            "Id": f"m{index}",
            "MetricStat": {
                "Metric": {
                    "Namespace": namespace,
                    "MetricName": name,
                    "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
                },
                "Period": 60,
                "Stat": statistic,
            },
        }
        for index, (namespace, name, statistic, dimensions) in enumerate(wanted)
    ]
    now = datetime.now(UTC)
    answer = boto3.client("cloudwatch").get_metric_data(
        MetricDataQueries=queries, StartTime=now - timedelta(minutes=minutes), EndTime=now + timedelta(minutes=1)
    )
    rows: dict[datetime, dict[str, float]] = {}
    for series in answer["MetricDataResults"]:
        for at, value in zip(series["Timestamps"], series["Values"], strict=True):
            rows.setdefault(at, {})[series["Id"]] = value
    yield "\t".join(["time", *(f"{name} ({statistic})" for _, name, statistic, _ in wanted)])
    for at, row in sorted(rows.items()):
        yield "\t".join(
            [f"{at:{_TIME}}", *(f"{row[query['Id']]:g}" if query["Id"] in row else "" for query in queries)]
        )
