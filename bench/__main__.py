"""``make bench``: every benchmark, or those that are named: ``python -m bench latency``. ``--help`` lists them."""

import signal
import sys
from collections.abc import Callable, Mapping
from typing import Final

from bench import (
    cold_start,
    flood,
    frames,
    growth,
    handlers,
    idle,
    latency,
    presence,
    saturation,
    state,
    summary,
    transports,
    units,
)
from bench.fan_out import report as fan_out
from bench.order import run as order
from bench.results import FOLDER, NotMeasuredError, Report, write
from localstack.deploy import ROOT
from localstack.errors import StartError
from localstack.stack import LocalStack

# A new benchmark is a module with ``run``, and a line here.
IN_PROCESS: Final[Mapping[str, Callable[[], Report]]] = {
    "cold_start": cold_start.run,
    "handlers": handlers.run,
    "growth_cost": growth.run_cost,
    "units": units.run,
    "fan_out": fan_out.run,
    "fan_out_candidates": fan_out.run_candidates,
    "order": order.run,  # on a stack of its own, with faults between
}
# These share one local stack.
ON_STACK: Final[Mapping[str, Callable[[LocalStack], Report]]] = {
    "latency": latency.run,
    "flood": flood.run,
    "frames": frames.run,
    "transports": transports.run,
    "saturation": saturation.run,
    "growth": growth.run,
    "idle": idle.run,
    "state": state.run,
    "state_units": state.run_units,
    "presence": presence.run,
}


def main(arguments: list[str]) -> int:
    """Run them; return the exit code: 1 if a bar was not met or something not measured, 2 if a name is unknown."""
    if arguments in (["--help"], ["-h"]):
        print(usage())
        return 0
    if arguments == ["--readme"]:
        summary.README.write_text(summary.with_table(summary.README.read_text(), summary.found()))
        return 0
    names = arguments or [*IN_PROCESS, *ON_STACK]
    if unknown := set(names) - {*IN_PROCESS, *ON_STACK}:
        print(f"bench: no {', '.join(sorted(unknown))}\n{usage()}", file=sys.stderr)
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
    reports = summary.found()
    (FOLDER / "README.md").write_text(summary.overview(reports))
    print(f"\n{summary.table(reports)}\nwritten to {FOLDER.relative_to(ROOT)}/")
    return 0 if all(met) else 1


def usage() -> str:
    """Return what there is, a line each: the first of its module, or its own where a module has several."""
    lines = ["python -m bench [NAME ...]: all, or those; --readme writes the table of what is asked into README.md", ""]
    for title, benchmarks in (("in this process", IN_PROCESS), ("on one local stack", ON_STACK)):
        lines.append(f"{title}:")
        for name, run in benchmarks.items():
            told = sys.modules[run.__module__].__doc__ if run.__name__ == "run" else run.__doc__
            lines.append(f"  {name:18}  {(told or '').splitlines()[0]}")
    return "\n".join(lines)


def _told(report: Report) -> bool:
    """Write and print it at once: what follows may fail. Return whether its bars are met."""
    print(f"\n{write(report)}", flush=True)
    return all(bar.met for bar in report.bars)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
