"""A shell that tests type into, as somebody does who reads a page."""

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.integration.command_line import environment

_END: Final = "--- end ---"


class Shell:
    """Somebody's shell: variables that were set stay set. Whatever fails ends it."""

    def __init__(self, folder: Path, cwd: Path, **variables: str) -> None:
        self._process = subprocess.Popen(
            ["sh", "-eu"],
            cwd=cwd,
            env={
                **os.environ,
                **environment(folder),
                "CDK_DISABLE_CLI_TELEMETRY": "true",
                "STAGE": "local",
                **variables,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def type(self, block: str) -> str:
        """Return what it says to these lines.

        Raises:
            AssertionError: A command has failed.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        # What it starts is not to read the lines that come, and may end without a line's end.
        self._process.stdin.write(f"{{\n{block}\n}} < /dev/null\nprintf '\\n%s\\n' '{_END}'\n")
        self._process.stdin.flush()
        said = ""
        for line in self._process.stdout:
            if line.strip() == _END:
                return said.removesuffix("\n")
            said += line
        raise AssertionError(f"{block}\nfailed after:\n{said}")
