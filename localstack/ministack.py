"""The emulator's process: MiniStack in its own environment, on a free port, in a process group of its own."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from localstack.backend import REGION
from localstack.errors import StartError
from localstack.process_group import ProcessGroup
from localstack.scratch import Scratch

ENVIRONMENT: Final = Path(__file__).resolve().parent / "emulator" / ".venv"
_START_TIMEOUT_S: Final = 30
_STOP_TIMEOUT_S: Final = 5


class EmulatorError(StartError):
    """The emulator did not start."""


class MiniStack:
    """One emulator; its log lies in ``folder``.

    ``functions_endpoint`` is where functions send their calls to AWS: to the emulator itself, unless something is to
    stand between.
    """

    name = "started the AWS emulator"

    def __init__(self, folder: Path, *, functions_endpoint: str | None = None) -> None:
        self._functions_endpoint = functions_endpoint
        self.log = folder / "emulator.log"
        self._scratch = Scratch(folder)
        self._running = ProcessGroup()
        self.endpoint = ""

    def start(self) -> None:
        """Return when it answers.

        Raises:
            EmulatorError: It does not.
        """
        self._scratch.make()
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "GATEWAY_PORT": str(port),
            "AUTH": "true",  # policies hold: who was not granted something is refused it
            "BIND_HOST": "127.0.0.1",
            "IOT_MTLS_ENABLED": "0",  # else it listens on every address, port 8883
            "TMPDIR": str(self._scratch.path),  # it leaves folders behind; this one is wiped
            "LAMBDA_WARM_TTL_SECONDS": "86400",  # it would end idle workers, which the edge counts on (invoker.py)
            "MINISTACK_REGION": REGION,
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPATH": str(ENVIRONMENT.parent / "site"),  # sitecustomize.py
        }
        if self._functions_endpoint is not None:
            environment["AWS_ENDPOINT_URL"] = self._functions_endpoint  # functions inherit it
        with self.log.open("wb") as log:
            self._running.start(
                [str(ENVIRONMENT / "bin" / "ministack")], cwd=self._scratch.path, environment=environment, output=log
            )
        self._wait()

    def stop(self) -> None:
        """End it and everything it started; return when nothing is left. It can't be started again."""
        # Seen after a deployment that was cut off: it frees its port and stays. And its workers outlive it.
        self._running.end(grace_s=_STOP_TIMEOUT_S)
        self._scratch.remove()

    @property
    def pid(self) -> int | None:
        """Its own process, while it runs."""
        return self._running.pid

    def worker_pids(self) -> list[int]:
        """Return the processes in which functions run now."""
        pid = self._running.pid
        return [] if pid is None else list(_children(pid))

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and self._running.pid is not None:
            try:
                health = f"{self.endpoint}/_ministack/health"
                urllib.request.urlopen(health, timeout=1).close()  # nosec B310 # http:, our own
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.05)
            else:
                return
        raise EmulatorError(f"the emulator did not start; what it said is in {self.log}")


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _children(pid: int) -> Iterator[int]:
    listing = subprocess.run(  # nosec B603, B607 # where ps is, differs between systems
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    for line in listing.stdout.splitlines():
        child, parent = map(int, line.split())
        if parent == pid:
            yield child
