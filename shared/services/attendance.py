"""Connections come into channels and leave them. Whether anybody is told is the watch's affair: it is sent a look."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from shared.domain.centrifugo import websocket_id
from shared.domain.connection import CONNECTION_MAX_AGE_S, Connection
from shared.domain.mailbox import is_mailbox
from shared.domain.presence import PRESENCE_GRACE_S, Look, Visit
from shared.ports import ConnectionStore, LookQueue, Metrics, PresenceStore

# A second later than the end of the grace time: both are whole seconds, of two clocks.
_LOOK_AFTER_GRACE_S: Final = PRESENCE_GRACE_S + 1


@dataclass(frozen=True, slots=True)
class Attendance:
    """The set of connections in each channel.

    Every change is written before its look is sent, and the connection's own list of channels tells what there is to be
    written: so whoever is stopped between two steps is made good by the same call again, the client's or the janitor's.
    """

    store: PresenceStore
    connections: ConnectionStore
    looks: LookQueue
    metrics: Metrics
    now_ms: Callable[[], int]

    def enter(self, connection: Connection, channels: Sequence[str]) -> None:
        """Have a subscribed connection be there until it ends, or its token; the look is left to the caller."""
        principal = connection.principal
        if principal is None or not channels:
            return
        ends_s = min(connection.expires_at_s, principal.expires_at_s or connection.expires_at_s)
        connection_id, user_id = connection.connection_id, principal.user_id
        self.store.enter(channels, user_id, connection_id, at_ms=self.now_ms(), expires_at_s=ends_s)
        # If it was unsubscribed meanwhile, or has ended, nobody would find it there later.
        listed = self.connections.attending(connection_id)
        for channel in set(channels) - listed.keys():
            self.store.leave(channel, user_id, connection_id)

    def look(self, channels: Iterable[str], *, came: Visit | None = None) -> None:
        """Have somebody look at once; ``came`` has come into all of them."""
        if looks := [Look(channel, came=came) for channel in channels]:
            self.looks.send(looks)

    @contextmanager
    def leaving(self, connection: Connection, channels: Sequence[str]) -> Iterator[None]:
        """Take a connection out at once; within the block its subscriptions are to go, or to want no presence."""
        if connection.principal is None or not channels:
            yield
            return
        user_id, connection_id = connection.principal.user_id, connection.connection_id
        went = [channel for channel in channels if self.store.leave(channel, user_id, connection_id)]
        visit = Visit(user_id, connection_id)
        self.looks.send([Look(channel, went=visit if channel in went else None) for channel in channels])
        yield
        # A subscription that was under way may have come in between; behind this it finds itself unlisted.
        late = [channel for channel in channels if self.store.leave(channel, user_id, connection_id)]
        # ... unless it came after all of that: then it was its own that has just been taken.
        self.enter(connection, [channel for channel in late if channel in self.connections.attended(connection_id)])
        self.look(late)

    def end(self, connection_id: str, *, found_in: str | None = None) -> Connection | None:
        """As :meth:`left`, and close the connection's record: each connection's end is counted once, by whoever does.

        Args:
            connection_id: Whose.
            found_in: As :meth:`shared.ports.ConnectionStore.close` wants it.

        Returns:
            The record, if this call has closed it; of one that goes by another name, that one's.
        """
        self.left(connection_id)
        closed = self.connections.close(connection_id, found_in=found_in)
        if closed is not None and closed.alias is not None:
            return self.end(closed.alias)
        if closed is not None:
            self.metrics.count("Disconnects")
            if not is_mailbox(websocket_id(connection_id)):
                minutes = (self.now_ms() - closed.connected_at_ms) / 60_000
                self.metrics.billed("WebSocketConnectionMinutes", min(minutes, CONNECTION_MAX_AGE_S / 60))
        # One that was just coming in may have found the record still there.
        at_s = self.now_ms() // 1000 + PRESENCE_GRACE_S
        attended = self.connections.attended(connection_id).items()
        late = [one for one, user_id in attended if self.store.leave(one, user_id, connection_id, at_s=at_s)]
        if late:
            self.looks.send([Look(channel) for channel in late], delay_s=_LOOK_AFTER_GRACE_S)
        return closed

    def left(self, connection_id: str) -> None:
        """Take a connection that has ended out of every channel, in a while: its user may be about to come back.

        To be called before its record is closed: that is where whoever comes later begins to look.
        """
        attended = self.connections.attended(connection_id)
        if not attended:
            return
        at_s = self.now_ms() // 1000 + PRESENCE_GRACE_S
        looks = []
        for channel, user_id in attended.items():
            leaves = self.store.leave(channel, user_id, connection_id, at_s=at_s)
            looks.append(Look(channel, went=Visit(user_id, connection_id) if leaves else None))
        self.looks.send(looks, delay_s=_LOOK_AFTER_GRACE_S)
