"""``python -m tests.torture``: the long run, its figures, and whether they are what was promised. ``make torture``."""

import argparse
import asyncio
import secrets
import signal
import sys
from pathlib import Path

from localstack.errors import StartError
from tests.torture.report import findings, table, unmet
from tests.torture.run import Plan, torture

_FOLDER = Path(__file__).parents[2] / ".local" / "torture"


def main() -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--publications", type=int, default=50_000, help="with faults on (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="that these are divided among (%(default)s)")
    parser.add_argument("--calm", type=int, default=5_000, help="with faults off (%(default)s)")
    parser.add_argument("--subscribers", type=int, default=20)
    parser.add_argument("--clients", type=int, default=10, help="subscribers that are the Python client (%(default)s)")
    parser.add_argument("--publishers", type=int, default=4)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--rate", type=float, default=100, help="publications a second, at most (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="that of an earlier run, to have it again")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the stack as Ctrl-C does
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    plan = Plan(
        seed=seed,
        publications=options.publications,
        rounds=options.rounds,
        calm=options.calm,
        subscribers=options.subscribers,
        clients=min(options.clients, options.subscribers),
        publishers=options.publishers,
        channels=options.channels,
        channels_each=3,
        rate_per_s=options.rate,
        calm_rate_per_s=options.rate / 4,
        ahead_max=400,
        workers=8,
        warm_after=500,
        fault_one_in=80,
        publications_per_kill=600,
        publications_per_cut=150,
        publications_per_worker_records=150,
        drain_s=300,
    )
    _tell(f"seed {seed}: again with --seed {seed}")
    try:
        outcome = torture(plan, _FOLDER, _tell)
    except StartError as error:
        _tell(f"torture: {error}")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        _tell(f"ended; the run had seed {seed}")
        return 130
    _tell(table(plan, outcome))
    for finding in findings(outcome):
        _tell(f"{finding.kind} in {finding.channel}: {finding.text}")
    for promise in (broken := unmet(plan, outcome)):
        _tell(f"NOT MET: {promise}")
    _tell(f"seed {seed}: {'FAILED' if broken else 'every promise was kept'}; journals in {_FOLDER}")
    return 1 if broken else 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
