"""Measures queues, which the emulator does not: how much lies in each, and how old the oldest is.

On AWS that comes by the minute (docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
monitoring-using-cloudwatch.html); here more often, so that an alarm of dead letters is seen at once. It is
of one queue, and the emulator would take what it has of all of them.
"""

import threading
import time
from types import FunctionType
from typing import Any, Final

from ministack.services import cloudwatch, sqs  # type: ignore[import-not-found]  # the environment beside it

_NAMESPACE: Final = "AWS/SQS"
_EVERY_S: Final = 10
_KEPT: Final = 3 * 3_600 // _EVERY_S  # of each metric: each is gone through for each alarm

_evaluate = cloudwatch._evaluate_alarm


def measure() -> None:
    """Measure all queues once."""
    now_s = time.time()
    for _, queue in sqs._queues.all_items():
        visible = [message for message in list(queue["messages"]) if message["visible_at"] <= now_s]
        # In flight or not: it is there until it is deleted.
        age_s = max((now_s - message["sent_at"] for message in list(queue["messages"])), default=0)
        _record("ApproximateNumberOfMessagesVisible", queue["name"], len(visible), "Count")
        _record("ApproximateAgeOfOldestMessage", queue["name"], int(age_s), "Seconds")


def _record(metric: str, queue: str, value: float, unit: str) -> None:
    dimensions = {"QueueName": queue}
    cloudwatch.record_metric(_NAMESPACE, metric, value, unit, dimensions)
    del cloudwatch._metric_bucket((_NAMESPACE, metric, cloudwatch._dims_key(dimensions)))[:-_KEPT]


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
threading.Thread(target=_run, name="queues", daemon=True).start()
