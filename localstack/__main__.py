"""``make run``: the whole stack on this machine, until Ctrl-C. What the machine lacks is told by make before this."""

import logging
import os
import signal
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


def _relative(path: Path) -> Path:
    return path.relative_to(ROOT)


if __name__ == "__main__":
    sys.exit(main())
