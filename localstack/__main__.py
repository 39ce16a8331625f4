"""``make run``: the whole stack on this machine, until Ctrl-C. What the machine lacks is told by make before this.

``python -m localstack [FOLDER]``: what it writes lies in FOLDER, else in ``.local/run``. ``BACKEND=localstack`` takes a
LocalStack that runs in the emulator's place.
"""

import logging
import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).resolve().parent.parent / ".local" / "run"


def main(arguments: list[str]) -> int:
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
        return _run(Path(arguments[0]).resolve() if arguments else _FOLDER, os.environ.get("PORT", "8080"))
    except KeyboardInterrupt:
        print("\nended", flush=True)
        return 0


def _run(folder: Path, port: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65_535:
        return _fail(f"PORT must be a number from 0 to 65535, and is {port!r}")
    backend_name = os.environ.get("BACKEND", "") or "emulator"
    if backend_name not in ("emulator", "localstack"):
        return _fail(f"BACKEND must be emulator or localstack, and is {backend_name!r}")
    # Loading these takes a second, and Ctrl-C is to end that as cleanly as the rest.
    from localstack.container import LocalStackContainer
    from localstack.errors import StartError
    from localstack.stack import LocalStack

    backend = LocalStackContainer(os.environ) if backend_name == "localstack" else None
    try:
        with LocalStack(
            folder, port=int(port), backend=backend, tell=lambda line: print(f"  {line}", flush=True)
        ) as stack:
            print(f"\nTidewire is ready: {stack.url}  (Ctrl-C ends it)", flush=True)
            threading.Event().wait()
    except StartError as error:
        return _fail(str(error))
    return 0


def _fail(why: str) -> int:
    print(f"tidewire: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
