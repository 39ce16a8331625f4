"""The import budget: what a cold start may load. Counted in modules, since seconds are the machine's."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
WITHOUT_PYDANTIC: Final = ("ws_connect", "ws_disconnect", "fan_out", "publish_worker", "janitor", "presence", "canary")
ALL_BUT_HTTP: Final = (*WITHOUT_PYDANTIC, "ws_message", "event_publish")
HTTP: Final = {"fastapi", "starlette", "mangum", "uvicorn"}
PYDANTIC: Final = {"pydantic", "pydantic_core"}

# Modules of others, beyond boto3 and one client, that each function has loaded when it is ready for its first event.
# The ceilings leave room for a few more, not for another library. Our own are not counted: they cost little each.
COLD_START_CEILINGS: Final = {
    "canary": 240,  # measured 227: asyncio, httpx, websockets, all of the Python client. Nobody waits for it
    "fan_out": 55,  # measured 45: Powertools' Logger and Metrics, tomllib
    "publish_worker": 55,  # measured 45
    "event_publish": 112,  # measured 101, with pydantic: events of others come in as frames do
    "janitor": 67,  # measured 56, with PyJWT
    "presence": 55,  # as fan_out
    "ws_connect": 67,  # measured 56, with PyJWT
    "ws_disconnect": 67,  # measured 56, with PyJWT
    "ws_message": 125,  # measured 112, with PyJWT and pydantic
}
OURS: Final = ("functions", "shared", "tidewire")

# What a function is given in Lambda, as far as the making of services needs it. No call is made.
LAMBDA: Final = {
    "AWS_LAMBDA_FUNCTION_NAME": "function",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "CONNECTIONS_ENDPOINT": "http://localhost",
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
}
# PyJWT takes cryptography where there is one. The functions' layer has none; here moto brings it.
_AS_IN_THE_LAYER: Final = "import sys; sys.modules['cryptography'] = None; "


@cache
def modules_after(statement: str, *, in_lambda: bool = False) -> frozenset[str]:
    """Return what a fresh interpreter has loaded; its environment has nothing of AWS, unless asked."""
    code = f"{_AS_IN_THE_LAYER}{statement}; import json; print(json.dumps(sorted(sys.modules)))"
    environment = {"PATH": "/usr/bin:/bin"} | (LAMBDA if in_lambda else {})
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return frozenset(json.loads(done.stdout.splitlines()[-1]))


def loaded(function: str, *, in_lambda: bool) -> frozenset[str]:
    return modules_after(f"import functions.{function}.handler", in_lambda=in_lambda)


@pytest.mark.parametrize("function", ALL_BUT_HTTP)
@pytest.mark.parametrize("in_lambda", [False, True], ids=["imported", "cold start"])
def test_no_web_framework_but_where_http_is_served(function: str, in_lambda: bool) -> None:
    assert loaded(function, in_lambda=in_lambda) & HTTP == set()


@pytest.mark.parametrize("function", WITHOUT_PYDANTIC)
@pytest.mark.parametrize("in_lambda", [False, True], ids=["imported", "cold start"])
def test_no_pydantic_but_where_frames_come_in(function: str, in_lambda: bool) -> None:
    assert loaded(function, in_lambda=in_lambda) & PYDANTIC == set()


def test_what_every_request_needs_is_loaded_before_the_first() -> None:
    """Put off, it would make somebody wait: the start is when Lambda has CPU to spare."""
    assert {"pydantic", "shared.services.dispatch", "jwt"} <= loaded("ws_message", in_lambda=True)


@pytest.mark.parametrize("function", [*COLD_START_CEILINGS, "http_api"])
def test_garbage_is_looked_for_when_a_function_has_started_and_not_before(function: str) -> None:
    before = "import gc; looked = gc.get_stats()[2]['collections']; "
    after = "; assert gc.isenabled() and gc.get_freeze_count() > 100_000 and gc.get_stats()[2]['collections'] == looked"
    modules_after(f"{before}import functions.{function}.handler{after}", in_lambda=True)


@pytest.mark.parametrize("function", COLD_START_CEILINGS)
def test_a_cold_start_loads_little_beyond_boto3(function: str) -> None:
    boto3 = modules_after("import boto3; boto3.client('dynamodb')", in_lambda=True)
    beyond = {name for name in loaded(function, in_lambda=True) - boto3 if name.partition(".")[0] not in OURS}
    assert len(beyond) <= COLD_START_CEILINGS[function], sorted(beyond)


@pytest.mark.parametrize("function", [*COLD_START_CEILINGS, "http_api"])
def test_handlers_are_imported_without_aws(function: str) -> None:
    assert f"functions.{function}.handler" in loaded(function, in_lambda=False)
