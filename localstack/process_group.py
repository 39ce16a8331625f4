"""A process with all that it starts in turn: ended as one, from whatever thread, even while it is being started.

Start it in a thread other than the main one. Ctrl-C raises in the main thread, and could do so after the fork and
before anybody knows of the process.
"""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO


class EndedError(Exception):
    """It was ended before it could start anything."""


class ProcessGroup:
    """One process at a time, in a session of its own: Ctrl-C at the terminal does not reach it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    @property
    def pid(self) -> int | None:
        """The first process's, while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], output: IO[bytes]) -> None:
        """Start it; ``output`` gets all that it prints.

        Raises:
            EndedError: Nothing is to be started any more.
        """
        with self._lock:  # held until it is known here
            if self._ended:
                raise EndedError
            self._process = subprocess.Popen(  # nosec B603 # started by our own code alone
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> int:
        """Return its exit code, when it has ended by itself or been ended."""
        assert self._process is not None
        code = self._process.wait()
        with self._lock:
            self._process = None  # its number may be somebody else's from now on
        return code

    def end(self, *, grace_s: float = 0) -> None:
        """End it, kill all that it has started, and let nothing be started any more.

        Args:
            grace_s: How long it may take to end by itself; what it has started is given no time after that.
        """
        with self._lock:
            self._ended = True
            process = self._process
        if process is None:
            return
        try:
            if grace_s:
                _signal(process.pid, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(grace_s)
        finally:
            _signal(process.pid, signal.SIGKILL)
            process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.killpg(group, number)
