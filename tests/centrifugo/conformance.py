"""The tests that Centrifugo's Python client ships, and a stack as they expect their server to be set up."""

import json
import secrets
import subprocess
import tarfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import jwt
from websockets.sync.client import ClientConnection, connect

from localstack.stack import LocalStack
from shared.contract import OUTPUT_TOKEN_SECRET_ARN
from tests.integration.edited import edited

ROOT: Final = Path(__file__).resolve().parents[2]
PYTHON: Final = Path(__file__).parent / ".venv/bin/python"
_TIMEOUT_S: Final = 420
_AT_ONCE: Final = 6
_QUICK_S: Final = 2.5  # half of what a client waits; who has gone is told a second later
_CALM_ROUNDS: Final = 2
_WARM_UP_S: Final = 180.0
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

[namespaces.exact]
force_positioning = true

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
    boto3.client("secretsmanager").put_secret_value(
        SecretId=stack.outputs[OUTPUT_TOKEN_SECRET_ARN], SecretString=_SECRET
    )
    with ExitStack() as changed:
        for function in ("ws_message", "presence"):
            changed.enter_context(edited(stack, function, "channels.toml", _OURS, _THEIRS))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)  # it is theirs
            _warm_up(stack)
        yield


class _Guest:
    """A client that waits for what it is told, and notes the longest wait."""

    def __init__(self, websocket: ClientConnection, slowest_s: float) -> None:
        self._websocket, self.slowest_s, self._id = websocket, slowest_s, 0
        self.client = self.ask("connect", token=_token())["client"]

    def ask(self, name: str, **fields: Any) -> dict[str, Any]:
        """Send a command; return its result."""
        self._id += 1
        self._websocket.send(json.dumps({"id": self._id, name: fields}))
        found: dict[str, Any] = self.until(lambda line: line.get("id") == self._id)[name]
        return found

    def subscribe_at_once(self, channels: Sequence[str]) -> None:
        """Subscribe to several, with a message for each and without waiting: as many functions work then."""
        left = set(range(self._id + 1, self._id + 1 + len(channels)))
        for channel in channels:
            self._id += 1
            wanted = {"channel": channel, "token": _token(channel=channel)}
            self._websocket.send(json.dumps({"id": self._id, "subscribe": wanted}))
        while left:
            left.discard(self.until(lambda line: line.get("id") in left)["id"])

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first line that is wanted."""
        began = time.monotonic()
        while True:
            for line in str(self._websocket.recv(timeout=_WARM_UP_S)).splitlines():
                found: dict[str, Any] = json.loads(line)
                if wanted(found):
                    self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                    return found

    def told(self, kind: str, about: str) -> None:
        """Wait for a push of somebody's coming or going."""
        self.until(lambda line: line.get("push", {}).get(kind, {}).get("info", {}).get("client") == about)


@contextmanager
def _guest(url: str) -> Iterator[_Guest]:
    began = time.monotonic()
    with connect(url, open_timeout=_WARM_UP_S) as websocket:
        yield _Guest(websocket, time.monotonic() - began)


def _warm_up(stack: LocalStack) -> None:
    """Have every function that the tests use started, and idle: a client waits 5 s, and a cold start takes seconds.

    What handles messages is needed several times at once; the rest comes one step after the other. Coming and going
    that is told of at once starts a dozen more: on a busy machine the first tests gave up before those were through.
    """
    deadline, calm = time.monotonic() + _WARM_UP_S, 0
    while calm < _CALM_ROUNDS and time.monotonic() < deadline:
        with _guest(websocket_url(stack)) as first, _guest(websocket_url(stack)) as second:
            _meet(first, second, f"warm-up-{secrets.token_hex(4)}")
        calm = calm + 1 if max(first.slowest_s, second.slowest_s) < _QUICK_S else 0


def _meet(first: _Guest, second: _Guest, channel: str) -> None:
    """Do once what the tests do."""
    first.subscribe_at_once([f"smallhistory:{channel}-{number}" for number in range(_AT_ONCE)])
    first.ask("subscribe", channel=channel, token=_token(channel=channel))
    second.ask("subscribe", channel=channel, token=_token(channel=channel))
    first.told("join", second.client)
    second.ask("publish", channel=channel, data={})
    first.until(lambda line: "pub" in line.get("push", {}))
    second.ask("history", channel=channel, limit=1)
    second.ask("presence", channel=channel)
    second.ask("unsubscribe", channel=channel)
    first.told("leave", second.client)


def _token(**claims: Any) -> str:
    return jwt.encode({"sub": "warm", **claims}, _SECRET, algorithm="HS256")


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
