"""``tidewire state watch``: show a document, and whenever it changes."""

import asyncio
from typing import Any

from tidewire import Tidewire
from tidewire.cli.deployment import Deployment
from tidewire.cli.following import tell_states, until_first
from tidewire.cli.options import ChannelArgument, JsonOption, KeyArgument, for_deployment
from tidewire.cli.output import Output, data


@for_deployment()
def watch(deployment: Deployment, channel: ChannelArgument, key: KeyArgument, as_json: JsonOption = False) -> None:
    """Show a document, and again whenever it has changed. Ctrl-C ends it.

    Columns: version, value; an empty value: there is no document.

    Example: tidewire state watch room:lobby board
    """
    deployment.check()
    asyncio.run(_follow(deployment, channel, key, Output(as_json=as_json)))


async def _follow(deployment: Deployment, channel: str, key: str, output: Output) -> None:
    async with deployment.client() as client:
        tell_states(client)
        await until_first(client, _document(client, channel, key, output))


async def _document(client: Tidewire, name: str, key: str, output: Output) -> None:
    channel = client.channel(name)
    document = channel.document(key)
    # The version belongs to the value: it is taken with it, not when it is shown.
    changes: asyncio.Queue[tuple[int, Any]] = asyncio.Queue()
    document.on_change(lambda value, changed: changes.put_nowait((changed.version, value)))
    await channel.subscribe()  # raises where the document may not be read
    value = await document.ready()
    shown = document.version
    _show(output, shown, value)
    while True:
        version, value = await changes.get()
        if version > shown:  # the first may come both ways
            shown = version
            _show(output, version, value)


def _show(output: Output, version: int, value: Any) -> None:
    if output.as_json:
        output.json({"version": version, "value": value})
    else:
        output.line(str(version), "" if value is None else data(value))
