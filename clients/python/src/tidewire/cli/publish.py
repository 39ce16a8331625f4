"""``tidewire pub``: publish in a channel."""

from typing import Annotated

import typer

from tidewire.cli.deployment import Deployment
from tidewire.cli.options import ChannelArgument, JsonOption, PriorityChoice, for_deployment
from tidewire.cli.output import Output
from tidewire.cli.values import json_or_text


@for_deployment()
def pub(
    deployment: Deployment,
    channel: ChannelArgument,
    text: Annotated[
        str,
        typer.Argument(metavar="DATA", help="JSON, else it is a text; - publishes each line of standard input."),
    ],
    name: Annotated[str, typer.Option("--name", "-n", help="What the event is called.")] = "message",
    priority: Annotated[PriorityChoice | None, typer.Option(help="[default: the channel's]")] = None,
    message_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Published once, however often: within 5 minutes.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Publish in a channel.

    Columns: message id, place in the stream (EPOCH:OFFSET) or "accepted", which is stored a moment later.

    Example: tidewire pub room:lobby '{"text": "Hello"}' --name said
    """
