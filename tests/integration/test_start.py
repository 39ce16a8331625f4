"""``python -m localstack`` as a process of its own: however it ends, nothing of it is left."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from localstack.deploy import ROOT
from localstack.ministack import free_port
from localstack.stack import remove

START_S: Final = 300  # the first one builds the layers
END_S: Final = 30

pytestmark = pytest.mark.timeout(START_S + 60)


class Running:
    """One that was started; whatever it starts in turn has inherited a mark in its environment."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._mark = f"TIDEWIRE_TEST={uuid.uuid4().hex}"
        name, _, value = self._mark.partition("=")
        self.output = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "localstack", str(folder)],
            cwd=ROOT,
            env={**os.environ, "PORT": "0", name: value, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_for(self, words: str, timeout_s: float = START_S) -> str:
        """Wait until it has said something that matches; return the match."""
        assert self.process.stdout is not None
        deadline_s = time.monotonic() + timeout_s
        while (found := re.search(words.encode(), self.output)) is None:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline_s - time.monotonic()))
            said = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            assert said, f"it did not say {words}:\n{self.output.decode()}"
            self.output += said
        return found.group().decode()

    def end(self) -> int:
        """Wait for its end; return the exit code."""
        rest, _ = self.process.communicate(timeout=END_S)
        self.output += rest
        return self.process.returncode

    def left(self) -> list[str]:
        """Return what is left of it and of all that it has started."""
        shown = (
            ["ps", "-AEww", "-o", "pid=,command="] if sys.platform == "darwin" else ["ps", "axeww", "-o", "pid=,args="]
        )
        listing = subprocess.run(shown, capture_output=True, text=True, errors="replace", check=True).stdout
        return [line[:200] for line in listing.splitlines() if self._mark in line]


Start = Callable[..., Running]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One for all: what is built is built once. Not that of ``make run``, beside which these run."""
    folder = tmp_path_factory.mktemp("start")
    yield folder
    remove(folder / "cdk.out")


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    started: list[Running] = []

    def start(**environment: str) -> Running:
        started.append(Running(folder, **environment))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.communicate()
    assert [line for running in started for line in running.left()] == []


@pytest.mark.parametrize("moment", ["started the AWS emulator", "synthesised the CDK app"])
def test_ctrl_c_while_it_starts_ends_it(start: Start, folder: Path, moment: str) -> None:
    port = free_port()
    running = start(PORT=str(port))
    running.wait_for(moment)
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 0
    assert running.output.endswith(b"\nended\n")
    assert running.left() == []
    socket.create_server(("127.0.0.1", port)).close()
    assert not (folder / "emulator").exists()


def test_ctrl_c_while_python_still_loads_ends_it_too(start: Start) -> None:
    running = start(PYTHONPROFILEIMPORTTIME="1")  # says what has been loaded
    running.wait_for(r"\| +boto3\n")
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 0
    assert b"\nended\n" in running.output
    assert b"Traceback" not in running.output


def test_a_start_that_fails_half_way_says_why_and_leaves_nothing(start: Start, tmp_path: Path) -> None:
    (tmp_path / "env").symlink_to("/usr/bin/env")
    (tmp_path / "ps").symlink_to("/bin/ps")
    running = start(PATH=str(tmp_path))  # no node, which the CDK needs
    assert running.end() == 1
    told = running.output.decode()
    assert "started the AWS emulator" in told
    assert re.search(r"^tidewire: cdk synth failed\n.*node.*No such file.*\n\(all of it: /.*cdk.log\)\n$", told, re.M)
    assert "Traceback" not in told
    assert running.left() == []


def test_ctrl_c_when_it_is_ready_ends_it_and_the_next_start_works(start: Start) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        running = start()
        url = running.wait_for(r"http://localhost:[0-9]+(?=  \(Ctrl-C ends it\))")
        assert httpx.get(f"{url}/healthz").status_code == 200
        running.process.send_signal(number)
        assert running.end() == 0
        assert running.output.endswith(b"\nended\n")
        assert running.left() == []
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)


def test_a_second_one_is_told_apart_while_the_first_still_starts(start: Start, tmp_path: Path) -> None:
    port = str(free_port())
    first = start(PORT=port)
    first.wait_for("started the AWS emulator")
    same_folder, same_port = start(PORT="0"), Running(tmp_path, PORT=port)
    assert (same_folder.end(), same_port.end()) == (1, 1)
    assert b"another local stack runs in" in same_folder.output
    assert same_port.output.decode() == f"tidewire: port {port} is in use; choose another with PORT=\n"
    first.process.send_signal(signal.SIGINT)
    assert first.end() == 0
