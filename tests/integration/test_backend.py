"""``make run BACKEND=localstack`` against a stand-in: the emulator, which knows LocalStack's health address too."""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import pytest

from localstack.backend import REGION
from localstack.deploy import STACK
from localstack.ministack import MiniStack
from localstack.stack import remove
from tests.integration.test_start import START_S, Running

pytestmark = pytest.mark.timeout(START_S + 60)


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[MiniStack]:
    folder = tmp_path / "stand-in"
    folder.mkdir()
    emulator = MiniStack(folder)
    try:
        emulator.start()
        assert httpx.get(f"{emulator.endpoint}/_localstack/health").json()["services"]
        yield emulator
    finally:
        emulator.stop()


def test_it_deploys_to_what_answers_as_localstack_and_leaves_it_running(stand_in: MiniStack, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    running = Running(folder, BACKEND="localstack", LOCALSTACK_AUTH_TOKEN="ls-1", LOCALSTACK_ENDPOINT=stand_in.endpoint)
    try:
        url = running.wait_for(r"http://localhost:[0-9]+(?=  \(Ctrl-C ends it\))")
        assert b"found LocalStack" in running.output
        assert b"started the AWS emulator" not in running.output
        assert not (folder / "emulator.log").exists()
        assert httpx.get(f"{url}/healthz").status_code == 200
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 0
        assert running.left() == []
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.communicate()
        remove(folder / "cdk.out")
    client = boto3.client(
        "cloudformation",
        endpoint_url=stand_in.endpoint,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    [stack] = client.describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"LOCALSTACK_AUTH_TOKEN": ""}, "tidewire: LOCALSTACK_AUTH_TOKEN is not set: .*"),
        (
            {"LOCALSTACK_AUTH_TOKEN": "ls-1", "LOCALSTACK_ENDPOINT": "http://127.0.0.1:1"},
            "tidewire: no LocalStack answers at http://127.0.0.1:1: start it with docker compose up --detach --wait",
        ),
    ],
)
def test_what_is_missing_is_told_in_one_line_and_soon(tmp_path: Path, environment: dict[str, str], told: str) -> None:
    begun_s = time.monotonic()
    running = Running(tmp_path, BACKEND="localstack", **environment)
    assert running.end() == 1
    assert re.fullmatch(f"{told}\n", running.output.decode())
    assert running.left() == []
    assert time.monotonic() - begun_s < 20


def test_a_backend_that_nobody_knows_is_told(tmp_path: Path) -> None:
    running = Running(tmp_path, BACKEND="aws")
    assert running.end() == 1
    assert running.output.decode() == "tidewire: BACKEND must be emulator or localstack, and is 'aws'\n"
