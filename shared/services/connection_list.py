"""Lists the connections that live, for admins."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from shared.domain.centrifugo import websocket_id
from shared.domain.connection import CHECK_AFTER_S, Connection
from shared.domain.mailbox import Way, is_mailbox
from shared.domain.principal import Principal
from shared.errors import InvalidFieldError
from shared.ports import ConnectionStore, MailboxStore, Signer
from shared.services.admin import check_admin
from shared.services.janitor import LOOK_BACK_MINUTES

PAGE_MAX: Final = 200
_CURSOR: Final = "connections"
# So many are looked at together, and so many for one page: most that are due may have been closed long ago.
_TOGETHER: Final = 100
_LOOKED_AT_MAX: Final = 1_000
# The furthest that somebody is reminded of, and one for clocks that differ.
_AHEAD_MINUTES: Final = CHECK_AFTER_S // 60 + 2


Transport = Way | Literal["websocket"]
_Found = tuple[Connection, Transport | None]


@dataclass(frozen=True, slots=True)
class Listed:
    """A connection that lives.

    Attributes:
        transport: ``None`` for a session that nobody has read yet.
        channels: Those that it has subscribed to, in order; not those that every connection has.
    """

    connection: Connection
    transport: Transport | None
    channels: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Place:
    """How far somebody has come: down to the id in this minute, on the way to the first one."""

    first: int
    minute: int
    after: str


@dataclass(frozen=True, slots=True)
class ConnectionList:
    """Walks the minutes in which connections are due, from the last one back: each that lives is in one of them.

    One that the janitor has just put off is in two. It is listed once a page, and in general once in all: a page begins
    where the one before has ended, and the first tells which minutes all of them walk. Nobody who stays is missed.
    """

    connections: ConnectionStore
    mailboxes: MailboxStore
    signer: Signer
    executor: Executor
    now_ms: Callable[[], int]

    def page(self, principal: Principal, after: str | None) -> tuple[Sequence[Listed], str | None]:
        """Return some connections, 200 at most, the newest first, and where to go on, if there may be more.

        Raises:
            ForbiddenError: The principal is no admin.
            InvalidFieldError: ``after`` is not what a page before has returned.
        """
        check_admin(principal)
        place = self._beginning() if after is None else self._place(after)
        found: dict[str, _Found] = {}
        looked_at = 0
        for reached, connection_ids in self._walk(place):
            found |= self._living(connection_ids)
            looked_at += len(connection_ids)
            if len(found) > PAGE_MAX - _TOGETHER or looked_at >= _LOOKED_AT_MAX:
                return self._listed(found), self.signer.sign(_CURSOR, [reached.first, reached.minute, reached.after])
        return self._listed(found), None

    def _beginning(self) -> _Place:
        minute = self.now_ms() // 60_000
        first = max(self.connections.swept_minute() + 1, minute - LOOK_BACK_MINUTES)
        return _Place(first, minute + _AHEAD_MINUTES, "")

    def _place(self, after: str) -> _Place:
        fields = self.signer.open(_CURSOR, after)
        if fields is None:
            raise InvalidFieldError("after: pass the next of a page as it is", details={"fields": [{"field": "after"}]})
        return _Place(int(fields[0]), int(fields[1]), str(fields[2]))

    def _walk(self, place: _Place) -> Iterator[tuple[_Place, Sequence[str]]]:
        """Yield connections, some together, each time with the place behind them."""
        after = place.after
        for minute in range(place.minute, place.first - 1, -1):
            due = self.connections.due(minute, after=after, at_a_time=_TOGETHER)
            while some := list(islice(due, _TOGETHER)):
                yield _Place(place.first, minute, some[-1]), some
            after = ""

    def _living(self, connection_ids: Sequence[str]) -> dict[str, _Found]:
        there = dict(self.connections.get_all(connection_ids))
        aliases = {one: found.alias for one, found in there.items() if found.alias is not None}
        if aliases:
            there |= self.connections.get_all(list(aliases.values()))
            for one in aliases:
                del there[one]
        mailboxes = self.mailboxes.get_all([one for one in map(websocket_id, there) if is_mailbox(one)])
        now_s = self.now_ms() // 1000
        living: dict[str, _Found] = {}
        for connection_id, connection in there.items():
            if not is_mailbox(websocket_id(connection_id)):
                living[connection_id] = connection, "websocket"
            elif (mailbox := mailboxes.get(websocket_id(connection_id))) and not mailbox.gone(now_s):
                living[connection_id] = connection, mailbox.way
        return living

    def _listed(self, found: dict[str, _Found]) -> list[Listed]:
        channels = self.executor.map(self.connections.subscriptions, found)
        listed = [
            Listed(connection, transport, sorted(subscribed))
            for (connection, transport), subscribed in zip(found.values(), channels, strict=True)
        ]
        return sorted(listed, key=lambda one: one.connection.connected_at_ms, reverse=True)
