"""The canary: sees that all is served, and sees what is broken on purpose. Its page is typed in test_runbooks.py."""

from typing import Final

import boto3
import pytest

from localstack.stack import LocalStack
from shared.contract import OUTPUT_CANARY_FUNCTION
from tests.integration.checks import eventually, measured, next_second
from tests.integration.test_doctor import Break, lane_without_worker, no_connecting, no_fan_out

_PATIENCE_S: Final = 10  # the canary's, for each thing that it waits for


def sing(stack: LocalStack) -> None:
    """Have the canary run once, as its schedule would, which stage local has turned off."""
    answer = boto3.client("lambda").invoke(FunctionName=stack.outputs[OUTPUT_CANARY_FUNCTION], Payload=b"{}")
    assert "FunctionError" not in answer, answer["Payload"].read()


async def test_of_a_healthy_stack_it_measures_success_and_latency(warm_stack: LocalStack) -> None:
    since = await next_second()
    sing(warm_stack)
    assert await eventually(lambda: measured("CanarySuccess", "Minimum", since=since)) == [1]
    [fastest], [slowest] = (measured("CanaryLatency", what, since=since) for what in ("Minimum", "Maximum"))
    assert 0 < fastest <= slowest < 1000 * _PATIENCE_S


@pytest.mark.parametrize("break_", [lane_without_worker, no_fan_out, no_connecting], ids=lambda one: one.__name__)
async def test_what_is_broken_is_a_failure(break_: Break, warm_stack: LocalStack) -> None:
    since = await next_second()
    with break_(warm_stack):
        sing(warm_stack)
    assert await eventually(lambda: measured("CanarySuccess", "Maximum", since=since)) == [0]
