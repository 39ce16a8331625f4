"""A channel in a path."""

from typing import Annotated

from fastapi import Depends, Path

from shared.domain.channel import CHANNEL_MAX_LENGTH, is_channel
from shared.errors import InvalidFieldError

# Told, not checked: a pattern of FastAPI's own would refuse with other words.
_DESCRIBED = {"pattern": "^[A-Za-z0-9_.~%-]+:[A-Za-z0-9_.:~%-]+$", "maxLength": CHANNEL_MAX_LENGTH}


def _channel(channel: Annotated[str, Path(json_schema_extra=_DESCRIBED)]) -> str:
    if not is_channel(channel):
        raise InvalidFieldError("channel: a channel is namespace:name", details={"fields": [{"field": "channel"}]})
    return channel


ChannelPath = Annotated[str, Depends(_channel)]
