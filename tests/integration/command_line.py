"""The command line in a process of its own, as its users have it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

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


def lines(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """Return what it has written, a JSON value a line.

    Raises:
        AssertionError: It has failed.
    """
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
