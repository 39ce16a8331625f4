"""However it is ended, nothing that a process group has started is left."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from localstack.process_group import EndedError, ProcessGroup
from tests.edge.running import DEADLINE_S


@pytest.fixture
def output(tmp_path: Path) -> Iterator[IO[bytes]]:
    with (tmp_path / "output").open("w+b") as file:
        yield file


def start(group: ProcessGroup, script: str, output: IO[bytes]) -> None:
    group.start(["/bin/sh", "-c", script], cwd=Path("/"), environment=os.environ, output=output)


def said(output: IO[bytes]) -> list[str]:
    """Wait for the process's first line; return all."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        output.seek(0)
        if lines := output.read().decode().splitlines():
            return lines
        time.sleep(0.01)
    raise AssertionError("it said nothing")


def ends(pid: int) -> bool:
    """Whether a process ends soon. One that was killed as an orphan can stay a zombie until its new parent looks."""
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        listing = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        if not listing.stdout.strip() or listing.stdout.startswith("Z"):
            return True
        time.sleep(0.01)
    return False


def test_what_it_started_ends_with_it(output: IO[bytes]) -> None:
    group = ProcessGroup()
    start(group, "sleep 1000 & echo $!; wait", output)
    child = int(said(output)[0])
    os.kill(child, 0)  # it lives
    group.end()
    assert group.pid is None
    assert ends(child)


def test_what_it_started_ends_though_it_has_ended_first(output: IO[bytes]) -> None:
    group = ProcessGroup()
    start(group, "trap 'exit 0' TERM; sleep 1000 & echo $!; wait", output)
    child = int(said(output)[0])
    group.end(grace_s=DEADLINE_S)
    assert ends(child)


def test_who_takes_no_heed_is_ended_after_a_grace(output: IO[bytes]) -> None:
    group = ProcessGroup()
    start(group, "trap '' TERM; echo ready; while :; do sleep 1; done", output)
    said(output)
    group.end(grace_s=0.1)
    assert group.pid is None


def test_it_can_be_ended_while_another_thread_waits_for_it(output: IO[bytes]) -> None:
    group = ProcessGroup()
    start(group, "echo ready; sleep 1000", output)
    said(output)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(group.wait()))
    thread.start()
    group.end()
    thread.join(DEADLINE_S)
    assert codes == [-9]


def test_it_runs_one_after_the_other_until_it_is_ended(output: IO[bytes]) -> None:
    group = ProcessGroup()
    for code in (0, 3):
        start(group, f"exit {code}", output)
        assert group.wait() == code
    group.end()
    with pytest.raises(EndedError):
        start(group, "echo never", output)
    output.seek(0)
    assert output.read() == b""
