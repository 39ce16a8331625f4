"""Channel names: their form, their namespace, and the two channels that everybody has."""

import re
from typing import Final
from urllib.parse import quote

CHANNEL_MAX_LENGTH: Final = 200
# namespace ":" name, of the alphabet in docs/protocol.md section 1. \Z, since $ would let a final newline through.
_CHANNEL = re.compile(r"[A-Za-z0-9_.~%-]+:[A-Za-z0-9_.:~%-]+\Z")
_PREFIX = re.compile(r"[A-Za-z0-9_.:~%-]*\Z")

BROADCAST_CHANNEL: Final = "broadcast:all"
BROADCAST_NAMESPACE: Final = "broadcast"
PERSONAL_NAMESPACE: Final = "user"
USER_ID_MAX_LENGTH: Final = 128


def is_channel(name: str) -> bool:
    """Tell whether ``name`` may name a channel."""
    return len(name) <= CHANNEL_MAX_LENGTH and _CHANNEL.match(name) is not None


def is_pattern(text: str) -> bool:
    """Tell whether ``text`` is a channel, or the beginning of some and ``*``."""
    return _PREFIX.match(text[:-1]) is not None if text.endswith("*") else is_channel(text)


def matches(pattern: str, target: str) -> bool:
    """Tell whether the pattern is ``target``, or ends in ``*`` and ``target`` begins with what stands before it.

    Only a trailing ``*`` of the *pattern* is special: the target's characters never are.
    """
    return target.startswith(pattern[:-1]) if pattern.endswith("*") else target == pattern


def namespace_of(channel: str) -> str:
    """Return the part before the first colon: it picks the settings."""
    return channel.partition(":")[0]


def personal_channel(user_id: str) -> str:
    """Return the channel that every connection of the user is subscribed to.

    ``quote`` leaves ``A-Za-z0-9_.~-`` alone: just what the protocol asks.
    """
    return f"{PERSONAL_NAMESPACE}:{quote(user_id, safe='')}"


def is_user_id(user_id: str) -> bool:
    """Tell whether the user can be addressed: not empty, its personal channel is a channel, and paths can name it.

    A lone surrogate can't be encoded, so it can't name anybody. Clients take ``.`` and ``..`` out of paths, encoded or
    not: url.spec.whatwg.org/#double-dot-path-segment.
    """
    if not 0 < len(user_id) <= USER_ID_MAX_LENGTH or user_id in (".", ".."):
        return False
    try:
        return is_channel(personal_channel(user_id))
    except UnicodeEncodeError:
        return False
