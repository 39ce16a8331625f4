"""Every port in memory, with the same contracts as the AWS adapters: the contract suite runs against both."""

import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.adapters.rotated_secret import RotatedSecret
from shared.domain.api_key import ApiKey
from shared.domain.connection import Connection, Interest, Interests, Session
from shared.domain.dead_letter import DeadLetter, RedrivenQueue
from shared.domain.document import Change, Chunk, Document, DocumentLog, log_of
from shared.domain.gate import Gate
from shared.domain.held_stream import HeldStream
from shared.domain.mailbox import Mailbox, Message, Way
from shared.domain.pending_command import PendingCommand
from shared.domain.presence import Attendees, Look, Member, Told
from shared.domain.principal import Principal
from shared.domain.publication import StreamPosition
from shared.domain.rate import Rate
from shared.domain.segment import Ring, Segment
from shared.domain.telling import ALIVE_S, Positioned, Turn
from shared.errors import ConnectionGoneError, ThrottledError, TidewireError, UnavailableError
from shared.ports import (
    Broadcast,
    Delivery,
    Lane,
    LaneMessage,
    LaneRecord,
    Measure,
    Shard,
    Stream,
    StreamConflictError,
)


class MemoryStreamStore:
    """Streams in dictionaries; one lock makes each call atomic, as a single item's write is in DynamoDB."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}
        self.segments: dict[tuple[str, str], dict[int, Segment]] = defaultdict(dict)
        self._lock = threading.Lock()

    def stream(self, channel: str) -> Stream | None:
        return self.streams.get(channel)

    def open(self, channel: str, stream: Stream, *, replaces: Stream | None) -> Stream:
        with self._lock:
            current = self.streams.get(channel)
            if (current and current.epoch) == (replaces and replaces.epoch):
                self.streams[channel] = stream
            return self.streams[channel]

    def append(self, channel: str, epoch: str, segment: Segment) -> None:
        with self._lock:
            stands = self.segments[channel, epoch].setdefault(segment.first, segment)
        if stands is not segment:
            raise StreamConflictError(stands)

    def newest(self, channel: str, epoch: str, count: int = 1) -> Sequence[Segment]:
        segments = self.segments[channel, epoch]
        return [segments[first] for first in sorted(segments, reverse=True)[:count]]

    def holding(self, channel: str, epoch: str, offset: int) -> Segment | None:
        return next(self.backward(channel, epoch, offset), None)

    def forward(self, channel: str, epoch: str, offset: int) -> Iterator[Segment]:
        segments = self.segments[channel, epoch]
        for first in sorted(segments):
            if segments[first].last >= offset and not segments[first].seal:
                yield segments[first]

    def backward(self, channel: str, epoch: str, offset: int) -> Iterator[Segment]:
        segments = self.segments[channel, epoch]
        for first in sorted(segments, reverse=True):
            if first <= offset and not segments[first].seal:
                yield segments[first]

    def rings(self, channel: str, epoch: str, offset: int) -> Iterator[Ring]:
        while segment := self.holding(channel, epoch, offset):
            yield segment.ring
            offset = segment.ring.start


class MemoryConnectionStore:
    """Connections, subscriptions and sessions in dictionaries."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.connections: dict[str, Connection] = {}
        self.sessions: dict[str, Session] = {}
        self.channels: dict[str, dict[str, tuple[int, Interests]]] = defaultdict(dict)
        self.reminders: dict[int, set[str]] = defaultdict(set)
        self.swept = 0
        self.looked_at = (0, "")
        self.shards: dict[str, int] = defaultdict(lambda: 1)
        self.listed: dict[str, dict[str, tuple[int, Interests]]] = defaultdict(dict)
        self.users: dict[str, str] = {}  # of connections that have listed some
        self.commands: dict[tuple[str, str], int] = {}  # the last about each connection's channel
        self.told_since: dict[tuple[str, str], StreamPosition | None] = {}  # of those that may be told in order
        self.positioned: dict[tuple[str, str], int] = {}  # and when they were subscribed

    def _alive(self, expires_at_s: int) -> bool:
        return expires_at_s > self._now_ms() // 1000

    def open(self, connection: Connection) -> None:
        self.connections[connection.connection_id] = connection

    def get(self, connection_id: str) -> Connection | None:
        connection = self.connections.get(connection_id)
        return connection if connection and self._alive(connection.expires_at_s) else None

    def authenticate(self, connection: Connection) -> bool:
        known = self.connections.get(connection.connection_id)
        if known is None or not _may_follow(connection.principal, known.principal):
            return False
        self.connections[connection.connection_id] = connection
        return True

    def refresh(self, connection_id: str, principal: Principal) -> Connection | None:
        known = self.connections.get(connection_id)
        if known is None or known.principal is None or not _may_follow(principal, known.principal):
            return None
        self.connections[connection_id] = replace(known, principal=principal)
        return self.connections[connection_id]

    def announce(self, connection_id: str) -> bool:
        known = self.connections.get(connection_id)
        if known is None or known.announced:
            return False
        self.connections[connection_id] = replace(known, announced=True)
        return True

    def rename(self, connection_id: str, named: Connection) -> bool:
        known = self.connections.get(connection_id)
        if known is None or known.principal is not None or known.alias is not None:
            return False
        self.connections[connection_id] = replace(known, alias=named.connection_id)
        self.open(named)
        return True

    def close(self, connection_id: str, *, found_in: str | None = None) -> Connection | None:
        del found_in  # every channel is looked at
        for subscribers in self.channels.values():
            subscribers.pop(connection_id, None)
        return self.connections.pop(connection_id, None)

    def subscribe(
        self,
        connection: Connection,
        channels: Mapping[str, Interests],
        *,
        expires_at_s: int,
        kept: bool = True,
    ) -> None:
        for channel, interests in channels.items():
            self.channels[channel][connection.connection_id] = expires_at_s, interests
            if kept:
                self.listed[connection.connection_id][channel] = connection.expires_at_s, interests
                self.users[connection.connection_id] = connection.principal.user_id if connection.principal else ""

    def unsubscribe(self, connection_id: str, channels: Sequence[str], *, stays: bool = False) -> None:
        for channel in channels:
            subscriber = self.channels[channel].pop(connection_id, None)
            if stays and subscriber is not None:
                self.channels[channel][connection_id] = subscriber[0], frozenset()
            self.listed[connection_id].pop(channel, None)
            self.positioned.pop((connection_id, channel), None)
            self.told_since.pop((connection_id, channel), None)

    def subscribe_in_order(
        self,
        connection: Connection,
        channel: str,
        interests: Interests,
        *,
        expires_at_s: int,
        ends_at_s: int,
        command_id: int,
        positioned: bool = False,
    ) -> bool:
        if not self._in_order(connection.connection_id, channel, command_id):
            return False
        self.unsubscribe(connection.connection_id, [channel])
        if positioned:
            self.positioned[connection.connection_id, channel] = self._now_ms() // 1000
        self.subscribe(connection, {channel: interests}, expires_at_s=expires_at_s)
        self.listed[connection.connection_id][channel] = ends_at_s, interests
        return True

    def prolong(self, connection_id: str, *, expires_at_s: int) -> None:
        for channel, (ends_at_s, interests) in self.listed[connection_id].items():
            if self._alive(ends_at_s) and connection_id in self.channels[channel]:
                self.channels[channel][connection_id] = min(expires_at_s, ends_at_s), interests

    def prolong_one(
        self, connection_id: str, channel: str, *, expires_at_s: int, ends_at_s: int, command_id: int
    ) -> bool:
        interests = self.subscriptions(connection_id).get(channel)
        if interests is None or self.last_command(connection_id, channel) > command_id:
            return False
        self.listed[connection_id][channel] = ends_at_s, interests
        if connection_id in self.channels[channel]:
            self.channels[channel][connection_id] = expires_at_s, interests
        return True

    def unsubscribe_in_order(self, connection_id: str, channel: str, *, command_id: int, stays: bool = False) -> bool:
        if not self._in_order(connection_id, channel, command_id):
            return False
        self.unsubscribe(connection_id, [channel], stays=stays)
        return True

    def _in_order(self, connection_id: str, channel: str, command_id: int) -> bool:
        if self.commands.get((connection_id, channel), 0) > command_id:
            return False
        self.commands[connection_id, channel] = command_id
        return True

    def last_command(self, connection_id: str, channel: str) -> int:
        return self.commands.get((connection_id, channel), 0)

    def shard_of(self, connection_id: str, channel: str) -> int:
        return zlib.crc32(connection_id.encode()) % self.shards[channel]

    def subscriptions(self, connection_id: str) -> Mapping[str, Interests]:
        listed = self.listed.get(connection_id, {})
        return {channel: wants for channel, (expires_at_s, wants) in listed.items() if self._alive(expires_at_s)}

    def attended(self, connection_id: str) -> Mapping[str, str]:
        listed = self.listed.get(connection_id, {})
        return {channel: self.users[connection_id] for channel, (_, wants) in listed.items() if "presence" in wants}

    def attending(self, connection_id: str) -> Mapping[str, str]:
        return self.attended(connection_id) if self.get(connection_id) else {}

    def subscribers(
        self, channel: str, shard: int = 0, *, at_most: int | None = None, interest: Interest | None = None
    ) -> Shard:
        count = self.shards[channel]
        everybody = [
            c
            for c, (expires_at_s, wants) in sorted(self.channels[channel].items())
            if self._alive(expires_at_s) and (interest is None or interest in wants)
        ]
        here = [c for c in everybody if self.shard_of(c, channel) == shard]
        positioned = {c for c in here[:at_most] if (c, channel) in self.positioned}
        fossil, by_server = (
            {c for c in here[:at_most] if wanted in self.channels[channel][c][1]} for wanted in ("fossil", "by_server")
        )
        return Shard(here[:at_most], count if shard == 0 else 1, positioned, fossil, by_server)

    def grow(self, channel: str, shards: int) -> None:
        self.shards[channel] = max(self.shards[channel], shards)

    def remind(self, connection_id: str, *, minute: int) -> None:
        self.reminders[minute].add(connection_id)

    def get_all(self, connection_ids: Sequence[str]) -> Mapping[str, Connection]:
        found = {connection_id: self.get(connection_id) for connection_id in connection_ids}
        return {connection_id: connection for connection_id, connection in found.items() if connection}

    def due(self, minute: int, *, after: str = "", at_a_time: int | None = None) -> Iterator[str]:
        del at_a_time  # all of it is here
        due = self.reminders.get(minute, ())
        yield from sorted(one for one in due if (minute, one) > self.looked_at and one > after)

    def mark_looked_at(self, minute: int, connection_id: str) -> None:
        self.looked_at = (minute, connection_id)

    def swept_minute(self) -> int:
        return self.swept

    def mark_swept(self, minute: int) -> None:
        self.swept = minute

    def put_session(self, session: Session) -> None:
        self.sessions[session.session_id] = session

    def move_session(self, before: Session, after: Session) -> bool:
        current = self.session(before.session_id)
        if current is None or current.version not in (before.version, after.version):
            return False
        self.sessions[before.session_id] = after
        return True

    def refresh_session(self, session_id: str, principal: Principal, *, connection_id: str, version: str) -> bool:
        session = self.session(session_id)
        if session is None or session.connection_id != connection_id or not _may_follow(principal, session.principal):
            return False
        self.sessions[session_id] = replace(session, principal=principal, version=version)
        return True

    def end_session(self, session_id: str, *, connection_id: str, expires_at_s: int) -> None:
        session = self.sessions.get(session_id)
        if session and session.connection_id == connection_id and session.expires_at_s > expires_at_s:
            self.sessions[session_id] = replace(session, expires_at_s=expires_at_s)

    def session(self, session_id: str) -> Session | None:
        session = self.sessions.get(session_id)
        return session if session and self._alive(session.expires_at_s) else None


def _may_follow(principal: Principal | None, known: Principal | None) -> bool:
    """Tell whether what has the one may be written with the other: its user's, and no older."""
    if known is None:
        return True
    return principal is not None and (principal.user_id == known.user_id and principal.issued_at_s >= known.issued_at_s)


class MemoryTelling:
    """Subscribers that are told in order: those of a connection store, and turns in a dictionary."""

    def __init__(self, connections: MemoryConnectionStore, now_ms: Callable[[], int]) -> None:
        self._connections = connections
        self._now_ms = now_ms
        self.turns: dict[tuple[str, int], tuple[str, int]] = {}
        self.told: dict[tuple[str, int], StreamPosition] = {}

    def positioned(self, channel: str, shard: int) -> Sequence[Positioned]:
        store = self._connections
        here = store.subscribers(channel, shard)
        late = self._now_ms() // 1000 - ALIVE_S
        found = [
            Positioned(
                one,
                store.commands[one, channel],
                store.told_since.get((one, channel)),
                one in here.fossil,
                (one, channel) in store.told_since,
            )
            for one in here.connection_ids
            if one in here.positioned
        ]
        return [one for one in found if one.started or store.positioned[one.connection_id, channel] < late]

    def start(self, channel: str, shard: int, one: Positioned) -> bool:
        return self._mark(channel, one, one.since)

    def mark_told(self, channel: str, shard: int, one: Positioned) -> None:
        self._mark(channel, one, None)

    def _mark(self, channel: str, one: Positioned, since: StreamPosition | None) -> bool:
        if not self._counts(channel, one):
            return False
        self._connections.told_since[one.connection_id, channel] = since
        return True

    def stop(self, channel: str, shard: int, one: Positioned) -> None:
        if self._counts(channel, one):
            del self._connections.channels[channel][one.connection_id]

    def _counts(self, channel: str, one: Positioned) -> bool:
        there = one.connection_id in self._connections.channels[channel]
        return there and self._connections.commands.get((one.connection_id, channel)) == one.command_id

    def take(self, channel: str, shard: int, *, holder: str, until_ms: int) -> Turn:
        held = self.turns.get((channel, shard))
        free = held is None or held[0] == holder or held[1] < self._now_ms()
        if free:
            self.turns[channel, shard] = holder, until_ms
        return Turn(free, self.told.get((channel, shard)))

    def end(self, channel: str, shard: int, *, holder: str, position: StreamPosition | None) -> None:
        if self.turns.get((channel, shard), ("", 0))[0] == holder:
            del self.turns[channel, shard]
            if position is not None:
                self.told[channel, shard] = position


class MemoryDocumentStore:
    """Documents in dictionaries; one lock makes each call atomic."""

    def __init__(self) -> None:
        self.snapshots: dict[tuple[str, str], Document] = {}
        self.chunks: dict[tuple[str, str], dict[int, Chunk]] = defaultdict(dict)
        self._lock = threading.RLock()

    def log(self, channel: str, key: str, *, known: DocumentLog | None = None) -> DocumentLog:
        with self._lock:
            chunks = self.chunks.get((channel, key), {})
            snapshot = self.snapshots.get((channel, key), Document())
            if known is not None and known.chunks and snapshot.version < known.chunks[-1].first:
                behind = [chunks[first] for first in sorted(chunks) if first >= known.chunks[-1].first]
                if (extended := known.extended(behind)) is not None:
                    return extended
            log = log_of(key, snapshot, [chunks[first] for first in sorted(chunks)])
        assert log is not None
        return log

    def logs(self, channel: str, *, after: str = "") -> Iterator[DocumentLog]:
        for key in self._keys(channel):
            if key > after:
                yield self.log(channel, key)

    def append(self, channel: str, key: str, change: Change, *, to: Chunk | None, full: bool) -> bool:
        with self._lock:
            chunks = self.chunks[channel, key]
            if to is None:
                # As in DynamoDB, a late writer leaves behind what it was told was not put.
                if chunks.setdefault(change.version, Chunk((change,), full)).changes != (change,):
                    return False
                return self.snapshots.get((channel, key), Document()).version < change.version
            stands = chunks.get(to.first)
            if stands is None or stands.changes[-1] != to.changes[-1]:
                return False
            chunks[to.first] = Chunk((*stands.changes, change), full)
            return True

    def compact(self, channel: str, log: DocumentLog) -> None:
        with self._lock:
            snapshot = self.snapshots.get((channel, log.key), Document())
            if snapshot.version <= log.snapshot.version:
                self.snapshots[channel, log.key] = log.snapshot
                for chunk in log.stale:
                    self.chunks[channel, log.key].pop(chunk.first, None)

    def count(self, channel: str, *, at_most: int) -> int:
        return len(self._keys(channel)[:at_most])

    def _keys(self, channel: str) -> list[str]:
        found = [key for (where, key), chunks in self.chunks.items() if where == channel and chunks]
        return sorted({*found, *(key for where, key in self.snapshots if where == channel)})


class MemoryPresenceStore:
    """Connections, users and what was told, in dictionaries."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self.connections: dict[str, dict[tuple[str, str], tuple[int, int]]] = defaultdict(dict)
        self.users: dict[tuple[str, str], Member] = {}
        self.tellings: dict[str, Told] = {}

    def enter(
        self, channels: Sequence[str], user_id: str, connection_id: str, *, at_ms: int, expires_at_s: int
    ) -> None:
        for channel in channels:
            self.connections[channel][user_id, connection_id] = at_ms, expires_at_s

    def leave(self, channel: str, user_id: str, connection_id: str, *, at_s: int | None = None) -> bool:
        at_ms, expires_at_s = self.connections[channel].get((user_id, connection_id), (0, 0))
        if at_s is None:
            return self.connections[channel].pop((user_id, connection_id), None) is not None
        if expires_at_s <= at_s:
            return False
        self.connections[channel][user_id, connection_id] = at_ms, at_s
        return True

    def update(
        self, channel: str, user_id: str, fields: Mapping[str, Any], *, active_at_ms: int | None, at_ms: int
    ) -> None:
        member = self.users.get((channel, user_id), Member(user_id))
        if fields:
            member = replace(member, **fields, revision=member.revision + 1, changed_at_ms=at_ms)
        if active_at_ms is not None:
            member = replace(member, last_active_at_ms=active_at_ms)
        self.users[channel, user_id] = member

    def forget(self, channel: str, member: Member) -> None:
        if (said := self.users.get((channel, member.user_id))) and said.stamp == member.stamp:
            del self.users[channel, member.user_id]

    def attendees(self, channel: str) -> Attendees:
        users = {user_id for user_id, _ in self.connections[channel]}
        members = {user_id: self.member(channel, user_id) for user_id in sorted(users)}
        said = [member for (where, _), member in self.users.items() if where == channel]
        here = {user_id: member for user_id, member in members.items() if member.connection_ids}
        return Attendees(self.told(channel), here, {one.user_id: one for one in said if one.user_id not in here})

    def member(self, channel: str, user_id: str) -> Member:
        now_s = self._now_ms() // 1000
        member = self.users.get((channel, user_id), Member(user_id))
        ids, active_ms = [], member.last_active_at_ms
        for (user, connection_id), (at_ms, expires_at_s) in sorted(self.connections[channel].items()):
            if user == user_id and expires_at_s > now_s:
                ids.append(connection_id)
                active_ms = max(active_ms, at_ms)
        return replace(member, connection_ids=tuple(ids), last_active_at_ms=active_ms)

    def told(self, channel: str) -> Told:
        return self.tellings.get(channel, Told())

    def tell(self, channel: str, told: Told, *, before: int) -> bool:
        if self.told(channel).version != before:
            return False
        self.tellings[channel] = told
        return True


@dataclass
class MemoryLookQueue:
    """Looks for later, as a list."""

    sent: list[tuple[Look, int]] = field(default_factory=list)

    def send(self, looks: Sequence[Look], *, delay_s: int = 0) -> None:
        self.sent.extend((look, delay_s) for look in looks)


class MemoryMailboxStore:
    """Mailboxes and their messages in dictionaries."""

    def __init__(self) -> None:
        self.mailboxes: dict[str, Mailbox] = {}
        self.messages: dict[str, dict[int, Message]] = defaultdict(dict)
        self._lock = threading.Lock()

    def open(self, mailbox_id: str, mailbox: Mailbox) -> None:
        self.mailboxes[mailbox_id] = mailbox

    def renew(self, mailbox_id: str, *, expires_at_s: int, now_s: int) -> bool:
        mailbox = self.mailboxes.get(mailbox_id)
        if mailbox is None or mailbox.gone(now_s):
            return False
        self.mailboxes[mailbox_id] = replace(mailbox, expires_at_s=expires_at_s, seen_at_s=now_s)
        return True

    def get(self, mailbox_id: str) -> Mailbox | None:
        return self.mailboxes.get(mailbox_id)

    def get_all(self, mailbox_ids: Sequence[str]) -> Mapping[str, Mailbox]:
        return {mailbox_id: self.mailboxes[mailbox_id] for mailbox_id in mailbox_ids if mailbox_id in self.mailboxes}

    def number(self, mailbox_id: str, *, now_s: int) -> Mailbox | None:
        with self._lock:
            mailbox = self.mailboxes.get(mailbox_id)
            if mailbox is None or mailbox.gone(now_s):
                return None
            self.mailboxes[mailbox_id] = replace(mailbox, last=mailbox.last + 1)
            return self.mailboxes[mailbox_id]

    def put(self, mailbox_id: str, message: Message, *, expires_at_s: int) -> None:
        del expires_at_s  # nothing is deleted here
        self.messages[mailbox_id][message.number] = message

    def read(self, mailbox_id: str, after: int, *, limit: int) -> Sequence[Message]:
        messages = self.messages[mailbox_id]
        return [messages[number] for number in sorted(messages) if number > after][:limit]

    def newest(self, mailbox_id: str, *, limit: int) -> Sequence[Message]:
        return self.read(mailbox_id, 0, limit=len(self.messages[mailbox_id]))[-limit:]

    def claim(self, mailbox_id: str, reader: str, *, way: Way, confirmed: int | None, seen_at_s: int) -> Mailbox | None:
        if mailbox_id not in self.mailboxes or self.mailboxes[mailbox_id].gone(seen_at_s):
            return None
        mailbox = replace(self.mailboxes[mailbox_id], reader=reader, way=way, seen_at_s=seen_at_s)
        if confirmed is not None:
            mailbox = replace(mailbox, fetched=confirmed, confirmed=confirmed)
        self.mailboxes[mailbox_id] = mailbox
        return mailbox

    def note(self, mailbox_id: str, reader: str, *, fetched: int, seen_at_s: int) -> bool:
        mailbox = self.mailboxes.get(mailbox_id)
        if mailbox is None or mailbox.reader != reader:
            return False
        self.mailboxes[mailbox_id] = replace(mailbox, fetched=fetched, seen_at_s=seen_at_s)
        return True

    def skip(self, mailbox_id: str, reader: str, *, seen_at_s: int) -> int | None:
        mailbox = self.mailboxes.get(mailbox_id)
        if mailbox is None or not self.note(mailbox_id, reader, fetched=mailbox.last, seen_at_s=seen_at_s):
            return None
        return mailbox.last

    def look(self, awaited: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], tuple[str | None, bool]]:
        seen: dict[tuple[str, int], tuple[str | None, bool]] = {}
        for mailbox_id, number in awaited:
            mailbox = self.mailboxes.get(mailbox_id)
            if mailbox is not None:
                arrived = number in self.messages[mailbox_id] or mailbox.last > number
                seen[mailbox_id, number] = mailbox.reader, arrived
        return seen

    def remove(self, mailbox_id: str, *, seen_at_s: int | None = None) -> bool:
        mailbox = self.mailboxes.get(mailbox_id)
        if mailbox is None or seen_at_s not in (None, mailbox.seen_at_s):
            return False
        del self.mailboxes[mailbox_id]
        return True


class MemoryHeldStreams:
    """Streams in dictionaries."""

    def __init__(self) -> None:
        self.held: dict[str, HeldStream] = {}

    def hold(self, stream: HeldStream, *, user_at_most: int, address_at_most: int, at_most: int, now_s: int) -> bool:
        others = [one for one in self.held.values() if one.expires_at_s > now_s]
        if not stream.fits(others, user_at_most=user_at_most, address_at_most=address_at_most, at_most=at_most):
            return False
        self.held[stream.reader] = stream
        return True

    def release(self, reader: str) -> None:
        self.held.pop(reader, None)


class MemoryTicketStore:
    """Tickets in a dictionary."""

    def __init__(self) -> None:
        self._tickets: dict[str, tuple[Principal, int]] = {}

    def issue(self, ticket: str, principal: Principal, *, expires_at_s: int) -> None:
        self._tickets[ticket] = (principal, expires_at_s)

    def redeem(self, ticket: str, *, now_s: int) -> Principal | None:
        principal, expires_at_s = self._tickets.pop(ticket, (None, 0))
        return principal if expires_at_s > now_s else None


class MemoryRevocationStore:
    """Revocations in a dictionary."""

    def __init__(self) -> None:
        self.revocations: dict[str, int] = {}

    def revoke(self, user_id: str, *, at_ms: int) -> None:
        self.revocations[user_id] = max(at_ms, self.revocations.get(user_id, 0))

    def revoked_at_ms(self, user_id: str) -> int | None:
        return self.revocations.get(user_id)


class MemoryBucketStore:
    """Buckets in a dictionary.

    Attributes:
        asked: How often tokens were asked for.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._full_at_ms: dict[str, float] = {}

    def take(self, key: str, rate: Rate, tokens: int, *, now_ms: int) -> float:
        self.asked += 1
        before_ms = self._full_at_ms.get(key, 0)
        wait_ms = rate.wait_ms(before_ms, now_ms, tokens)
        if not wait_ms:
            self._full_at_ms[key] = rate.full_at_ms(before_ms, now_ms, tokens)
        return wait_ms


class MemoryApiKeyStore:
    """Keys in a dictionary."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[ApiKey, str]] = {}

    def add(self, key: ApiKey, secret: str, *, at_most: int) -> bool:
        room = len(self._keys) < at_most
        if room:
            self._keys[key.key_id] = key, secret
        return room

    def find(self, key: str) -> ApiKey | None:
        key_id, _, secret = key.partition(".")
        found, expected = self._keys.get(key_id, (None, ""))
        return found if secret == expected else None

    def page(self, after: str, *, limit: int) -> Sequence[ApiKey]:
        return [self._keys[key_id][0] for key_id in sorted(self._keys) if key_id > after][:limit]

    def remove(self, key_id: str) -> bool:
        return self._keys.pop(key_id, None) is not None


@dataclass
class MemoryLaneQueue:
    """Lanes as lists."""

    sent: list[tuple[Lane, LaneMessage]] = field(default_factory=list)

    def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
        self.sent.extend((lane, message) for message in messages)
        return set()


@dataclass
class MemoryLaneRecords:
    """What was asked of the lanes, as lists."""

    postponed: list[tuple[LaneRecord, int]] = field(default_factory=list)
    buried: list[LaneRecord] = field(default_factory=list)

    def postpone(self, records: Sequence[LaneRecord], *, delay_s: int) -> None:
        self.postponed.extend((record, delay_s) for record in records)

    def bury(self, record: LaneRecord) -> None:
        self.buried.append(record)


class MemoryReadMarkers:
    """Markers in a dictionary."""

    def __init__(self) -> None:
        self.markers: dict[tuple[str, str], StreamPosition] = {}

    def offset(self, channel: str, user_id: str, epoch: str) -> int:
        marker = self.markers.get((channel, user_id))
        return marker.offset if marker and marker.epoch == epoch else 0

    def offsets(self, channel: str, user_ids: Sequence[str], epoch: str) -> Mapping[str, int]:
        found = {user_id: self.offset(channel, user_id, epoch) for user_id in user_ids}
        return {user_id: offset for user_id, offset in found.items() if offset}

    def advance(self, channel: str, user_id: str, position: StreamPosition, *, expires_at_s: int) -> bool:
        further = self.offset(channel, user_id, position.epoch) < position.offset
        if further:
            self.markers[channel, user_id] = position
        return further


@dataclass
class MemoryEventBus:
    """The bus as a list."""

    broadcasts: list[Broadcast] = field(default_factory=list)

    def put(self, broadcasts: Sequence[Broadcast]) -> None:
        self.broadcasts.extend(broadcast for broadcast in broadcasts if broadcast.frames)


@dataclass
class MemoryDeliveryQueue:
    """Deliveries for later, as a list."""

    sent: list[tuple[Delivery, int]] = field(default_factory=list)

    def send(self, deliveries: Sequence[Delivery], *, delay_s: int) -> None:
        self.sent.extend((delivery, delay_s) for delivery in deliveries)


@dataclass
class MemoryDeadlineQueue:
    """Reminders as lists, of connections and of commands."""

    sent: list[tuple[str, int]] = field(default_factory=list)
    token_ends: list[tuple[str, int, int]] = field(default_factory=list)
    arrived: list[tuple[str, int]] = field(default_factory=list)
    superseded: list[tuple[str, int]] = field(default_factory=list)
    commands: list[tuple[str, int]] = field(default_factory=list)

    def send(self, connection_id: str, *, delay_s: int) -> None:
        self.sent.append((connection_id, delay_s))

    def send_token_end(self, connection_id: str, *, token_expires_at_s: int, delay_s: int) -> None:
        self.token_ends.append((connection_id, token_expires_at_s, delay_s))

    def send_arrived(self, connection_id: str, *, delay_s: int) -> None:
        self.arrived.append((connection_id, delay_s))

    def send_superseded(self, connection_id: str, *, delay_s: int) -> None:
        self.superseded.append((connection_id, delay_s))

    def send_command(self, command_id: str, *, delay_s: int) -> None:
        self.commands.append((command_id, delay_s))


class MemoryPendingCommandStore:
    """Commands in a dictionary."""

    def __init__(self) -> None:
        self.commands: dict[str, PendingCommand] = {}

    def put(self, pending: PendingCommand) -> None:
        self.commands[pending.command_id] = pending

    def get(self, command_id: str) -> PendingCommand | None:
        return self.commands.get(command_id)

    def take(self, command_id: str) -> PendingCommand | None:
        return self.commands.pop(command_id, None)


class MemoryDeadLetters:
    """A list: the body, and the wire name of what was wrong."""

    def __init__(self) -> None:
        self.buried: list[tuple[str, str]] = []

    def bury(self, body: str, error: TidewireError) -> None:
        self.buried.append((body, error.name))


class MemoryDeadLetterQueues:
    """Queues as lists of what waits in them.

    Attributes:
        held: What was taken and not put back, by queue: it would be handed out again in time.
        returned: What was put back: the queue, the letter, and its new body.
    """

    def __init__(self) -> None:
        self.letters: dict[RedrivenQueue, list[DeadLetter]] = defaultdict(list)
        self.held: dict[RedrivenQueue, list[DeadLetter]] = defaultdict(list)
        self.returned: list[tuple[RedrivenQueue, DeadLetter, str]] = []

    def waiting(self, queue: RedrivenQueue) -> int:
        return len(self.letters[queue]) + len(self.held[queue])

    def take(self, queue: RedrivenQueue) -> Sequence[DeadLetter]:
        taken, self.letters[queue] = self.letters[queue][:10], self.letters[queue][10:]
        self.held[queue] += taken
        return taken

    def put_back(self, queue: RedrivenQueue, letters: Sequence[tuple[DeadLetter, str]]) -> None:
        for letter, body in letters:
            self.held[queue].remove(letter)
            self.returned.append((queue, letter, body))


@dataclass
class MemoryTransport:
    """Connections as lists of messages.

    Attributes:
        failures: Connection id to the error that each call for it raises; ids that are in neither mapping are gone.
        active_ms: When something last passed on a connection, 0 unless a test says so.
        received: What those had received that were closed.
    """

    inboxes: dict[str, list[bytes]] = field(default_factory=dict)
    failures: Mapping[str, Exception] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    active_ms: dict[str, int] = field(default_factory=dict)
    received: dict[str, list[bytes]] = field(default_factory=dict)

    def push_all(
        self, connection_ids: Sequence[str], messages: Sequence[bytes], gate: Gate | None = None
    ) -> Sequence[Exception | None]:
        if not messages:
            raise ValueError("nothing to push")
        return [self._outcome(connection_id, messages, gate) for connection_id in connection_ids]

    def _outcome(self, connection_id: str, messages: Sequence[bytes], gate: Gate | None) -> Exception | None:
        for message in messages:
            if gate and not gate.breaker.allows():
                return UnavailableError("pushing is suspended")
            error: Exception | None = None
            try:
                self.push(connection_id, message)
            except Exception as raised:
                error = raised
            if gate:
                throttled = isinstance(error, ThrottledError)
                gate.breaker.record(failed=isinstance(error, UnavailableError) and not throttled)
            if error:
                return error
        return None

    def push(self, connection_id: str, message: bytes) -> None:
        """Put a message into an inbox."""
        if connection_id in self.failures:
            raise self.failures[connection_id]
        if connection_id not in self.inboxes:
            raise ConnectionGoneError
        self.inboxes[connection_id].append(message)

    def last_active_ms(self, connection_id: str) -> int | None:
        if connection_id in self.failures:
            raise self.failures[connection_id]
        return self.active_ms.get(connection_id, 0) if connection_id in self.inboxes else None

    def close(self, connection_id: str) -> None:
        if connection_id in self.failures:
            raise self.failures[connection_id]
        if connection_id not in self.inboxes:
            raise ConnectionGoneError
        self.received[connection_id] = self.inboxes.pop(connection_id)
        self.closed.append(connection_id)


@dataclass
class MemoryMetricSource:
    """What was measured, as a dictionary: by measure, and by the second at which a period begins.

    Attributes:
        asked: For what, and in which periods, in order.
    """

    values: dict[Measure, dict[int, float]] = field(default_factory=dict)
    asked: list[tuple[Sequence[Measure], range]] = field(default_factory=list)

    def read(
        self, measures: Sequence[Measure], *, from_s: int, until_s: int, period_s: int
    ) -> Sequence[Mapping[int, float]]:
        periods = range(from_s, until_s, period_s)
        self.asked.append((measures, periods))
        return [
            {at_s: value for at_s, value in self.values.get(measure, {}).items() if at_s in periods}
            for measure in measures
        ]


@dataclass
class MemoryTrail:
    """Steps as a list: their names, the publications, and what was told."""

    steps: list[tuple[str, list[str], dict[str, int | str]]] = field(default_factory=list)

    def step(self, name: str, correlation_ids: Sequence[str], *, always: bool = False, **facts: int | str) -> None:
        if correlation_ids:
            self.steps.append((name, list(correlation_ids), facts))


@dataclass
class MemoryMetrics:
    """Figures as lists by name."""

    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def count(self, name: str, value: int = 1) -> None:
        self.values[name].append(value)

    def billed(self, name: str, units: float) -> None:
        self.values[name].append(units)

    def milliseconds(self, name: str, value: float) -> None:
        self.values[name].append(value)

    def level(self, name: str, value: float) -> None:
        self.values[name].append(value)


def fixed_secret(value: str) -> RotatedSecret:
    """Return a secret that nobody rotates."""

    def unread(error: Exception) -> None:
        raise error

    return RotatedSecret(lambda: (value,), lambda: 0, unread)
