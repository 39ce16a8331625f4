"""Bytecode in the zips: without it a function compiles all that it imports at each start, since it may not write there.

AWS advises against it, since what another machine has made may not fit (docs.aws.amazon.com/lambda/latest/dg/
python-package.html). Bytecode depends on Python's minor version alone, so it is made by the runtime's, or not at all.
"""

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

RUNTIME: Final = "3.13"


@cache
def runtime_python(version: str = RUNTIME) -> str | None:
    """Return a Python of that version, if there is one here. That there is none is told: all works, but starts late."""
    for name in (sys.executable, f"python{version}"):
        python = shutil.which(name)
        if python and _version(python) == version:
            return python
    sys.stderr.write(f"python{version} is not on the PATH: functions have no bytecode, and start a third later\n")
    return None


def add_bytecode(python: str, folder: Path) -> None:
    """Put the bytecode of all modules in ``folder`` beside them, for good: the zip changes what they are dated by."""
    options = ("-q", "-s", str(folder), "--invalidation-mode", "unchecked-hash")
    done = subprocess.run(  # nosec B603 # a Python of this machine
        [python, "-m", "compileall", *options, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"compileall failed:\n{done.stdout}{done.stderr}")


def _version(python: str) -> str:
    program = "import sys; print(*sys.version_info[:2], sep='.')"
    done = subprocess.run(  # nosec B603 # a Python of this machine
        [python, "-c", program], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
