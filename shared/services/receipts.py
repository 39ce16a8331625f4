"""Receipts: what became of a publication, told to the user who asked; and the read markers behind one of them.

A receipt goes to every connection of that user: the one that published may have been replaced meanwhile.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.channel import personal_channel
from shared.domain.principal import Principal
from shared.domain.publication import Entry, Publication, StreamPosition
from shared.errors import ForbiddenError, TidewireError
from shared.ports import Broadcast, EventBus, ReadMarkers
from shared.services.history import History

# Receipts of publications further back than this are not sent: one `ack` stays one page of reading.
_READ_RECEIPTS_MAX: Final = 300
_MARKER_KEPT_S: Final = 90 * 86_400


@dataclass(frozen=True, slots=True)
class Receipts:
    """Tells senders."""

    bus: EventBus

    def stored(self, channel: str, epoch: str, entries: Iterable[Entry]) -> list[Broadcast]:
        """Return the receipts of what has its place now."""
        return [
            _receipt(entry.publication, channel, {"status": "stored", "position": _wire(epoch, entry.offset)})
            for entry in entries
            if entry.publication.receipt
        ]

    def failed(self, channel: str, publication: Publication, error: TidewireError) -> None:
        """Tell that a publication will not be stored unless somebody mends what is wrong."""
        if publication.receipt:
            self.bus.put([_receipt(publication, channel, {"status": "failed", "error": error.to_wire()})])

    def read(self, channel: str, reader: str, entries: Sequence[Entry]) -> None:
        """Tell that a user has read these."""
        asked = [entry.publication for entry in entries if entry.publication.receipt]
        if asked:
            self.bus.put([_receipt(p, channel, {"status": "read", "user_id": reader}) for p in asked])


@dataclass(frozen=True, slots=True)
class Reading:
    """Takes ``ack``: how far a user has read."""

    markers: ReadMarkers
    history: History
    receipts: Receipts

    def ack(self, principal: Principal, channel: str, offset: int) -> bool:
        """Move the user's marker; in the personal channel, tell the senders who asked. Return whether it was moved.

        They are told before it moves: should one of both fail, the next ``ack`` tells them again rather than never.

        Raises:
            ForbiddenError: The principal may not be seen there.
        """
        personal = channel == personal_channel(principal.user_id)
        if not personal and not principal.may("presence", channel):
            raise ForbiddenError("the token does not allow to say what was read in this channel")
        end = self.history.streams.existing_end(channel)
        if end is None:
            return False
        # A client may claim anything: nobody has read further than the stream goes.
        position = StreamPosition(end.stream.epoch, min(offset, end.tail.end))
        expires_at_s = self.history.streams.now_ms() // 1000 + _MARKER_KEPT_S
        if personal:
            before = self.markers.offset(channel, principal.user_id, position.epoch)
            first = max(before, position.offset - _READ_RECEIPTS_MAX)
            if first < position.offset:
                read = self.history.between(channel, end, first, position.offset)
                self.receipts.read(channel, principal.user_id, read)
        return self.markers.advance(channel, principal.user_id, position, expires_at_s=expires_at_s)


def _receipt(publication: Publication, channel: str, fields: dict[str, Any]) -> Broadcast:
    receipt = {"type": "receipt", "channel": channel, "message_id": publication.message_id, **fields}
    return Broadcast(personal_channel(publication.user_id), [receipt])


def _wire(epoch: str, offset: int) -> dict[str, Any]:
    return StreamPosition(epoch, offset).to_wire()
