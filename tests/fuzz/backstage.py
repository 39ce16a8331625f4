"""What clients don't see: errors in logs, functions that failed, dead letters."""

import json
import logging
import re
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import boto3

_DEAD: Final = "DeadLetters"
_ERROR: Final = re.compile(
    r"\bERROR\b.*|Task timed out|Worker process died|Unhandled exception|Traceback \(most recent call last\)"
)
_KEPT: Final = 50


class Backstage:
    """From when it is made on."""

    def __init__(self, emulator_log: Path) -> None:
        self._emulator_log, self._read_bytes = emulator_log, emulator_log.stat().st_size
        self._since_s, self._dead_before = time.time(), _dead_letters()
        self._edge = _Errors()
        logging.getLogger().addHandler(self._edge)
        # Powertools' hands nothing on to the root.
        logging.getLogger("tidewire").addHandler(self._edge)

    def close(self) -> list[str]:
        """End; return what there is that should not be."""
        logging.getLogger().removeHandler(self._edge)
        logging.getLogger("tidewire").removeHandler(self._edge)
        return [*self._edge.lines, *self._said(), *self._failed(), *self._dead()]

    def _said(self) -> list[str]:
        """Return what the emulator's log, which has the functions' as well, tells of errors: each with how often."""
        with self._emulator_log.open("rb") as log:
            log.seek(self._read_bytes)
            lines = Counter(told for line in log if (told := error_of(line.decode(errors="replace"))))
        return [f"{count} x {line}" for line, count in lines.most_common(_KEPT)]

    def _failed(self) -> list[str]:
        client = boto3.client("cloudwatch")
        names = [one["FunctionName"] for one in boto3.client("lambda").list_functions()["Functions"]]
        found = []
        for name in names:
            data = client.get_metric_statistics(
                Namespace="AWS/Lambda",
                MetricName="Errors",
                Dimensions=[{"Name": "FunctionName", "Value": name}],
                StartTime=datetime.fromtimestamp(self._since_s - 60, UTC),
                EndTime=datetime.fromtimestamp(time.time() + 60, UTC),
                Period=60,
                Statistics=["Sum"],
            )["Datapoints"]
            if count := sum(point["Sum"] for point in data):
                found.append(f"{name} failed {count:.0f} times")
        return found

    def _dead(self) -> list[str]:
        more = (_dead_letters() - self._dead_before).items()
        return [f"{count} dead letters in {url.rpartition('/')[2]}" for url, count in more]


def _dead_letters() -> Counter[str]:
    """Return how many there are, by queue: tests before may have left some."""
    client, found = boto3.client("sqs"), Counter[str]()
    for url in client.list_queues().get("QueueUrls", []):
        if _DEAD in url:
            attributes: Any = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            found[url] = int(attributes["ApproximateNumberOfMessages"])
    return found


class _Errors(logging.Handler):
    """What the edge, and the app in it, say at level ERROR."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line."""
        if len(self.lines) < _KEPT:
            extra = {name: getattr(record, name) for name in ("error", "places") if hasattr(record, name)}
            self.lines.append(f"{record.name}: {record.getMessage()} {extra or ''}")


def error_of(line: str) -> str | None:
    """Return what a line tells of an error, without its time; ``None`` if it tells of none."""
    try:
        told = json.loads(line)
    except ValueError:
        error = _ERROR.search(line)
        return error[0].strip() if error else None
    if not isinstance(told, dict) or told.get("level") != "ERROR":
        return None
    return f"{told.get('message')} {told.get('error', '')} {told.get('aws_code') or ''} {told.get('places', '')}"
