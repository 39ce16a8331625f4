"""Follow one channel's log, without a session: for a quick look."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shared.domain.principal import Principal
from shared.domain.publication import StreamPosition
from shared.errors import ForbiddenError, UnauthenticatedError
from shared.ports import Signer
from shared.protocol.encode import to_json
from shared.services.authentication import Authentication
from shared.services.history import History
from shared.services.mailbox_reader import Read

_CURSOR: Final = "channel cursor"
_PAGE: Final = 100
_TRUST_S: Final = 3_600  # where a token has no end


@dataclass(frozen=True, slots=True)
class Onlooker:
    """Who follows a channel.

    Attributes:
        until_s: When the token ends by which it may.
        issued_at_s: When that was issued.
    """

    user_id: str
    channel: str
    until_s: int
    issued_at_s: int


@dataclass(frozen=True, slots=True)
class ChannelTail:
    """Reads what is appended to a channel."""

    history: History
    signer: Signer
    authentication: Authentication
    now_ms: Callable[[], int]

    def admit(self, principal: Principal, channel: str) -> Onlooker:
        """Let somebody look on, for as long as the token lives, or for an hour.

        Raises:
            ForbiddenError: The token does not allow it.
        """
        if not principal.may_receive("subscribe", channel):
            raise ForbiddenError("the token does not allow to subscribe to this channel")
        until_s = principal.expires_at_s or self._now_s() + _TRUST_S
        return Onlooker(principal.user_id, channel, until_s, principal.issued_at_s)

    def known(self, cursor: str, channel: str) -> Onlooker | None:
        """Return to whom this channel's cursor was given, or ``None`` if it is none, too old, or revoked by now."""
        fields = self.signer.open(_CURSOR, cursor)
        if fields is None or fields[0] != channel or int(fields[2]) <= self._now_s():
            return None
        onlooker = Onlooker(str(fields[1]), channel, int(fields[2]), int(fields[3]))
        return None if self.authentication.revoked(onlooker.user_id, onlooker.issued_at_s) else onlooker

    def check(self, onlooker: Onlooker) -> None:
        """Check that the token has not been revoked.

        Raises:
            UnauthenticatedError: It has.
        """
        self.authentication.check(onlooker.user_id, onlooker.issued_at_s)

    def begin(self, onlooker: Onlooker, cursor: str | None) -> StreamPosition:
        """Return where to begin: behind the cursor, else at the end.

        Raises:
            ForbiddenError: The cursor is another user's, or another channel's.
        """
        if cursor is None:
            return self.history.streams.position(self.history.streams.end(onlooker.channel))
        fields = self.signer.open(_CURSOR, cursor)
        if fields is None or list(fields[:2]) != [onlooker.channel, onlooker.user_id]:
            raise ForbiddenError("the cursor is not this channel's")
        return StreamPosition(str(fields[4]), int(fields[5]))

    def read(self, onlooker: Onlooker, position: StreamPosition) -> tuple[StreamPosition, list[Read]]:
        """Return what was appended behind a position, and how far that goes; a new stream from its beginning.

        Raises:
            UnauthenticatedError: The token has ended.
        """
        if onlooker.until_s <= self._now_s():
            raise UnauthenticatedError("the token has expired")
        end = self.history.behind(onlooker.channel, position)
        if end is None:
            return position, []
        if end.epoch != position.epoch:
            position = StreamPosition(end.epoch, 0)
        _, page = self.history.read(onlooker.channel, position, limit=_PAGE, reverse=False)
        reads = []
        for publication in page.publications:
            position = StreamPosition(position.epoch, publication["offset"])
            whose = (onlooker.channel, onlooker.user_id, onlooker.until_s, onlooker.issued_at_s)
            cursor = self.signer.sign(_CURSOR, (*whose, position.epoch, position.offset))
            reads.append(Read(to_json({"type": "event", **publication}).decode(), cursor))
        return position, reads

    def _now_s(self) -> int:
        return self.now_ms() // 1000
