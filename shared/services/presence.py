"""What clients ask of presence: come in, go, see who is there, say something of themselves, type."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from shared.domain.connection import Connection
from shared.domain.presence import (
    ACTIVE_AGAIN_MS,
    PRESENCE_DATA_MAX_BYTES,
    TYPING_AGAIN_MS,
    Attendees,
    Look,
    Member,
    Visit,
)
from shared.domain.principal import Principal
from shared.errors import BadFrameError, ForbiddenError, NotSubscribedError, TooLargeError, UnauthenticatedError
from shared.namespaces import PresenceMode
from shared.ports import Broadcast, EventBus
from shared.protocol.encode import to_json
from shared.services.attendance import Attendance
from shared.services.history import PAGE_MAX_BYTES
from shared.services.presence_reader import PresenceReader

# Who repeats a change within this time may do so because its answer got lost, and perhaps its look as well.
_REPEATED_MS: Final = 60_000
_TYPISTS_REMEMBERED: Final = 10_000


class TypingMemory:
    """Who typed just now, as far as this process knows: another one may pass on a repeat, which harms nobody."""

    def __init__(self) -> None:
        # What it said last, and when it was last active, and last idle.
        self._said: OrderedDict[tuple[str, str], tuple[bool, int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def repeats(self, channel: str, user_id: str, active: bool, *, now_ms: int) -> bool:
        """Tell whether it need not be told: active so soon after it was before, or idle so soon after idle.

        Not idle for ever: another process may have heard of the active in between.
        """
        said, active_ms, idle_ms = self._said.get((channel, user_id), (False, 0, 0))
        if active:
            return now_ms - active_ms < TYPING_AGAIN_MS
        return not said and now_ms - idle_ms < TYPING_AGAIN_MS

    def note(self, channel: str, user_id: str, active: bool, *, now_ms: int) -> None:
        """Remember it."""
        with self._lock:
            _, active_ms, idle_ms = self._said.get((channel, user_id), (False, 0, 0))
            self._said[channel, user_id] = (True, now_ms, idle_ms) if active else (False, active_ms, now_ms)
            self._said.move_to_end((channel, user_id))
            if len(self._said) > _TYPISTS_REMEMBERED:
                self._said.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Presence:
    """Who is where, for those who may see."""

    attendance: Attendance
    reader: PresenceReader
    bus: EventBus
    now_ms: Callable[[], int]
    typists: TypingMemory = field(default_factory=TypingMemory)

    def check(self, principal: Principal, channel: str) -> PresenceMode:
        """Return how much of presence the channel has, to a principal who may see it.

        Raises:
            ForbiddenError: The principal may not, or there is none.
        """
        mode = self.reader.namespaces.of(channel).presence
        if mode == "off":
            raise ForbiddenError("this channel has no presence")
        if not principal.may("presence", channel):
            raise ForbiddenError("the token does not allow presence in this channel")
        return mode

    def enter(self, connection: Connection, channel: str, *, again: bool = False) -> Attendees:
        """Have a subscribed connection be seen (``again``: it was); return whom it sees.

        Whoever it sees and others have not been told of, or the other way round, is named to the watch: so all that is
        told from now on leads from what is returned here to what is true.
        """
        self.attendance.enter(connection, [channel])
        attendees = self.reader.store.attendees(channel)
        self._name(channel, attendees)
        if self.reader.namespaces.of(channel).join_leave and not again:
            self._tell_coming(connection, channel, attendees)
        return attendees

    @contextmanager
    def leaving(self, connection: Connection, channel: str) -> Iterator[None]:
        """As :meth:`Attendance.leaving`, if the connection is subscribed with presence."""
        attended = self.attendance.connections.attended(connection.connection_id)
        with self.attendance.leaving(connection, [channel] if channel in attended else []):
            yield

    def result(self, channel: str, attendees: Attendees, *, max_bytes: int) -> dict[str, Any]:
        """Return what ``subscribe`` has as ``presence``."""
        if self.reader.numbers_alone(channel, attendees):
            return self.reader.number(attendees)
        return self.reader.page(channel, attendees, max_bytes=max_bytes)

    def get(self, principal: Principal, channel: str, after: str = "") -> dict[str, Any]:
        """Return the result of ``presence.get``: also in large channels, but for those where only numbers are told.

        Raises:
            ForbiddenError: The principal may not see who is there.
        """
        mode, attendees = self.who(principal, channel)
        if mode == "count":
            return self.reader.number(attendees)
        return self.reader.page(channel, attendees, after=after, max_bytes=PAGE_MAX_BYTES)

    def who(self, principal: Principal, channel: str) -> tuple[PresenceMode, Attendees]:
        """Return who is there, and how much of that may be told.

        Raises:
            ForbiddenError: The principal may not see who is there.
        """
        mode = self.check(principal, channel)
        attendees = self.reader.store.attendees(channel)
        numbers = self.reader.numbers_alone(channel, attendees)
        if attendees.told.count != len(attendees.members) if numbers else attendees.untold:
            self._name(channel, attendees)  # a look got lost, or is on its way
        return mode, attendees

    def update(self, connection: Connection, channel: str, said: Mapping[str, Any]) -> None:
        """Change the user's ``status``, ``active`` or ``data``, for all of its connections.

        Raises:
            ForbiddenError: The principal may not be seen there, or nobody is.
            NotSubscribedError: The connection is not there.
            TooLargeError: The data is.
        """
        if "data" in said:
            _check_data(said["data"])
        member = self._member(connection, channel)
        now_ms = self.now_ms()
        changed = {name: value for name, value in said.items() if not _same(getattr(member, name), value)}
        active_ms = now_ms if "active" in said else None
        store = self.reader.store
        if changed:
            store.update(channel, member.user_id, changed, active_at_ms=active_ms, at_ms=now_ms)
        elif said.get("active") and now_ms - member.last_active_at_ms >= ACTIVE_AGAIN_MS:
            store.update(channel, member.user_id, {}, active_at_ms=active_ms, at_ms=now_ms)
        if changed or now_ms - member.changed_at_ms < _REPEATED_MS:
            self.attendance.look([channel])

    def typing(self, connection: Connection, channel: str, active: bool) -> None:
        """Tell the others who see, unless they have just been told; where there are too many for that, nobody.

        Raises:
            ForbiddenError: The principal may not be seen there, or nobody is.
            NotSubscribedError: The connection is not there.
        """
        principal = connection.principal
        now_ms = self.now_ms()
        if principal and self.typists.repeats(channel, principal.user_id, active, now_ms=now_ms):
            return
        member = self._member(connection, channel)
        if not self.reader.store.told(channel).counted:
            frame = {"type": "typing", "channel": channel, "user_id": member.user_id, "active": active}
            self.bus.put([Broadcast(channel, [frame], interest="presence", but=connection.connection_id)])
        self.typists.note(channel, member.user_id, active, now_ms=now_ms)

    def acked(self, principal: Principal, channel: str) -> None:
        """Have others see how far the user has read, if it is there to be seen."""
        if self.reader.namespaces.of(channel).presence != "members" or not principal.may("presence", channel):
            return
        if self.reader.store.member(channel, principal.user_id).connection_ids:
            self.attendance.looks.send([Look(channel, (principal.user_id,))])

    def _member(self, connection: Connection, channel: str) -> Member:
        if connection.principal is None:
            raise UnauthenticatedError
        if self.check(connection.principal, channel) == "count":
            raise ForbiddenError("in this channel nobody is told more than how many there are")
        member = self.reader.store.member(channel, connection.principal.user_id)
        if connection.connection_id not in member.connection_ids:
            raise NotSubscribedError("subscribe to this channel with presence first")
        return member

    def _tell_coming(self, connection: Connection, channel: str, attendees: Attendees) -> None:
        """Tell the other connections, if there are any: at once, since the look would tell who came after, too."""
        here = {one for member in attendees.members.values() for one in member.connection_ids}
        if connection.principal is None or not here - {connection.connection_id}:
            return
        visit = Visit(connection.principal.user_id, connection.connection_id)
        frames = [visit.to_push(channel, "join")]
        self.bus.put([Broadcast(channel, frames, interest="connections", but=connection.connection_id)])

    def _name(self, channel: str, attendees: Attendees) -> None:
        """Have those told of again about whom this reader and the subscribers do not agree."""
        counted = self.reader.numbers_alone(channel, attendees)
        look = Look(channel) if counted else Look(channel, tuple(attendees.untold), attendees.told.version)
        self.attendance.looks.send([look])


def _check_data(data: Any) -> None:
    try:
        size = len(to_json(data))
    except ValueError:
        raise BadFrameError("data has a number that is not finite") from None
    if size > PRESENCE_DATA_MAX_BYTES:
        limit = PRESENCE_DATA_MAX_BYTES
        raise TooLargeError(f"a member's data has at most {limit} bytes", details={"max_bytes": limit})


def _same(one: Any, other: Any) -> bool:
    """Compare as JSON: to Python ``True`` is 1, and 1 is 1.0."""
    return to_json(one) == to_json(other)
