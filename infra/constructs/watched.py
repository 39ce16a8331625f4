"""What has an alarm, and from what on. Thresholds are derived in docs/runbooks/README.md."""

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs

from infra.constructs.alarms import FIVE_MINUTES, MINUTE, Alarms
from infra.constructs.http_api import HttpApi
from infra.constructs.http_stream import HttpStream
from infra.constructs.websocket_gateway import WebsocketGateway
from shared.contract import METRICS_NAMESPACE, SERVICE_NAME

# In five minutes: one at night wakes nobody, and what always fails is found if it runs so often.
_ERRORS_LEAST: Final = 3
_ERRORS_PERCENT: Final = 1
_LATENCY_MS: Final = 3_000
_LATENCIES_LEAST: Final = 20  # in a minute: the 99th percentile of fewer is the slowest of them
_OLDEST_S: Final = 60
_TABLE_THROTTLES: Final = 60
_QUOTA_PERCENT: Final = 70

# Name; metrics, of which the first is watched as a share of what all others are together; how many of it there are at
# least, and what share is too much, in five minutes; its page.
_SHARES: Final = (
    ("Recoveries", ("RecoveryRefused", "Recovered", "RecoveryRefused"), 20, 50, "recoveries"),
    ("Commands", ("CommandFailures", "Commands"), _ERRORS_LEAST, _ERRORS_PERCENT, "extensions"),
    ("CommandTimeouts", ("CommandTimeouts", "Commands", "PeerCommands"), 10, 10, "extensions"),
    ("Resolvers", ("ResolverFailures", "DocumentsChanged", "ResolverFailures"), 3, 1, "extensions"),
    ("Processors", ("ProcessorFailures", "Publishes", "ProcessorFailures"), 3, 1, "extensions"),
)


def own(name: str, statistic: str, period: Duration) -> cloudwatch.Metric:
    """Return a metric of docs/metrics.md."""
    return cloudwatch.Metric(
        namespace=METRICS_NAMESPACE,
        metric_name=name,
        dimensions_map={"service": SERVICE_NAME},
        statistic=statistic,
        period=period,
    )


def share(part: cloudwatch.IMetric, *wholes: cloudwatch.IMetric, least: int) -> cloudwatch.MathExpression:
    """Return how many percent of the wholes a part is, in five minutes; 0 where there are fewer of it than ``least``.

    Metrics that are counted only while something happens are 0 meanwhile, but for the part: without any there is no
    datum, which no alarm takes for a fault.
    """
    whole = " + ".join(f"FILL(whole{index}, 0)" for index in range(len(wholes)))
    return cloudwatch.MathExpression(
        expression=f"IF(part >= {least}, 100 * part / ({whole}), 0)",
        using_metrics={"part": part, **{f"whole{index}": one for index, one in enumerate(wholes)}},
        label="percent",
        period=FIVE_MINUTES,
    )


def watch_own_metrics(alarms: Alarms) -> None:
    """Watch what functions measure themselves."""
    slowest = cloudwatch.MathExpression(
        expression=f"IF(publications >= {_LATENCIES_LEAST}, p99, 0)",
        using_metrics={
            "publications": own("PublishToDeliverLatency", "SampleCount", MINUTE),
            "p99": own("PublishToDeliverLatency", "p99", MINUTE),
        },
        label="milliseconds",
        period=MINUTE,
    )
    alarms.watch("Latency", slowest, threshold=_LATENCY_MS, page="latency")
    for breaker in ("Push", "Storage"):
        alarms.watch(f"{breaker}Breaker", own(f"{breaker}BreakerOpen", "Maximum", MINUTE), threshold=1, page="breaker")
    for name, metrics, least, percent, page in _SHARES:
        part, *wholes = (own(metric, "Sum", FIVE_MINUTES) for metric in metrics)
        alarms.watch(name, share(part, *wholes, least=least), threshold=percent, periods=1, page=page)


def watch_functions(alarms: Alarms, functions: Sequence[lambda_.IFunction]) -> None:
    """Watch what share of each function's invocations fails, and whether any is refused."""
    for function in functions:
        failed = share(
            function.metric_errors(period=FIVE_MINUTES),
            function.metric_invocations(period=FIVE_MINUTES),
            least=_ERRORS_LEAST,
        )
        name = function.node.id
        alarms.watch(f"{name}Errors", failed, threshold=_ERRORS_PERCENT, periods=1, page="errors")
        alarms.watch(f"{name}Throttles", function.metric_throttles(period=MINUTE), threshold=1, page="throttles")


def watch_answers(alarms: Alarms, http: HttpApi, stream: HttpStream) -> None:
    """Watch what share of HTTP is answered with 5xx: the app makes these of its faults, and its function succeeds.

    Sources: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html,
    docs.aws.amazon.com/lambda/latest/dg/urls-monitoring.html
    """
    failed, count = http.api.metric_server_error(period=FIVE_MINUTES), http.api.metric_count(period=FIVE_MINUTES)
    url_failed, url_count = (
        stream.function.metric(name, statistic="Sum", period=FIVE_MINUTES)
        for name in ("Url5xxCount", "UrlRequestCount")
    )
    for name, part, whole in (("HttpFaults", failed, count), ("StreamFaults", url_failed, url_count)):
        alarms.watch(name, share(part, whole, least=_ERRORS_LEAST), threshold=_ERRORS_PERCENT, periods=1, page="errors")


def watch_queues(alarms: Alarms, queues: Mapping[str, tuple[sqs.IQueue, int]]) -> None:
    """Watch how old the oldest message is; beside each queue stands for how long messages are delayed in it, in s."""
    for name, (queue, delay_s) in queues.items():
        age = queue.metric_approximate_age_of_oldest_message(period=MINUTE, statistic="Maximum")
        alarms.watch(f"{name}Age", age, threshold=delay_s + _OLDEST_S, page="age")


def watch_tables(alarms: Alarms, tables: Sequence[dynamodb.TableV2]) -> None:
    """Watch how much each table refuses, whatever the operation.

    ``ThrottledRequests`` is counted by operation, and of a batch only if all of it is refused; these are counted by
    table, one for each item: docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
    """
    for table in tables:
        for kind in ("Read", "Write"):
            refused = table.metric(f"{kind}ThrottleEvents", statistic="Sum", period=MINUTE)
            alarms.watch(f"{table.node.id}{kind}Throttles", refused, threshold=_TABLE_THROTTLES, page="throttles")


def watch_quotas(
    alarms: Alarms, websocket: WebsocketGateway, http: HttpApi, *, requests_per_s: int, concurrency: int
) -> None:
    """Watch what share of the account's quotas is used.

    API Gateway's metrics are each API's; AWS/Usage, which knows quotas (``SERVICE_QUOTA``), has its control plane
    alone. So this is what the stack's two APIs take. ``MessageCount`` is "messages sent to the WebSocket API, either
    from or to the client", so pushes are in it:
    docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-logging.html. Lambda's is the
    account's: docs.aws.amazon.com/lambda/latest/dg/monitoring-concurrency.html
    """
    counted = {
        "messages": websocket.stage.metric("MessageCount", statistic="Sum", period=MINUTE),
        "connects": websocket.stage.metric("ConnectCount", statistic="Sum", period=MINUTE),
        "calls": http.api.metric_count(period=MINUTE),
    }
    requests = " + ".join(f"FILL({name}, 0)" for name in counted)
    used = cloudwatch.MathExpression(
        expression=f"100 * ({requests}) / {60 * requests_per_s}",
        using_metrics=counted,
        label="percent",
        period=MINUTE,
    )
    alarms.watch("Requests", used, threshold=_QUOTA_PERCENT, page="quotas")
    claimed = cloudwatch.Metric(
        namespace="AWS/Lambda", metric_name="ClaimedAccountConcurrency", statistic="Maximum", period=MINUTE
    )
    alarms.watch("Concurrency", claimed, threshold=concurrency * _QUOTA_PERCENT // 100, page="quotas")
