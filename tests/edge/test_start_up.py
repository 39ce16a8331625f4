"""What ``make run`` says when it can't: one line that names the cause, before anything has been started."""

import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from localstack.deploy import ROOT

Check = Callable[..., subprocess.CompletedProcess[str]]


def run(folder: Path, port: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "localstack", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PORT": port},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run(tmp_path, str(port))
    assert done.stderr == f"tidewire: port {port} is in use; choose another with PORT=\n"
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("port", ["abc", "99999", "-1", "", "80.5"])
def test_what_is_no_port(tmp_path: Path, port: str) -> None:
    done = run(tmp_path, port)
    assert done.stderr == f"tidewire: PORT must be a number from 0 to 65535, and is {port!r}\n"
    assert (done.returncode, done.stdout) == (1, "")


def test_a_folder_in_use(tmp_path: Path) -> None:
    """Two on different ports would share one assembly and wipe each other's emulator."""
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run(tmp_path, "0")
    assert done.stderr == f"tidewire: another local stack runs in {tmp_path}; end that first\n"
    assert (done.returncode, done.stdout) == (1, "")


class TestTools:
    """``tools/check_tools.sh`` on machines that lack something: a PATH that holds only stand-ins."""

    @pytest.fixture
    def check(self, tmp_path: Path) -> Check:
        def check(**tools: str) -> subprocess.CompletedProcess[str]:
            """Run it where only these tools are, each a shell script."""
            there = {"python3": "exit 0", "node": "exit 0", "npm": "exit 0"}
            for name, script in (there | tools).items():
                if script:
                    (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
                    (tmp_path / name).chmod(0o755)
            command = ["/bin/sh", str(ROOT / "tools" / "check_tools.sh"), "python3"]
            return subprocess.run(
                command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=10, check=False
            )

        return check

    def test_nothing_is_said_when_nothing_is_missing(self, check: Check) -> None:
        done = check()
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    @pytest.mark.parametrize(
        ("tools", "told"),
        [
            ({"python3": ""}, "Python 3.11 or later is needed, and there is no python3 on the PATH"),
            (
                {"python3": '[ "$1" = --version ] && echo Python 3.9.2 || exit 1'},
                "Python 3.11 or later is needed; Python 3.9.2 is too old (PYTHON= names another)",
            ),
            (
                {"python3": 'case "$*" in *ensurepip*) echo no such module >&2; exit 1;; esac'},
                "Python's venv module is needed (on Debian: package python3-venv)",
            ),
            ({"node": ""}, "Node.js 20 or later is needed, and there is no node on the PATH"),
            (
                {"node": '[ "$1" = --version ] && echo v18.20.4 || exit 1'},
                "Node.js 20 or later is needed; this is v18.20.4",
            ),
            ({"npm": ""}, "npm is needed, and there is none on the PATH"),
        ],
    )
    def test_what_is_missing_is_told_in_one_line(self, check: Check, tools: dict[str, str], told: str) -> None:
        done = check(**tools)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"tidewire: {told}\n")

    @pytest.mark.parametrize(
        ("version", "status"), [((3, 10, 99), 2), ((3, 11, 0), 0), ((3, 14, 0), 0), ((4, 0, 0), 0)]
    )
    def test_the_oldest_python_is_3_11(self, check: Check, version: tuple[int, int, int], status: int) -> None:
        pretend = f"import sys; sys.version_info = {version}; exec(sys.argv.pop())"
        done = check(python3=f'[ "$1" = -c ] && exec {sys.executable} -c "{pretend}" "$2"; echo Python')
        assert done.returncode == status, done.stderr

    @pytest.mark.parametrize(("version", "status"), [("18.20.4", 2), ("20.0.0", 0), ("24.1.0", 0), ("100.0.0", 0)])
    def test_the_oldest_node_is_20(self, check: Check, version: str, status: int) -> None:
        node = subprocess.run(["/bin/sh", "-c", "command -v node"], capture_output=True, text=True, check=True)
        pretend = f"Object.defineProperty(process.versions, 'node', {{value: '{version}'}}); "
        done = check(node=f'[ "$1" = -e ] && exec {node.stdout.strip()} -e "{pretend}$2"; echo v{version}')
        assert done.returncode == status, done.stderr
