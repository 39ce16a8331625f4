"""Names where Centrifugo's protocol is spoken: of connections, and of channels (docs/adr/0024-centrifugo.md)."""

import re
from collections.abc import Set
from typing import Final
from urllib.parse import quote, unquote

from shared.domain.channel import PERSONAL_NAMESPACE, is_channel, personal_channel

# API Gateway makes no such ids: its are base64.
_PREFIX: Final = "centrifugo."
# Where their channels are that have no namespace.
NAMESPACE: Final = "centrifugo"
# centrifugal.dev/docs/server/configuration: channel.max_length
CHANNEL_NAME_MAX_LENGTH: Final = 255
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9_.:~%-]+")
_ENCODED: Final = re.compile(r"(?:%[0-9A-F]{2})+")


def is_centrifugo(connection_id: str) -> bool:
    """Tell whether it is the name of a connection that speaks Centrifugo's protocol."""
    return connection_id.startswith(_PREFIX)


def centrifugo_id(websocket_id: str) -> str:
    """Return the name that a WebSocket, or a mailbox, goes by when it speaks Centrifugo's protocol."""
    return _PREFIX + websocket_id


def websocket_id(connection_id: str) -> str:
    """Return the gateway's id of a connection, or its mailbox's, whatever it goes by."""
    return connection_id.removeprefix(_PREFIX)


def to_channel(name: str) -> str | None:
    """Return the channel that their name means; ``None`` if it means none.

    One to one: a name that :func:`to_name` would not give back is none.
    """
    try:
        channel = _channel(name)
    except UnicodeEncodeError:  # a lone surrogate
        return None
    return channel if is_channel(channel) and to_name(channel) == name else None


def _channel(name: str) -> str:
    if name.startswith("#") and "," not in name and "#" not in name[1:]:
        return personal_channel(name[1:])
    namespace, colon, rest = name.partition(":")
    return f"{_encoded(namespace)}:{_encoded(rest)}" if colon else f"{NAMESPACE}:{_encoded(name)}"


def to_name(channel: str) -> str:
    """Return what they call a channel."""
    namespace, _, rest = channel.partition(":")
    if namespace == PERSONAL_NAMESPACE:
        return f"#{unquote(rest)}"
    return _decoded(rest) if namespace == NAMESPACE else f"{_decoded(namespace)}:{_decoded(rest)}"


def users_of(name: str) -> Set[str] | None:
    """Return the users that a name lists behind its last ``#``: nobody else may subscribe. ``None``: it lists none."""
    _, boundary, users = name.rpartition("#")
    return frozenset(users.split(",")) if boundary else None


def _encoded(text: str) -> str:
    return _FOREIGN.sub(lambda found: quote(found.group(), safe=""), text)


def _decoded(text: str) -> str:
    return _ENCODED.sub(lambda found: _foreign(found.group()), text)


def _foreign(encoded: str) -> str:
    """Return the text, if it is one that had to be encoded."""
    try:
        text = unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        return encoded
    return text if _FOREIGN.fullmatch(text) else encoded
