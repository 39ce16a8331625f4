"""``python -m tools.runbook COMMAND``, for the stage that the variable STAGE names: see docs/runbooks/README.md."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator

from botocore.exceptions import BotoCoreError, ClientError

from tidewire.cli.exit_codes import CommandError
from tools.aws_region import settle_region
from tools.runbook import act, look
from tools.runbook.deployed import Deployed, UnknownNameError

_MINUTES = 60


def main(arguments: list[str]) -> int:
    """Do what is asked; return the exit code."""
    asked = _parser().parse_args(arguments)
    stage = os.environ.get("STAGE")
    if not stage:
        return _refuse("STAGE is not set: export STAGE=prod")
    run: Callable[[Deployed, argparse.Namespace], Iterator[str]] = asked.run
    try:
        settle_region()
        for line in run(Deployed(stage), asked):
            sys.stdout.write(f"{line}\n")
    except (BotoCoreError, ClientError, CommandError, UnknownNameError, ValueError) as error:
        return _refuse(str(error))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.runbook", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, run: Callable[[Deployed, argparse.Namespace], Iterator[str]], said: str, *names: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=said)
        for one in names:
            command.add_argument(one)
        command.set_defaults(run=run)
        return command

    add("alarms", lambda stage, asked: look.alarms(stage, every=asked.all), "those that ring").add_argument(
        "--all", action="store_true", help="the others, too"
    )
    timed = [
        add(
            "metric",
            lambda _, asked: look.metric(asked.name, asked.statistic, minutes=asked.minutes),
            "a metric of docs/metrics.md by the minute: Sum, Maximum, p99 ...",
            "name",
            "statistic",
        ),
        add(
            "function",
            lambda stage, asked: look.function(stage, asked.name, minutes=asked.minutes),
            "its invocations, errors, throttles by the minute",
            "name",
        ),
        add(
            "table",
            lambda stage, asked: look.table(stage, asked.name, minutes=asked.minutes),
            "what it took and refused by the minute",
            "name",
        ),
        add(
            "requests",
            lambda stage, asked: look.requests(stage, minutes=asked.minutes),
            "what is taken of API Gateway's quota by the minute",
        ),
        add(
            "faults",
            lambda stage, asked: look.faults(stage, asked.function, minutes=asked.minutes),
            "a function's, from its log",
            "function",
        ),
    ]
    for one in timed:
        one.add_argument("--minutes", type=int, default=_MINUTES, help="the last so many")
    add("queues", lambda stage, _: look.queues(stage), "what waits in each")
    add("concurrency", lambda stage, _: look.concurrency(stage), "Lambda's quota, and what is reserved of it")
    add("env", lambda stage, _: act.environment(stage), "what tidewire needs, for eval")
    add("stop", lambda stage, asked: act.stop(stage, asked.function), "let a function, or all, not run", "function")
    add("start", lambda stage, asked: act.start(stage, asked.function), "let it, or all, run again", "function")
    add("work", lambda stage, asked: act.work(stage, asked.queue), "switch on what works on a queue", "queue")
    add("purge", lambda stage, asked: act.purge(stage, asked.queue), "delete what is in a queue", "queue")
    add("canary", lambda stage, _: act.canary(stage), "have it run now")
    add(
        "restore-beside",
        lambda stage, asked: act.restore_beside(stage, asked.table, asked.moment),
        "a table as it was: latest, or 2026-11-27T02:00:00Z",
        "table",
        "moment",
    )
    add("put-back", lambda stage, asked: act.put_back(stage, asked.table), "make a table what that is", "table")
    add("forget-restored", lambda stage, asked: act.forget_restored(stage, asked.table), "delete that", "table")
    return parser


def _refuse(why: str) -> int:
    sys.stderr.write(f"tools.runbook: {why}\n")
    return 1


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # who pipes it into head wants no more
    sys.exit(main(sys.argv[1:]))
