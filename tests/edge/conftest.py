"""Edges for tests. Whatever goes wrong unseen in one, such as a task that nobody awaited, fails the test."""

import gc
import logging
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.edge.running import RunningEdge

Serve = Callable[..., RunningEdge]

GATEWAY: Final = "localstack.edge.gateway"  # logs what went wrong in a function: tests do that on purpose

gc.freeze()  # what has been loaded is not looked through after each test


@pytest.fixture
def serve(caplog: pytest.LogCaptureFixture) -> Iterator[Serve]:
    """Starts an edge with the arguments of :class:`RunningEdge`; all are stopped at the end."""
    running: list[RunningEdge] = []

    def start(**options: object) -> RunningEdge:
        edge = RunningEdge(**options)  # type: ignore[arg-type]
        logging.getLogger("uvicorn").addHandler(caplog.handler)  # it does not hand on what it logs
        running.append(edge)
        return edge

    yield start
    for edge in running:
        edge.stop()
    gc.collect()  # a task whose exception nobody has seen tells it when it is collected
    records = [*caplog.get_records("call"), *caplog.records]
    unexpected = [record for record in records if record.levelno >= logging.ERROR and record.name != GATEWAY]
    assert [record.getMessage() for record in unexpected] == []


@pytest.fixture
def edge(serve: Serve) -> RunningEdge:
    """One with AWS's limits."""
    return serve()
