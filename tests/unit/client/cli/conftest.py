"""The command line, run in this process or in one of its own, far from the user's own settings."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.client.cli.server import Answer, Answers, Asked, answering, tidewire
from tests.unit.stack import MemoryStack
from tidewire.cli.app import app

ROOT = Path(__file__).parents[4]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Run = Callable[..., Ended]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing of the user's environment; return where the profiles are."""
    for name in [name for name in os.environ if name.startswith("TIDEWIRE_")]:
        monkeypatch.delenv(name)
    config = tmp_path / "config" / "config.toml"
    monkeypatch.setenv("TIDEWIRE_CONFIG", str(config))
    monkeypatch.setenv("USER", "ann")
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setenv("COLUMNS", "200")
    return config


@pytest.fixture
def run() -> Run:
    """Runs a command; an exception that leaves it fails the test."""

    def run(*arguments: str, stdin: str | bytes | None = None) -> Ended:
        result = CliRunner().invoke(app, arguments, input=stdin, catch_exceptions=False)
        return Ended(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidewire.cli.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "clients/python/src")},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryStack]:
    """A Tidewire of stage local, where commands go unless told otherwise."""
    with tidewire() as (url, stack):
        monkeypatch.setenv("TIDEWIRE_URL", url)
        yield stack


class Little:
    """The little server: what it is to answer by method and path, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Answer | Answers] = {}
        self.asked: list[Asked] = []
        self.otherwise = Answer("<html>Hello</html>", 404, {"Content-Type": "text/html"})

    def __call__(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answer = self.answers.get((asked.method, asked.path), self.otherwise)
        return answer if isinstance(answer, Answer) else answer(asked)


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> Iterator[Little]:
    """The little server, where commands go unless told otherwise, with a token."""
    server = Little()
    with answering(server) as url:
        monkeypatch.setenv("TIDEWIRE_URL", url)
        monkeypatch.setenv("TIDEWIRE_TOKEN", "a.b.c")
        yield server
