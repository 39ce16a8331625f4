"""Measures what AWS measures by itself and the emulator does not: queues, and functions that nobody calls by the API.

Of queues: how much lies in each, and how old the oldest is. On AWS that comes by the minute (docs.aws.amazon.com/
AWSSimpleQueueService/latest/SQSDeveloperGuide/monitoring-using-cloudwatch.html); here more often, so that an alarm of
dead letters is seen at once. It is of one queue, and the emulator would take what it has of all of them.

Of functions the emulator measures what is called by Lambda's API; what comes by queues and rules is here, too:
docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

import threading
import time
from types import FunctionType
from typing import Any, Final

from ministack.services import cloudwatch, lambda_svc, sqs  # type: ignore[import-not-found]  # the environment beside it

_EVERY_S: Final = 10
_KEPT: Final = 10_000  # values of each metric: all are gone through by who asks for it

_evaluate, _log = cloudwatch._evaluate_alarm, lambda_svc._emit_lambda_logs


def measure() -> None:
    """Measure all queues once."""
    now_s = time.time()
    for _, queue in sqs._queues.all_items():
        visible = [message for message in list(queue["messages"]) if message["visible_at"] <= now_s]
        # In flight or not: it is there until it is deleted.
        age_s = max((now_s - message["sent_at"] for message in list(queue["messages"])), default=0)
        _record("AWS/SQS", "ApproximateNumberOfMessagesVisible", len(visible), "Count", QueueName=queue["name"])
        _record("AWS/SQS", "ApproximateAgeOfOldestMessage", int(age_s), "Seconds", QueueName=queue["name"])


def _record(namespace: str, metric: str, value: float, unit: str, **dimensions: str) -> None:
    cloudwatch.record_metric(namespace, metric, value, unit, dimensions)
    del cloudwatch._metric_bucket((namespace, metric, cloudwatch._dims_key(dimensions)))[:-_KEPT]


def _emit_lambda_logs(function: Any, request_id: str, text: str, error: bool, duration_ms: int, **named: Any) -> None:
    """Log an invocation's end, of whatever came, and measure it."""
    name = (function.get("config") or function)["FunctionName"]
    for metric, value in (("Invocations", 1), ("Errors", int(error)), ("Throttles", 0)):
        _record("AWS/Lambda", metric, value, "Count", FunctionName=name)
    _record("AWS/Lambda", "Duration", duration_ms, "Milliseconds", FunctionName=name)
    _log(function, request_id, text, error, duration_ms, **named)


def _emit_lambda_metrics(function_name: str, *, throttle: bool, **_measured_above: Any) -> None:
    """Measure what found no room: it is no invocation."""
    if throttle:
        _record("AWS/Lambda", "Throttles", 1, "Count", FunctionName=function_name)


def _evaluate_alarm(alarm: dict[str, Any]) -> None:
    """Evaluate it as the emulator does, but on its own metric alone."""
    dimensions = cloudwatch._dims_from_list(alarm.get("Dimensions") or [])
    key = alarm.get("Namespace"), alarm.get("MetricName"), cloudwatch._dims_key(dimensions)
    own = {key: cloudwatch._metrics.get(key) or []}
    FunctionType(_evaluate.__code__, {**vars(cloudwatch), "_metrics": own})(alarm)


def _run() -> None:
    while True:
        time.sleep(_EVERY_S)
        measure()


cloudwatch._evaluate_alarm = _evaluate_alarm
lambda_svc._emit_lambda_logs = _emit_lambda_logs
lambda_svc._emit_lambda_metrics = _emit_lambda_metrics
threading.Thread(target=_run, name="queues", daemon=True).start()
