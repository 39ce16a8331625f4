"""``python -m tests.fuzz``: the long run on a local stack of its own, its figures, and what is wrong. ``make fuzz``."""

import argparse
import secrets
import signal
import sys
from pathlib import Path

from localstack.errors import StartError
from localstack.stack import LocalStack
from tests.fuzz.report import written, wrong
from tests.fuzz.run import fuzz

_FOLDER = Path(__file__).parents[2] / ".local" / "fuzz"


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None, help="that of an earlier run, to have its cases again")
    parser.add_argument("--only", type=int, default=None, help="the one case with this index")
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="for logs and the report (%(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the stack as Ctrl-C does
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    _tell(f"seed {seed}: again with --seed {seed}")
    try:
        with LocalStack(options.folder / "stack", tell=_tell) as stack:
            outcome = fuzz(stack, seed, options.frames, only=options.only)
    except StartError as error:
        _tell(f"fuzz: {error}")
        return 1
    except KeyboardInterrupt:
        _tell(f"ended; the run had seed {seed}")
        return 130
    (options.folder / "report.json").write_text(written(outcome))
    _tell(written(outcome))
    for line in (found := wrong(outcome)):
        _tell(f"WRONG: {line}")
    _tell(f"seed {seed}: {'FAILED' if found else 'nothing was wrong'}; report and logs in {options.folder}")
    return 1 if found else 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
