"""A channel in a path."""

from typing import Annotated

from fastapi import Depends

from shared.domain.channel import is_channel
from shared.errors import InvalidFieldError


def _channel(channel: str) -> str:
    if not is_channel(channel):
        raise InvalidFieldError("channel: a channel is namespace:name", details={"fields": [{"field": "channel"}]})
    return channel


ChannelPath = Annotated[str, Depends(_channel)]
