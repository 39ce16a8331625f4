"""Follow one channel's log, without a session: for a quick look."""

from dataclasses import dataclass
from typing import Final

from shared.domain.publication import StreamPosition
from shared.errors import ForbiddenError
from shared.ports import Signer
from shared.protocol.encode import to_json
from shared.services.history import History
from shared.services.mailbox_reader import Read

_CURSOR: Final = "channel cursor"
_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class ChannelTail:
    """Reads what is appended to a channel."""

    history: History
    signer: Signer

    def begin(self, channel: str, user_id: str, cursor: str | None) -> StreamPosition:
        """Return where to begin: behind the cursor, else at the end.

        Raises:
            ForbiddenError: The cursor is another user's, or another channel's.
        """
        if cursor is None:
            return self.history.streams.position(self.history.streams.end(channel))
        fields = self.signer.open(_CURSOR, cursor)
        if fields is None or list(fields[:2]) != [channel, user_id]:
            raise ForbiddenError("the cursor is not this channel's")
        return StreamPosition(str(fields[2]), int(fields[3]))

    def user_of(self, cursor: str, channel: str) -> str | None:
        """Return whom this channel's cursor was given to, or ``None`` if it is none."""
        fields = self.signer.open(_CURSOR, cursor)
        return str(fields[1]) if fields and fields[0] == channel else None

    def read(self, channel: str, user_id: str, position: StreamPosition) -> tuple[StreamPosition, list[Read]]:
        """Return what was appended behind a position, and how far that goes; a new stream from its beginning."""
        end = self.history.behind(channel, position)
        if end is None:
            return position, []
        if end.epoch != position.epoch:
            position = StreamPosition(end.epoch, 0)
        _, page = self.history.read(channel, position, limit=_PAGE, reverse=False)
        reads = []
        for publication in page.publications:
            position = StreamPosition(position.epoch, publication["offset"])
            cursor = self.signer.sign(_CURSOR, (channel, user_id, position.epoch, position.offset))
            reads.append(Read(to_json({"type": "event", **publication}).decode(), cursor))
        return position, reads
