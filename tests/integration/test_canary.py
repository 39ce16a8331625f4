"""The canary: sees that all is served, and sees what is broken on purpose; its page says where, and when it is over."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import boto3
import pytest

from localstack.deploy import ROOT, STACK
from localstack.stack import LocalStack
from shared.contract import OUTPUT_CANARY_FUNCTION
from tests.integration.checks import eventually, measured, next_second
from tests.integration.command_line import environment, forget_dead_letters
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


def page() -> list[str]:
    """Return what the page has one type, part by part."""
    text = (ROOT / "docs" / "runbooks" / "canary.md").read_text().replace("TidewireProd", STACK)
    return re.findall(r"^```sh\n(.+?)^```", text, re.MULTILINE | re.DOTALL)


def typed(folder: Path, *parts: str) -> list[str]:
    """Type it into one shell; return what each part has printed."""
    told = environment(folder)
    told["PATH"] = os.pathsep.join([str(ROOT / ".venv" / "bin"), told["PATH"]])
    script = "echo '====='\n".join(parts)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split("=====\n")


@pytest.mark.skipif(shutil.which("aws") is None, reason="needs the AWS CLI, as whoever is on call does")
@pytest.mark.timeout(300)
async def test_its_page_says_at_which_step_and_when_it_is_over(warm_stack: LocalStack, tmp_path: Path) -> None:
    with no_fan_out(warm_stack):
        sing(warm_stack)
    forget_dead_letters(warm_stack)
    *look, now, over = page()
    failed, runs, step_by_step, _ = typed(tmp_path, *look, now)
    for way in ("websocket", "http"):
        assert re.search(rf'"step": ?"receive".+"way": ?"{way}"|"way": ?"{way}".+"step": ?"receive"', failed), failed
    assert "DISABLED" in runs
    assert "REPORT" in runs
    assert "fault" not in step_by_step
    await eventually(lambda: typed(tmp_path, over)[0].split()[-1] == "1.0")
