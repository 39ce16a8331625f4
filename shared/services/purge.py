"""Purge a channel: its stream ends, and a new one begins empty."""

from dataclasses import dataclass

from shared.domain.channel import personal_channel
from shared.domain.principal import Principal
from shared.ports import Broadcast, EventBus
from shared.services.admin import check_admin
from shared.services.streams import Streams


@dataclass(frozen=True, slots=True)
class Purge:
    """What is purged is read by nobody from then on; time deletes it."""

    streams: Streams
    bus: EventBus

    def purge(self, principal: Principal, channel: str) -> None:
        """End the channel's stream and have its subscribers begin anew. A channel that never was has nothing to purge.

        Raises:
            ForbiddenError: The principal is no admin.
            ContentionError: The channel is too busy just now.
        """
        check_admin(principal)
        self.streams.purge(channel)
        notice = {"type": "system", "event": "resubscribe", "channel": channel, "reason": "purged"}
        self.bus.put([Broadcast(channel, [notice])])

    def purge_user(self, principal: Principal, user_id: str) -> None:
        """As :meth:`purge`, the user's personal channel."""
        self.purge(principal, personal_channel(user_id))
