"""The command line in a process of its own, as its users have it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import boto3

from localstack.stack import LocalStack
from shared.contract import OUTPUT_DEAD_LETTER_URLS, OUTPUT_EVENT_DEAD_LETTERS_URL

TIMEOUT_S: Final = 120
_CLIENT: Final = Path(__file__).resolve().parents[2] / "clients" / "python" / "src"


def environment(folder: Path) -> dict[str, str]:
    """Return its environment: nothing of the machine's own settings, and profiles in ``folder``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEWIRE_")}
    return {**kept, "TIDEWIRE_CONFIG": str(folder / "config.toml"), "PYTHONPATH": str(_CLIENT)}


def command(*arguments: str) -> list[str]:
    """Return what starts it."""
    return [sys.executable, "-m", "tidewire.cli.main", *arguments]


def run(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(*arguments),
        env=environment(folder),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def forget_dead_letters(stack: LocalStack) -> None:
    """Empty what other tests have left there: ``doctor`` would tell of it."""
    client = boto3.client("sqs")
    for url in (
        *(stack.outputs[name] for name in OUTPUT_DEAD_LETTER_URLS.values()),
        stack.outputs[OUTPUT_EVENT_DEAD_LETTERS_URL],
    ):
        client.purge_queue(QueueUrl=url)


def lines(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """Return what it has written, a JSON value a line.

    Raises:
        AssertionError: It has failed.
    """
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
