"""Faults on purpose, between the functions and the clients."""

import asyncio
import time
from collections import deque
from typing import Any

import pytest
from botocore.exceptions import ClientError
from websockets.exceptions import InvalidStatus

from localstack.edge.faults import Fault, Operation
from localstack.edge.limits import Limits
from tests.edge.conftest import Serve
from tests.edge.running import DEADLINE_S


class Script:
    """Faults in order, an operation at a time; then all is well."""

    def __init__(self, **faults: list[Fault | None]) -> None:
        self._left = {operation: deque(queue) for operation, queue in faults.items()}

    def next(self, operation: Operation) -> Fault | None:
        queue = self._left.get(operation)
        return queue.popleft() if queue else None


@pytest.mark.parametrize("status", [410, 413, 429, 500, 503])
def test_a_post_can_be_answered_with_a_status_and_then_nothing_is_sent(serve: Serve, status: int) -> None:
    edge = serve(faults=Script(post=[Fault(status=status)]))
    with edge.connect() as client:
        with pytest.raises(ClientError) as refused:
            edge.post(edge.connection_id(), b"lost")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
        edge.post(edge.connection_id(), b"sent")
        assert client.recv(DEADLINE_S) == "sent"


def test_a_post_can_be_lost_though_it_is_answered_well(serve: Serve) -> None:
    edge = serve(faults=Script(post=[Fault(drop=True)]))
    with edge.connect() as client:
        edge.post(edge.connection_id(), b"lost")
        edge.post(edge.connection_id(), b"sent")
        assert client.recv(DEADLINE_S) == "sent"


def test_a_post_can_take_longer(serve: Serve) -> None:
    edge = serve(faults=Script(post=[Fault(delay_s=0.2)]))
    with edge.connect() as client:
        begun_s = time.monotonic()
        edge.post(edge.connection_id(), b"late")
        assert client.recv(DEADLINE_S) == "late"
        assert time.monotonic() - begun_s >= 0.2


def test_an_invocation_can_fail(serve: Serve) -> None:
    edge = serve(faults=Script(invoke=[Fault(status=500), None, Fault(status=500)]))
    with pytest.raises(InvalidStatus) as refused:
        edge.connect()
    assert refused.value.response.status_code == 502
    with edge.connect() as client:
        client.send("x")
        assert "Internal server error" in str(client.recv(DEADLINE_S))
    assert edge.invoker.of("MESSAGE") == []


def test_an_invocation_can_be_lost(serve: Serve) -> None:
    """So can ``$disconnect``, which AWS calls best effort."""
    edge = serve(faults=Script(invoke=[None, Fault(drop=True), None, Fault(drop=True)]))
    with edge.connect() as client:
        client.send("lost")
        client.send("sent")
        assert client.recv(DEADLINE_S) == "sent"
    edge.stop()
    assert [event["body"] for event in edge.invoker.of("MESSAGE")] == ["sent"]
    assert edge.invoker.of("DISCONNECT") == []


def test_an_invocation_can_take_longer_and_that_counts_for_its_timeout(serve: Serve) -> None:
    faults = Script(invoke=[None, Fault(delay_s=0.2), Fault(delay_s=DEADLINE_S)])
    edge = serve(faults=faults, limits=Limits(integration_timeout_s=1))
    with edge.connect() as client:
        begun_s = time.monotonic()
        client.send("late")
        assert client.recv(DEADLINE_S) == "late"
        assert time.monotonic() - begun_s >= 0.2
        client.send("too late")
        assert "Internal server error" in str(client.recv(DEADLINE_S / 2))


def test_without_faults_nothing_waits(serve: Serve) -> None:
    edge = serve(faults=Script())

    async def both(_event: Any) -> Any:
        await asyncio.sleep(0)
        return {"statusCode": 200, "body": "now"}

    edge.invoker.functions["message"] = both
    with edge.connect() as client:
        client.send("x")
        assert client.recv(DEADLINE_S) == "now"
