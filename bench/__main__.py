"""``make bench``: every benchmark, or those that are named: ``python -m bench latency``."""

import signal
import sys
from collections.abc import Callable, Mapping
from typing import Final

from bench import flood, frames, idle, latency, presence, state, transports, units
from bench.fan_out import report as fan_out
from bench.results import FOLDER, NotMeasuredError, Report, write
from localstack.deploy import ROOT
from localstack.errors import StartError
from localstack.stack import LocalStack

# A new benchmark is a module with ``run``, and a line here.
IN_PROCESS: Final[Mapping[str, Callable[[], Report]]] = {
    "units": units.run,
    "fan_out": fan_out.run,
    "fan_out_candidates": fan_out.run_candidates,
}
# These share one local stack.
ON_STACK: Final[Mapping[str, Callable[[LocalStack], Report]]] = {
    "latency": latency.run,
    "flood": flood.run,
    "frames": frames.run,
    "transports": transports.run,
    "idle": idle.run,
    "state": state.run,
    "state_units": state.run_units,
    "presence": presence.run,
}


def main(arguments: list[str]) -> int:
    """Run them; return the exit code: 1 if a bar was not met or something not measured, 2 if a name is unknown."""
    every = [*IN_PROCESS, *ON_STACK]
    names = arguments or every
    if unknown := set(names) - set(every):
        print(f"bench: no {', '.join(sorted(unknown))}; there are {', '.join(every)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the stack as Ctrl-C does
    try:
        met = [_told(IN_PROCESS[name]()) for name in names if name in IN_PROCESS]
        if on_stack := [name for name in names if name in ON_STACK]:
            with LocalStack(ROOT / ".local" / "bench", tell=lambda line: print(f"  {line}", flush=True)) as stack:
                met += [_told(ON_STACK[name](stack)) for name in on_stack]
    except (NotMeasuredError, StartError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nended", flush=True)
        return 130
    print(f"written to {FOLDER.relative_to(ROOT)}/")
    return 0 if all(met) else 1


def _told(report: Report) -> bool:
    """Write and print it at once: what follows may fail. Return whether its bars are met."""
    print(f"\n{write(report)}", flush=True)
    return all(bar.met for bar in report.bars)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
