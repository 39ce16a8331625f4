"""Paths of the HTTP API: names in them are percent-encoded."""

from typing import Final
from urllib.parse import quote

from tidewire.cli.exit_codes import CommandError, ExitCode

_STEPS: Final = (".", "..")


def channel_path(channel: str, *parts: str) -> str:
    """Return the path of a channel, or of something below it.

    Raises:
        CommandError: A part can't be a name: it would lead to something else.
    """
    return "/".join(["/v1/channels", *(name_in_path(part) for part in (channel, *parts))])


def name_in_path(name: str) -> str:
    """Return a name as one step of a path.

    Raises:
        CommandError: It is empty, has a slash, or is one of those that lead up: nothing has such a name.
    """
    if not name or name in _STEPS or "/" in name:
        raise CommandError(f"nothing can be called {name!r}", ExitCode.USAGE)
    return quote(name, safe="")


def user_path(user_id: str, part: str) -> str:
    """Return the path of something of a user's, whose id may be any text."""
    # As they are, "." and ".." would be taken for steps.
    encoded = user_id.replace(".", "%2E") if user_id in _STEPS else quote(user_id, safe="")
    return f"/v1/users/{encoded}/{part}"
