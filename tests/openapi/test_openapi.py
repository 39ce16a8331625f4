"""Schemathesis on the running stack: whatever is sent, answers are as /openapi.json says, and none is a failure."""

import os
import subprocess
from pathlib import Path
from typing import Final

import httpx
import pytest

from localstack.stack import LocalStack
from tests.integration.client import dev_token

_PROGRAM: Final = Path(__file__).parent / ".venv" / "bin" / "schemathesis"
# Of each operation, beside the cases that cover its description.
_EXAMPLES: Final = os.environ.get("OPENAPI_EXAMPLES", "5")
_TIMEOUT_S: Final = 900
_EVERYTHING: Final = ["subscribe", "publish", "history", "presence", "state.read", "state.write", "send", "command"]
# They have no end that could be waited for: tests/integration/test_transports.py and the fuzzer look into them.
_STREAMS: Final = ("--exclude-path-regex", "^/v1/stream/")
# A schema can't say that one of two fields is to be there, and to it 1.0 is an integer.
_NOT_CHECKED: Final = ("--exclude-checks", "positive_data_acceptance")
# What is wrong with a frame is told in its reply, under status 200.
_FRAMES_NOT_CHECKED: Final = ("--exclude-checks", "positive_data_acceptance,negative_data_rejection")

pytestmark = pytest.mark.timeout(_TIMEOUT_S)


def check(stack: LocalStack, folder: Path, *options: str, configuration: str = "") -> None:
    """Run it; nothing may be found."""
    (folder / "schemathesis.toml").write_text(configuration)
    line = [
        *(str(_PROGRAM), "--config-file", str(folder / "schemathesis.toml"), "run", f"{stack.url}/openapi.json"),
        *("--seed", "1", "--generation-deterministic", "--max-examples", _EXAMPLES, "--no-color"),
        *("--phases", "coverage,fuzzing", "--request-timeout", "30", "--continue-on-failure", *_STREAMS, *options),
    ]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def bearer(token: str) -> tuple[str, str]:
    return "--header", f"Authorization: Bearer {token}"


def test_an_admin_is_answered_as_described(stack: LocalStack, tmp_path: Path) -> None:
    token = dev_token(stack.url, "root", caps={"*": [*_EVERYTHING, "admin"]})
    check(stack, tmp_path, *bearer(token), *_NOT_CHECKED)


def test_nobody_is_answered_as_described(stack: LocalStack, tmp_path: Path) -> None:
    check(stack, tmp_path, *_NOT_CHECKED)


def test_a_session_is_answered_as_described(stack: LocalStack, tmp_path: Path) -> None:
    authorization = {"Authorization": f"Bearer {dev_token(stack.url, 'ann')}"}
    answer = httpx.post(f"{stack.url}/v1/sessions", json={"protocol": 1}, headers=authorization).raise_for_status()
    session = answer.json()
    # A poll that waits would do so for 25 s.
    configuration = f'[parameters]\n"path.session_id" = "{session["session_id"]}"\n"query.wait_s" = 0\n'
    options = (*bearer(session["session_token"]), "--include-path-regex", "/frames$", *_FRAMES_NOT_CHECKED)
    check(stack, tmp_path, *options, configuration=configuration)
