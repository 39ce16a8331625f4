"""``make bench``: every benchmark on one local stack, or those that are named: ``python -m bench latency``."""

import signal
import sys
from collections.abc import Callable, Mapping
from typing import Final

from bench import flood, idle, latency, presence, state, transports
from bench.results import FOLDER, NotMeasuredError, Report, write
from localstack.deploy import ROOT
from localstack.errors import StartError
from localstack.stack import LocalStack

# A new benchmark is a module with ``run``, and a line here.
BENCHMARKS: Final[Mapping[str, Callable[[LocalStack], Report]]] = {
    "latency": latency.run,
    "flood": flood.run,
    "transports": transports.run,
    "idle": idle.run,
    "state": state.run,
    "state_units": state.run_units,
    "presence": presence.run,
}


def main(arguments: list[str]) -> int:
    """Run them; return the exit code: 1 if a bar was not met or something not measured, 2 if a name is unknown."""
    names = arguments or list(BENCHMARKS)
    if unknown := set(names) - BENCHMARKS.keys():
        print(f"bench: no {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the stack as Ctrl-C does
    try:
        with LocalStack(ROOT / ".local" / "bench", tell=lambda line: print(f"  {line}", flush=True)) as stack:
            reports = [BENCHMARKS[name](stack) for name in names]
    except (NotMeasuredError, StartError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nended", flush=True)
        return 130
    for report in reports:
        print(f"\n{write(report)}")
    print(f"written to {FOLDER.relative_to(ROOT)}/")
    return 0 if all(met for report in reports for _, met in report.bars) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
