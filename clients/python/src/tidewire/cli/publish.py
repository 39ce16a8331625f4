"""``tidewire pub``: publish in a channel."""

import time
import uuid
from typing import Annotated, Any, Final

import typer

from tidewire.backoff import backoff_ms
from tidewire.cli.deployment import Deployment
from tidewire.cli.exit_codes import CommandError, ExitCode, exit_code_of, told
from tidewire.cli.identity import no_tidewire
from tidewire.cli.lines import read_lines
from tidewire.cli.options import ChannelArgument, JsonOption, PriorityOption, for_deployment
from tidewire.cli.output import Output, complain, note, progress
from tidewire.cli.values import json_or_text
from tidewire.errors import TidewireError
from tidewire.frames import PublishResult

# How long a line is tried again where the server is busy or away: as long as it may take to start anew.
_PATIENCE_S: Final = 120


@for_deployment()
def pub(
    deployment: Deployment,
    channel: ChannelArgument,
    text: Annotated[
        str,
        typer.Argument(metavar="DATA", help="JSON, else it is a text; - publishes each line of standard input."),
    ],
    name: Annotated[str, typer.Option("--name", "-n", help="What the event is called.")] = "message",
    priority: PriorityOption = None,
    message_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Of two with one id within 5 minutes the second is none.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Publish in a channel.

    Prints the place in the stream, EPOCH:OFFSET, or "accepted": stored for good, and in the stream a moment later; then
    the message id. Lines of standard input are published in their order; one that is refused is told and left out.

    Example: tidewire pub room:lobby '{"text": "Hello"}' --name said
    """
    fields: dict[str, Any] = {"channel": channel, "name": name}
    if priority is not None:
        fields["priority"] = priority
    output = Output(as_json=as_json)
    if text != "-":
        fields |= {"data": json_or_text(text), "message_id": message_id or str(uuid.uuid4())}
        _show(output, _publish(deployment, fields))
    elif message_id is not None:
        raise CommandError("--message-id is for one publication, not for the lines of standard input", ExitCode.USAGE)
    else:
        _publish_lines(deployment, fields, output)


def _publish_lines(deployment: Deployment, fields: dict[str, Any], output: Output) -> None:
    done = refused = 0
    with progress("publishing") as bar:
        for number, line in read_lines():
            request = fields | {"data": json_or_text(line), "message_id": str(uuid.uuid4())}
            try:
                # What can't be reached from the first will hardly be later.
                result = _persistently(deployment, request) if done else _publish(deployment, request)
            except TidewireError as error:
                if error.retryable or exit_code_of(error) != ExitCode.REFUSED:
                    note(f"{done} published, up to line {number - 1}")
                    raise
                complain(f"line {number}: {told(error)}")
                refused += 1
                continue
            done += 1
            bar.advance()
            if output.as_json:
                _show(output, result)
    note(f"{done} published" + (f", {refused} refused" if refused else ""))
    if refused:
        raise typer.Exit(ExitCode.REFUSED)


def _persistently(deployment: Deployment, request: dict[str, Any]) -> dict[str, Any]:
    """Publish; again, under the same id, where that may succeed later."""
    until_s = time.monotonic() + _PATIENCE_S
    attempt = 0
    while True:
        try:
            return _publish(deployment, request if attempt == 0 else request | {"retry": True})
        except TidewireError as error:
            after_ms = backoff_ms(attempt) if error.retry_after_ms is None else error.retry_after_ms
            if not error.retryable or time.monotonic() + after_ms / 1000 > until_s:
                raise
        time.sleep(after_ms / 1000)
        attempt += 1


def _publish(deployment: Deployment, request: dict[str, Any]) -> dict[str, Any]:
    results = deployment.ask("POST", "/v1/publish", json=request).get("results")
    if not isinstance(results, list) or not results or not isinstance(results[0], dict):
        raise no_tidewire(deployment.url)
    return results[0]


def _show(output: Output, result: dict[str, Any]) -> None:
    if output.as_json:
        return output.json(result)
    published = PublishResult.from_wire(result)
    place = published.position
    output.line("accepted" if place is None else f"{place.epoch}:{place.offset}", published.message_id)
