"""Read who is in a channel: members with how far they have read, in pages that fit a frame."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.presence import Attendees
from shared.namespaces import Namespaces
from shared.ports import PresenceStore, ReadMarkers, StreamStore
from shared.protocol.encode import to_json
from shared.services.history import PAGE_MAX_BYTES

# More than fit: the shortest member has 110 bytes.
_PAGE_MAX_MEMBERS: Final = 300


@dataclass(frozen=True, slots=True)
class PresenceReader:
    """Members, as frames have them."""

    store: PresenceStore
    markers: ReadMarkers
    streams: StreamStore
    namespaces: Namespaces

    def offsets(self, channel: str, user_ids: Iterable[str]) -> Mapping[str, int]:
        """Return how far these have read the channel's current stream; those who have not lack."""
        users = sorted(set(user_ids))
        stream = self.streams.stream(channel) if users else None
        return self.markers.offsets(channel, users, stream.epoch) if stream else {}

    def numbers_alone(self, channel: str, attendees: Attendees) -> bool:
        """Tell whether subscribers are told how many there are, and no more."""
        return self.namespaces.of(channel).presence == "count" or attendees.counted

    def page(
        self, channel: str, attendees: Attendees, *, after: str = "", max_bytes: int = PAGE_MAX_BYTES
    ) -> dict[str, Any]:
        """Return the members behind ``after``, by user, as many as fit; and how many there are in all."""
        users = sorted(user_id for user_id in attendees.members if user_id > after)
        page: dict[str, Any] = {"members": [], "count": len(attendees.members), "version": attendees.told.version}
        some = users[:_PAGE_MAX_MEMBERS]
        offsets = self.offsets(channel, some)
        left = max_bytes
        for user_id in some:
            member = attendees.members[user_id].to_wire(offsets.get(user_id, 0))
            left -= len(to_json(member)) + 1
            if left < 0:
                return page | {"more": True}
            page["members"].append(member)
        return page | {"more": True} if len(users) > len(some) else page

    def number(self, attendees: Attendees) -> dict[str, Any]:
        """Return how many there are, and nobody's name."""
        return {"members": [], "count": len(attendees.members), "version": attendees.told.version}
