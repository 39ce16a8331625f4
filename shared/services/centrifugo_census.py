"""Which channels there are, for servers that ask as they ask Centrifugo: read from who is connected."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import translate
from typing import Any, Final

from shared.domain.centrifugo import to_name
from shared.domain.channel import personal_channel
from shared.domain.principal import Principal
from shared.protocol.centrifugo import codes
from shared.services.centrifugo_reading import RefusedReplyError
from shared.services.connection_list import ConnectionList, Listed

# Each has 100 to 200 connections that live, or 1,000 that were looked at: some 430 read units (docs/data-model.md).
_PAGES_MAX: Final = 10
_CHANNELS_MAX: Final = 10_000  # of at most 200 characters: an answer of a function has at most 6 MB
# What it goes by: SDKs and dashboards look for a node.
_NODE: Final = {"uid": "tidewire", "name": "tidewire", "version": "tidewire"}


@dataclass(frozen=True, slots=True)
class CentrifugoCensus:
    """Counts. Nothing is kept up to date for it: who asks pays for the walk."""

    connection_list: ConnectionList

    def channels(self, principal: Principal, pattern: str) -> dict[str, Any]:
        """Return the channels that somebody is subscribed to, and how many connections.

        Args:
            principal: Who asks.
            pattern: ``*``, ``?`` and ``[…]`` stand for others; empty for all channels.

        Raises:
            ForbiddenError: The principal is no admin.
            RefusedReplyError: There are too many.
        """
        matches = re.compile(translate(pattern)).match if pattern else bool
        named = {to_name(channel): count for channel, count in _subscriptions(self._connected(principal)).items()}
        found = {name: {"num_clients": named[name]} for name in sorted(named) if matches(name)}
        if len(found) > _CHANNELS_MAX:
            raise RefusedReplyError(codes.LIMIT_EXCEEDED)
        return {"channels": found}

    def info(self, principal: Principal) -> dict[str, Any]:
        """Return one node, with everybody on it; see :meth:`channels`."""
        connected = self._connected(principal)
        subscriptions = _subscriptions(connected)
        users = {one.connection.principal.user_id for one in connected.values() if one.connection.principal}
        counts = {
            "num_clients": len(connected),
            "num_users": len(users),
            "num_channels": len(subscriptions),
            "num_subs": sum(subscriptions.values()),
        }
        return {"nodes": [_NODE | counts]}

    def _connected(self, principal: Principal) -> Mapping[str, Listed]:
        """Return who is connected and has said who they are, by connection."""
        found: dict[str, Listed] = {}
        after: str | None = None
        for _ in range(_PAGES_MAX):
            page, after = self.connection_list.page(principal, after)
            found |= {one.connection.connection_id: one for one in page if one.connection.principal is not None}
            if after is None:
                return found
        raise RefusedReplyError(codes.LIMIT_EXCEEDED)


def _subscriptions(connected: Mapping[str, Listed]) -> Counter[str]:
    """Return how many connections each channel has; every one has its user's personal channel."""
    counted: Counter[str] = Counter()
    for one in connected.values():
        assert one.connection.principal is not None
        counted.update({*one.channels, personal_channel(one.connection.principal.user_id)})
    return counted
