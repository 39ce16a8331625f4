"""``tidewire presence``: who is in a channel."""

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from tidewire.cli.deployment import Deployment
from tidewire.cli.identity import no_tidewire
from tidewire.cli.options import ChannelArgument, JsonOption, for_deployment
from tidewire.cli.output import Output, data, note
from tidewire.cli.paths import channel_path
from tidewire.cli.printable import printable
from tidewire.frames import Member


@for_deployment()
def presence(deployment: Deployment, channel: ChannelArgument, as_json: JsonOption = False) -> None:
    """Show who is in a channel.

    Columns: user, status, active or idle, connections, since when it is idle or active, data.

    Example: tidewire presence room:lobby
    """
    output = Output(as_json=as_json)
    wire = list(_members(deployment, channel))
    if as_json:
        for member in wire:
            output.json(member)
        return
    try:
        members = [Member.from_wire(member) for member in wire]
    except (KeyError, TypeError, AttributeError):
        raise no_tidewire(deployment.url) from None
    if output.for_people and not members:
        note(f"nobody is in {channel}")
    elif members:
        output.table(
            ["user", "status", "", "connections", "last active", "data"], [_row(output, member) for member in members]
        )


def _row(output: Output, member: Member) -> list[str | Text]:
    return [
        Text(printable(member.user_id), "cyan"),
        Text(printable(str(member.status)), "green" if member.status == "online" else "yellow"),
        "active" if member.active else "idle",
        str(member.connections),
        output.moment(member.last_active_at_ms),
        Text() if member.data is None else data(member.data),
    ]


def _members(deployment: Deployment, channel: str) -> Iterator[dict[str, Any]]:
    """Yield all members, page by page."""
    after = ""
    while True:
        page = deployment.ask("GET", channel_path(channel, "presence"), params={"after": after} if after else None)
        members = page.get("members")
        if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
            raise no_tidewire(deployment.url)
        yield from members
        if not page.get("more") or not members:
            return
        after = str(members[-1].get("user_id"))
