"""``tidewire history``: what is kept of a channel."""

from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from tidewire.cli.deployment import Deployment
from tidewire.cli.identity import no_tidewire
from tidewire.cli.options import ChannelArgument, JsonOption, for_deployment
from tidewire.cli.output import Output, note, progress
from tidewire.cli.paths import channel_path
from tidewire.frames import HistoryResult, Position

_PAGE_MAX: Final = 300


def position(text: str) -> Position:
    """Return the position that ``EPOCH:OFFSET`` is.

    Raises:
        typer.BadParameter: It is none.
    """
    epoch, _, offset = text.rpartition(":")
    if not epoch or not offset.isdecimal() or not offset.isascii() or len(offset) > 15:
        raise typer.BadParameter(f"{text!r} is no position such as {'EPOCH:OFFSET'}")
    return Position(epoch, int(offset))


@for_deployment()
def history(
    deployment: Deployment,
    channel: ChannelArgument,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many at most.")] = 50,
    since: Annotated[
        Position | None,
        typer.Option(parser=position, metavar="EPOCH:OFFSET", help="After this place; with --reverse before it."),
    ] = None,
    reverse: Annotated[bool, typer.Option(help="The latest first; else the oldest.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is kept of a channel.

    Columns, where the output is piped: time, place (for --since), sender, name, data.

    Example: tidewire history room:lobby --reverse --limit 10
    """
    output = Output(as_json=as_json)
    with progress("reading", beside=output) as bar:
        left = None if everything else limit
        for page in pages(deployment, channel, left, since, reverse=reverse):
            if everything:
                bar.of(page.position.offset - (since.offset if since and not reverse else 0))
            bar.advance(len(page.publications))
            for event in page.publications:
                output.event(event, with_channel=False, with_position=True)


def pages(
    deployment: Deployment, channel: str, left: int | None, since: Position | None, *, reverse: bool
) -> Iterator[HistoryResult]:
    """Read page by page: ``left`` publications at most, or all."""
    while left is None or left > 0:
        page = _page(deployment, channel, min(left or _PAGE_MAX, _PAGE_MAX), since, reverse=reverse)
        if since is not None and page.position.epoch != since.epoch:
            note(f"the stream has started over: of {since.epoch} nothing is left, now it is {page.position.epoch}")
        yield page
        if not page.more or not page.publications:
            return
        since = page.publications[-1].position
        left = None if left is None else left - len(page.publications)


def _page(deployment: Deployment, channel: str, limit: int, since: Position | None, *, reverse: bool) -> HistoryResult:
    params: dict[str, Any] = {"limit": limit, "reverse": reverse}
    if since is not None:
        params |= {"since_epoch": since.epoch, "since_offset": since.offset}
    answer = deployment.ask("GET", channel_path(channel, "history"), params=params)
    try:
        return HistoryResult.from_wire(answer)
    except (KeyError, TypeError, AttributeError):
        raise no_tidewire(deployment.url) from None
