"""What unit tests share: Hypothesis without haste, and the log."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from shared.adapters import telemetry
from shared.contract import SERVICE_NAME

# Machines may be busy with other things: what is slow is not wrong.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


class Log:
    """Every line of every logger, as Lambda would write it, and the metrics."""

    def __init__(self, stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
        self._stream, self._capsys, self._printed = stream, capsys, ""

    def text(self) -> str:
        self._printed += self._capsys.readouterr().out
        return self._stream.getvalue() + self._printed

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines of Tidewire's own logger."""
        lines = map(json.loads, self._stream.getvalue().splitlines())
        return [line for line in lines if line["service"] == SERVICE_NAME and line["message"] == "failed"]

    def steps(self) -> list[dict[str, Any]]:
        """Return the lines of publications' steps."""
        lines = map(json.loads, self._stream.getvalue().splitlines())
        return [line for line in lines if "correlation_ids" in line and line["message"] != "failed"]

    def metrics(self) -> list[dict[str, Any]]:
        self.text()
        return [json.loads(line) for line in self._printed.splitlines() if '"_aws"' in line]


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Log]:
    """The log at DEBUG, whatever its level would be otherwise."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(telemetry.logger.registered_formatter)
    loggers = {logger: logger.level for logger in (logging.getLogger(), logging.getLogger(SERVICE_NAME))}
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    telemetry.flush()  # a process has one buffer, and tests before this one have measured into it
    capsys.readouterr()
    yield Log(stream, capsys)
    logging.getLogger().removeHandler(handler)
    for logger, level in loggers.items():
        logger.setLevel(level)
