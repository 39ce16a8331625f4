"""``tidewire sub``: show what is published, as it comes."""

import asyncio
from typing import Annotated

import typer

from tidewire import Tidewire
from tidewire.cli.deployment import Deployment
from tidewire.cli.following import tell_states, until_first
from tidewire.cli.options import JsonOption, TransportOption, for_deployment
from tidewire.cli.output import Output, note
from tidewire.errors import closed
from tidewire.frames import Event
from tidewire.ways import Way


@for_deployment()
def sub(
    deployment: Deployment,
    channels: Annotated[list[str], typer.Argument(metavar="CHANNEL…", help="One or more, such as room:lobby.")],
    history: Annotated[
        int, typer.Option(min=0, max=300, metavar="N", help="Begin with the latest N of each channel.")
    ] = 0,
    name: Annotated[list[str] | None, typer.Option("--name", "-n", help="Of that name alone; may come again.")] = None,
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="End after so many.")] = None,
    transport: TransportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is published in channels, as it comes.

    After a loss of the connection it goes on where it was: nothing is missing, nothing comes twice. Ctrl-C ends it.
    Columns, where the output is piped: time, channel, sender, name, data.

    Example: tidewire sub room:lobby --history 10
    """
    deployment.check()
    shown = _Shown(Output(as_json=as_json), set(name or ()), count, several=len(set(channels)) > 1)
    asyncio.run(_follow(deployment, dict.fromkeys(channels), history, shown, transport))


class _Shown:
    """What is shown of the events, and how many more are to be."""

    def __init__(self, output: Output, names: set[str], count: int | None, *, several: bool) -> None:
        self._output, self._names, self._left = output, names, count
        self._with_channel = several or not output.for_people

    def show(self, event: Event) -> bool:
        """Show it, unless it is of a name that isn't asked for; return whether there is to be no more."""
        if self._left == 0:
            return True
        if not self._names or event.name in self._names:
            self._output.event(event, with_channel=self._with_channel)
            self._left = None if self._left is None else self._left - 1
        return self._left == 0


async def _follow(
    deployment: Deployment,
    channels: dict[str, None],
    history: int,
    shown: _Shown,
    transport: Way | None,
) -> None:
    async with deployment.client(transport) as client:
        tell_states(client)
        await until_first(client, *(_channel(client, channel, history, shown) for channel in channels))


async def _channel(client: Tidewire, name: str, history: int, shown: _Shown) -> None:
    channel = client.channel(name)
    channel.on_reset(lambda _position: note(f"{name} started over: more was missed than is kept"))
    events = channel.events()
    for event in await channel.subscribe(history=history):
        if shown.show(event):
            return
    async for event in events:
        if shown.show(event):
            return
    raise closed("the channel was left")
