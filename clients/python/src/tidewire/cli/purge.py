"""``tidewire purge``: what a channel has, or is kept of a user, is gone for good."""

import sys
from typing import Annotated

import typer

from tidewire.cli.deployment import Deployment
from tidewire.cli.exit_codes import CommandError, ExitCode
from tidewire.cli.options import for_deployment
from tidewire.cli.output import note
from tidewire.cli.paths import channel_path, user_path
from tidewire.cli.printable import printable


@for_deployment(admin=True, with_user=False)
def purge(
    deployment: Deployment,
    channel: Annotated[str | None, typer.Option(metavar="CHANNEL", help="What has been published there.")] = None,
    of_user: Annotated[
        str | None, typer.Option("--user", metavar="USER", help="What was sent to the user: its personal channel.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete a channel's publications, or what was sent to a user. For admins.

    A purged channel begins a new, empty stream; its subscribers start over.

    Example: tidewire purge --channel room:lobby
    """
    if channel is not None and of_user is None:
        what, path = f"all that was published in {channel}", channel_path(channel)
    elif of_user is not None and channel is None:
        what, path = f"all that was sent to {of_user}", user_path(of_user, "data")
    else:
        raise CommandError("give --channel or --user, one of both", ExitCode.USAGE)
    if not yes and not _agreed(f"Delete {what} at {deployment.url}, for good? [y/N] "):
        raise CommandError("nothing was deleted", ExitCode.REFUSED)
    deployment.delete(path)
    note(f"{what} is gone")


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise CommandError("nobody is there to ask: --yes says that you mean it", ExitCode.USAGE)
    sys.stderr.write(printable(question))
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
