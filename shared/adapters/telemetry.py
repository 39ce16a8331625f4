"""Logs and metrics. A log line holds names, ids and counts; never data, tokens, tickets, or an exception's text."""

import functools
import logging
import re
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricResolution, MetricUnit
from botocore.exceptions import ClientError

from shared.adapters import meter
from shared.contract import METRICS_NAMESPACE, SERVICE_NAME
from shared.domain.channel import namespace_of
from shared.domain.correlation import is_followed, noted
from shared.errors import NewerSchemaError

Handler = TypeVar("Handler", bound=Callable[..., Any])

# utc: lines of several regions can be laid side by side.
logger = Logger(service=SERVICE_NAME, utc=True)
_lock = threading.Lock()
_counted: defaultdict[str, float] = defaultdict(float)
_billed: defaultdict[str, float] = defaultdict(float)
_metrics = Metrics(namespace=METRICS_NAMESPACE, service=SERVICE_NAME)
# At DEBUG it logs what it sends and receives: data, tokens and tickets. It is kept from that whatever the root's level.
logging.getLogger("botocore").setLevel(logging.WARNING)


class EmfMetrics:
    """Metrics as log lines in CloudWatch's embedded metric format; from any thread.

    What is counted is summed up and written as one value: a log line is paid for by its length.
    """

    def count(self, name: str, value: int = 1) -> None:
        with _lock:
            _counted[name] += value

    def billed(self, name: str, units: float) -> None:
        with _lock:
            _billed[name] += units

    def milliseconds(self, name: str, value: float) -> None:
        _add(name, MetricUnit.Milliseconds, value)

    def level(self, name: str, value: float) -> None:
        _add(name, MetricUnit.NoUnit, value)


def _add(name: str, unit: MetricUnit, value: float) -> None:
    with _lock:  # add_metric reads, changes and writes
        _put(name, unit, value)


def _put(name: str, unit: MetricUnit, value: float, resolution: MetricResolution = MetricResolution.High) -> None:
    # By the second, so that a console can draw periods of 10 s. What is billed is the metric, and calls, of which a log
    # line makes none: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/publishingMetrics.html,
    # hub.pointfive.co/inefficiencies/unnecessary-high-resolution-custom-metrics-inflating-api-call-costs
    _metrics.add_metric(name=name, unit=unit, value=value, resolution=resolution)


class LoggedTrail:
    """Steps of publications as log lines: of this share of them, 0 to 1."""

    def __init__(self, share: float) -> None:
        self._share = share

    def step(self, name: str, correlation_ids: Sequence[str], *, always: bool = False, **facts: int | str) -> None:
        followed = [one for one in correlation_ids if always or is_followed(one, self._share)]
        if followed:
            write = logger.warning if always else logger.info
            write(name, extra={"correlation_ids": followed, **facts})


def observed(handler: Handler) -> Handler:
    """Give a handler's lines the invocation's ids, and write its metrics when it ends, however it ends.

    ``function_request_id`` is Lambda's, ``request_id`` and ``connection_id`` are API Gateway's, where it has asked.
    """

    @functools.wraps(handler)
    def wrapper(event: Any, context: Any) -> Any:
        asked = event.get("requestContext", {}) if isinstance(event, dict) else {}
        logger.append_keys(
            function_request_id=getattr(context, "aws_request_id", None),
            request_id=asked.get("requestId"),
            connection_id=asked.get("connectionId"),
        )
        begun_s, answer = time.perf_counter(), None
        try:
            answer = handler(event, context)
            return answer
        finally:
            memory_mb = int(getattr(context, "memory_limit_in_mb", 0))
            meter.invoked(EmfMetrics(), event, answer, time.perf_counter() - begun_s, memory_mb)
            flush()

    return wrapper  # type: ignore[return-value]  # wraps keeps the signature


def flush() -> None:
    """Write the metrics that there are."""
    with _lock:
        for name, value in _counted.items():
            _put(name, MetricUnit.Count, value)
        for name, value in _billed.items():
            _put(name, MetricUnit.Count, value, MetricResolution.Standard)
        _counted.clear()
        _billed.clear()
        if _metrics.metric_set:
            _metrics.flush_metrics()


def failure(error: BaseException, **keys: Any) -> None:
    """Log what should not have happened: which error, and where in the code.

    Its text stays out: it may quote what a client sent. The publications that it is about are named by their ids.
    """
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    aws = error.__cause__ if isinstance(error.__cause__, ClientError) else error
    code = aws.response.get("Error", {}).get("Code") if isinstance(aws, ClientError) else None
    if isinstance(error, NewerSchemaError):
        # Of the key its kind alone, or the channel's namespace: the rest may name people.
        kind = re.split("[#:]", error.key, maxsplit=1)[0]
        keys |= {"place": error.place, "kind": kind, "schema_version": error.version}
    about = noted(error) or None
    logger.error("failed", error=type(error).__name__, aws_code=code, places=places[-8:], correlation_ids=about, **keys)


def channel_failure(channel: str, error: BaseException) -> None:
    """As :func:`failure`; of the channel only the namespace is logged, since names of personal channels are people."""
    failure(error, namespace=namespace_of(channel))
