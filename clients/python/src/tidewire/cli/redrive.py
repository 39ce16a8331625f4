"""``tidewire redrive``: what ended among the dead letters goes back where it belongs."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from tidewire.cli.deployment import Deployment
from tidewire.cli.exit_codes import CommandError, ExitCode
from tidewire.cli.identity import no_tidewire
from tidewire.cli.options import JsonOption, for_deployment
from tidewire.cli.output import Output, note, progress
from tidewire.errors import TidewireError


@for_deployment(admin=True)
def redrive(
    deployment: Deployment,
    queue: Annotated[str | None, typer.Argument(metavar="QUEUE", help="That one alone, such as high.")] = None,
    look: Annotated[bool, typer.Option("--list", help="Say how many wait, and leave them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put dead letters back into their queues. For admins.

    What was stored already is known again by its id. What can't be read is left. Two at once hinder each other: SQS
    gives a channel's letters to one at a time.
    Columns: queue, how many were put back (with --list: how many wait), how many can't be read.

    Example: tidewire redrive --list
    """
    waiting = _waiting(deployment)
    if queue is not None and queue not in waiting:
        raise CommandError(f"no queue {queue!r}: there are {', '.join(waiting)}", ExitCode.USAGE)
    chosen = {queue: waiting[queue]} if queue is not None else waiting
    output = Output(as_json=as_json)
    if look:
        headers = ["queue", "waiting"]
        rows: list[dict[str, Any]] = [{"queue": name, "waiting": count} for name, count in chosen.items()]
    else:
        headers = ["queue", "put back", "unreadable"]
        rows = [_redrive(deployment, name, count) for name, count in chosen.items()]
    if as_json:
        for row in rows:
            output.json(row)
    else:
        output.table(headers, [[str(value) for value in row.values()] for row in rows])


def _redrive(deployment: Deployment, queue: str, count: int) -> dict[str, Any]:
    done = unreadable = 0
    with progress(queue, count) as bar:
        params: dict[str, Any] | None = None
        more = True
        while more:
            try:
                answer = deployment.ask("POST", f"/v1/dead-letters/{quote(queue, safe='')}/redrive", params=params)
            except TidewireError:
                if done:
                    note(f"{queue}: {done} were put back before that")
                raise
            try:
                redriven, unread = int(answer["redriven"]), int(answer["unreadable"])
                params = {"before_ms": int(answer["before_ms"])}  # what is refused again meanwhile is left
            except (KeyError, TypeError, ValueError):
                raise no_tidewire(deployment.url) from None
            done += redriven
            unreadable += unread
            bar.advance(redriven + unread)
            more = redriven > 0 and bool(answer.get("more"))
    if done + unreadable < count and (left := _waiting(deployment).get(queue)):
        note(f"{queue}: about {left} are left: just taken by somebody else, or counted late; again in a minute")
    return {"queue": queue, "redriven": done, "unreadable": unreadable}


def _waiting(deployment: Deployment) -> dict[str, int]:
    queues = deployment.ask("GET", "/v1/dead-letters").get("queues")
    try:
        return {str(queue["queue"]): int(queue["waiting"]) for queue in queues or ()}
    except (KeyError, TypeError, ValueError):
        raise no_tidewire(deployment.url) from None
