"""``make run``: the whole stack on this machine, until Ctrl-C."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from localstack.deploy import ROOT, DeployError
from localstack.ministack import EmulatorError
from localstack.stack import LocalStack, PortInUseError

_FOLDER: Final = ROOT / ".local" / "run"


def main() -> int:
    """Run; return the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    problem = missing()
    if problem:
        print(f"tidewire: {problem}", file=sys.stderr)
        return 2
    stop = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        if stop.is_set():
            return  # the second Ctrl-C changes nothing: we are ending
        stop.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    try:
        port = int(os.environ.get("PORT", "8080"))
        with LocalStack(_FOLDER, port=port, tell=lambda line: print(f"  {line}", flush=True)):
            print(f"\nTidewire is ready: http://localhost:{port}  (Ctrl-C ends it)", flush=True)
            threading.Event().wait()
    except KeyboardInterrupt:
        print("\nended", flush=True)
        return 0
    except (PortInUseError, EmulatorError, DeployError, ValueError) as error:
        print(f"tidewire: {error}", file=sys.stderr)
        if isinstance(error, DeployError):
            print(f"{error.output}\n(all of it: {_relative(_FOLDER / 'cdk.log')})", file=sys.stderr)
        return 1
    return 0


def missing() -> str | None:
    """Return what is missing on this machine, in one line, or ``None``."""
    if sys.version_info < (3, 11):
        return f"Python 3.11 or later is needed; this is {sys.version.split()[0]}"
    node = shutil.which("node")
    if node is None:
        return "Node.js 20 or later is needed, and there is no node on the PATH"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 20:
        return f"Node.js 20 or later is needed; this is {version}"
    return None


def _relative(path: Path) -> Path:
    return path.relative_to(ROOT)


if __name__ == "__main__":
    sys.exit(main())
