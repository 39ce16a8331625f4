"""The tests that Centrifugo's Python client ships, and a stack as they expect their server to be set up."""

import json
import subprocess
import tarfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import boto3
import jwt
from websockets.sync.client import connect

from localstack.stack import LocalStack
from shared.contract import OUTPUT_TOKEN_SECRET_ARN
from tests.integration.edited import edited

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHON: Final = Path(__file__).parent / ".venv/bin/python"
_TIMEOUT_S: Final = 420
_AT_ONCE: Final = 8
_QUICK_S: Final = 2.0
_WARM_UP_S: Final = 60.0
# What their docker-compose.yml sets: the secret with which the tests sign, and what holds for channels.
_SECRET: Final = "secret"
_OURS: Final = """
[namespaces.user]
publishers = "servers"      # personal channels: users reach one another by `send`
presence = "off"
"""
_THEIRS: Final = """
[namespaces.centrifugo]
history_count = 100
subscribers_may = ["publish", "history", "presence"]
join_leave = true

[namespaces.smallhistory]
history_count = 2
subscribers_may = ["publish", "history"]

[namespaces.user]
publishers = "clients"
presence = "members"
subscribers_may = ["publish", "history", "presence"]
join_leave = true
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run.

    Attributes:
        failed: By test, what it said.
    """

    run: int
    failed: dict[str, str]
    output: str


@contextmanager
def set_up(stack: LocalStack) -> Iterator[None]:
    """Have a stack be as their server would be."""
    secrets = boto3.client("secretsmanager")
    secrets.put_secret_value(SecretId=stack.outputs[OUTPUT_TOKEN_SECRET_ARN], SecretString=_SECRET)
    with ExitStack() as changed:
        for function in ("ws_message", "presence"):
            changed.enter_context(edited(stack, function, "channels.toml", _OURS, _THEIRS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)  # it is theirs
            _warm_up(stack)
        yield


def _warm_up(stack: LocalStack) -> None:
    """Use as much at once as the tests do, until it is quick: a client waits 5 s, and a cold start takes a second."""
    deadline = time.monotonic() + _WARM_UP_S
    while time.monotonic() < deadline:
        began = time.monotonic()
        with connect(websocket_url(stack)) as websocket:
            token = jwt.encode({"sub": "warm"}, _SECRET, algorithm="HS256")
            websocket.send(json.dumps({"id": 1, "connect": {"token": token}}))
            websocket.recv(timeout=_WARM_UP_S)
            for number in range(_AT_ONCE):
                channel = f"warm-up-{number}"
                token = jwt.encode({"sub": "warm", "channel": channel}, _SECRET, algorithm="HS256")
                websocket.send(json.dumps({"id": 2 + number, "subscribe": {"channel": channel, "token": token}}))
            for _ in range(_AT_ONCE):
                websocket.recv(timeout=_WARM_UP_S)
        if time.monotonic() - began < _QUICK_S:
            return


def websocket_url(stack: LocalStack) -> str:
    """Return where clients connect."""
    return stack.url.replace("http", "ws", 1) + "/v1/ws"


def unpack(folder: Path) -> Path:
    """Unpack the source distribution; return where it is."""
    (archive,) = (ROOT / ".local/centrifugo").glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def run(stack: LocalStack, source: Path, names: Sequence[str] = ()) -> Outcome:
    """Run the tests, or some of them by name."""
    line = [str(PYTHON), str(Path(__file__).with_name("suite.py")), stack.url, websocket_url(stack), *names]
    done = subprocess.run(
        line, cwd=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_TIMEOUT_S, check=False
    )
    *_, last = done.stdout.splitlines() or [""]
    try:
        told = json.loads(last)
    except ValueError:
        raise AssertionError(done.stdout) from None
    return Outcome(told["run"], told["failed"], done.stdout)
