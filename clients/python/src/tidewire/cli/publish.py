"""``tidewire pub``: publish in a channel."""

import uuid
from typing import Annotated, Any

import typer

from tidewire.cli.deployment import Deployment
from tidewire.cli.exit_codes import CommandError, ExitCode
from tidewire.cli.identity import no_tidewire
from tidewire.cli.options import ChannelArgument, JsonOption, PriorityOption, for_deployment
from tidewire.cli.output import Output, progress
from tidewire.cli.publish_lines import publish_lines, show
from tidewire.cli.values import json_or_text
from tidewire.frames import PublishResult


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
        show(output, _publish(deployment, fields))
    elif message_id is not None:
        raise CommandError("--message-id is for one publication, not for the lines of standard input", ExitCode.USAGE)
    else:
        with progress("publishing", beside=output if as_json else None) as bar:
            publish_lines(deployment, fields, output, bar)


def _publish(deployment: Deployment, request: dict[str, Any]) -> PublishResult:
    answer = deployment.ask("POST", "/v1/publish", json=request)
    try:
        return PublishResult.from_wire(answer["results"][0])
    except (KeyError, IndexError, TypeError):
        raise no_tidewire(deployment.url) from None
