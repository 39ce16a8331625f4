"""Paths of the HTTP API: names in them are percent-encoded."""

from urllib.parse import quote


def channel_path(channel: str, *parts: str) -> str:
    """Return the path of a channel, or of something below it."""
    return "/".join(["/v1/channels", *(quote(part, safe="") for part in (channel, *parts))])


def user_path(user_id: str, part: str) -> str:
    """Return the path of something of a user's."""
    return f"/v1/users/{quote(user_id, safe='')}/{part}"
