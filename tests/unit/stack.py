"""All services over the memory adapters: a whole Tidewire in one process, with a clock that tests move."""

import json
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from shared import namespaces
from shared.adapters.centrifugo_tokens import HmacCentrifugoTokens
from shared.adapters.memory import (
    MemoryBucketStore,
    MemoryConnectionStore,
    MemoryDeadlineQueue,
    MemoryDeliveryQueue,
    MemoryDocumentStore,
    MemoryEventBus,
    MemoryLaneQueue,
    MemoryLaneRecords,
    MemoryLookQueue,
    MemoryMailboxStore,
    MemoryMetrics,
    MemoryPendingCommandStore,
    MemoryPresenceStore,
    MemoryReadMarkers,
    MemoryRevocationStore,
    MemoryStreamStore,
    MemoryTelling,
    MemoryTicketStore,
    MemoryTrail,
    MemoryTransport,
    fixed_secret,
)
from shared.adapters.schemas import Schemas
from shared.adapters.signatures import HmacSigner
from shared.adapters.tokens import Hs256Tokens
from shared.domain.breaker import CircuitBreaker
from shared.domain.commands import Command
from shared.domain.connection import Connection, Interests
from shared.domain.gate import Gate
from shared.domain.principal import Principal
from shared.domain.processing import Processor
from shared.domain.publication import Priority, Publication
from shared.domain.rate import Pacer
from shared.domain.resolving import Resolver
from shared.ports import Lane, LaneRecord, TokenVerifier
from shared.services.append import Append
from shared.services.attendance import Attendance
from shared.services.authentication import Authentication
from shared.services.centrifugo import Centrifugo
from shared.services.centrifugo_census import CentrifugoCensus
from shared.services.centrifugo_reading import CentrifugoReading
from shared.services.centrifugo_requests import CentrifugoRequests
from shared.services.centrifugo_server import CentrifugoServer
from shared.services.centrifugo_streams import CentrifugoEmulation, CentrifugoMailboxReader, CentrifugoStreams
from shared.services.centrifugo_users import CentrifugoUsers
from shared.services.channel_tail import ChannelTail
from shared.services.commands import Commands
from shared.services.connection_list import ConnectionList
from shared.services.dispatch import Dispatcher
from shared.services.document_reader import DocumentReader
from shared.services.documents import Documents
from shared.services.fan_out import FanOut
from shared.services.history import History
from shared.services.http_sessions import HttpSessions
from shared.services.in_order import InOrder
from shared.services.janitor import Deadlines, Janitor
from shared.services.limits import RateLimits
from shared.services.mailbox_reader import MailboxReader
from shared.services.mailboxes import Mailboxes, Sinks
from shared.services.peer_commands import PeerAnswers, PeerCommands
from shared.services.presence import Presence
from shared.services.presence_reader import PresenceReader
from shared.services.presence_watch import PresenceWatch
from shared.services.processing import Processing
from shared.services.publish import Publishing
from shared.services.publish_worker import PublishWorker
from shared.services.purge import Purge
from shared.services.receipts import Reading, Receipts
from shared.services.revocation import Revocation
from shared.services.session_end import SessionEnd
from shared.services.sessions import Sessions
from shared.services.streams import Streams
from shared.services.subscribe import Subscriptions

SECRET = "a-secret-that-is-long-enough-for-hs256-and-only-for-tests"
ALL = {"*": ["subscribe", "publish", "history", "send", "presence", "command", "state.read", "state.write"]}


class InlineExecutor(Executor):
    """Runs at once, in the caller's thread."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Clock:
    """Unix milliseconds, moved by hand."""

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def pass_s(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


class MemoryStack:
    """Attributes are the services and the memory adapters behind them."""

    def __init__(self, channels: str = "", tokens: TokenVerifier | None = None) -> None:
        self.clock = Clock()
        self.namespaces = namespaces.parse(channels)
        self.metrics = MemoryMetrics()
        self.trail = MemoryTrail()
        self.connections = MemoryConnectionStore(self.clock)
        self.store = MemoryStreamStore()
        self.lanes = MemoryLaneQueue()
        self.bus = MemoryEventBus()
        self.transport = MemoryTransport()
        self.mailbox_store = MemoryMailboxStore()
        self.mailboxes = Mailboxes(self.mailbox_store, self.metrics, self.clock)
        self.sinks = Sinks(self.transport, self.mailboxes, InlineExecutor())
        self.deliveries = MemoryDeliveryQueue()
        self.deadlines_queue = MemoryDeadlineQueue()
        self.tickets = MemoryTicketStore()
        self.tokens: TokenVerifier = Hs256Tokens(fixed_secret(SECRET)) if tokens is None else tokens
        self.revocations = MemoryRevocationStore()
        self.authentication = Authentication(self.tokens, self.revocations)
        self.failures: list[Exception] = []
        self.streams = Streams(self.store, self.namespaces, self.clock)
        self.append = Append(self.streams)
        self.history = History(self.streams)
        self.records = MemoryLaneRecords()
        self.slept_s: list[float] = []
        self.breaker = CircuitBreaker(self.clock, uniform=lambda _low, high: high)
        self.receipts = Receipts(self.bus)
        self.markers = MemoryReadMarkers()
        self.reading = Reading(self.markers, self.history, self.receipts)
        self.presence_store = MemoryPresenceStore(self.clock)
        self.looks = MemoryLookQueue()
        self.attendance = Attendance(self.presence_store, self.connections, self.looks, self.metrics, self.clock)
        self.presence_reader = PresenceReader(self.presence_store, self.markers, self.store, self.namespaces)
        self.presence = Presence(self.attendance, self.presence_reader, self.bus, self.clock)
        self.presence_watch = PresenceWatch(
            self.presence_reader,
            self.looks,
            self.bus,
            self.metrics,
            self.clock,
            lambda _channel, error: self.failures.append(error),
            InlineExecutor(),
        )
        self.telling = MemoryTelling(self.connections, self.clock)
        self.in_order = InOrder(
            self.telling,
            self.history,
            InlineExecutor(),
            self.slept_s.append,
            self.clock,
            lambda _channel, error: self.failures.append(error),
        )
        self.fan_out = FanOut(
            self.connections,
            self.sinks,
            self.deliveries,
            Gate(self.breaker, Pacer(1000, lambda: self.clock() / 1000)),
            InlineExecutor(),
            self.metrics,
            self.clock,
            lambda _channel, error: self.failures.append(error),
            self.attendance,
            self.trail,
            self.in_order,
            uniform=lambda _low, high: high,
        )
        self.buckets = MemoryBucketStore()
        self.limits = RateLimits(self.buckets, self.namespaces, self.metrics, self.clock)
        self.processors: list[Processor] = []
        self.processing = Processing(self.processors, self.metrics, lambda _channel, error: self.failures.append(error))
        self.publishing = Publishing(
            self.namespaces,
            self.lanes,
            self.append,
            self.bus,
            self.fan_out,
            self.connections,
            self.receipts,
            self.limits,
            self.processing,
            self.metrics,
            self.clock,
            self.trail,
        )
        self.worker = PublishWorker(
            self.namespaces,
            self.append,
            self.bus,
            self.records,
            self.receipts,
            self.metrics,
            InlineExecutor(),
            self.slept_s.append,
            lambda _channel, error: self.failures.append(error),
            self.trail,
        )
        self.purge = Purge(self.streams, self.bus)
        self.document_store = MemoryDocumentStore()
        self.document_reader = DocumentReader(self.document_store)
        self.resolvers: dict[str, Resolver] = {}
        self.documents = Documents(
            self.document_store,
            self.namespaces,
            Schemas({}, Path()),
            self.resolvers,
            self.bus,
            self.fan_out,
            self.limits,
            self.metrics,
            self.clock,
            lambda _channel, error: self.failures.append(error),
            self.slept_s.append,
        )
        self.subscriptions = Subscriptions(
            self.connections, self.history, self.document_reader, self.metrics, self.presence
        )
        self.sessions = Sessions(
            self.connections,
            self.tickets,
            self.authentication,
            self.deadlines_queue,
            self.subscriptions,
            self.mailboxes,
            self.metrics,
            self.clock,
            self.attendance,
        )
        self.signer = HmacSigner(fixed_secret(SECRET))
        self.http_sessions = HttpSessions(
            self.sessions, self.connections, self.mailboxes, self.signer, self.limits, self.metrics, self.clock
        )
        self.channel_tail = ChannelTail(self.history, self.signer, self.authentication, self.clock)
        self.session_end = SessionEnd(self.connections, self.sinks, self.clock, self.attendance)
        self.mailbox_reader = MailboxReader(
            self.mailbox_store,
            self.connections,
            self.http_sessions,
            self.history,
            self.signer,
            self.limits,
            self.clock,
        )
        self.revocation = Revocation(
            self.connections,
            self.revocations,
            self.session_end,
            InlineExecutor(),
            self.metrics,
            self.clock,
            self.failures.append,
            self.presence,
        )
        self.deadlines = Deadlines(
            self.connections, self.sessions, self.sinks, self.metrics, self.deadlines_queue, self.clock
        )
        self.janitor = Janitor(
            self.connections,
            self.sessions,
            self.sinks,
            self.metrics,
            self.clock,
            self.failures.append,
            self.attendance,
            self.deadlines_queue,
        )
        self.catalogue: dict[str, Command] = {}
        self.commands = Commands(
            self.catalogue, self.publishing, self.history, self.metrics, self.clock, self.failures.append
        )
        self.pending_commands = MemoryPendingCommandStore()
        self.peer_commands = PeerCommands(
            self.pending_commands,
            self.connections,
            self.deadlines_queue,
            self.bus,
            self.limits,
            self.metrics,
            self.clock,
        )
        self.peer_answers = PeerAnswers(
            self.pending_commands, self.connections, self.deadlines_queue, self.bus, self.metrics, self.clock
        )
        self.dispatcher = Dispatcher(
            self.connections,
            self.sessions,
            self.subscriptions,
            self.publishing,
            self.history,
            self.document_reader,
            self.documents,
            self.reading,
            self.commands,
            self.peer_commands,
            self.peer_answers,
            self.limits,
            self.metrics,
            self.clock,
            self.failures.append,
            self.presence,
        )
        self.centrifugo_reading = CentrifugoReading(self.history, self.presence)
        self.centrifugo_requests = CentrifugoRequests(
            self.sessions,
            self.subscriptions,
            lambda: self.publishing,
            self.centrifugo_reading,
            lambda: self.commands,
            HmacCentrifugoTokens(fixed_secret(SECRET)),
            self.namespaces,
            self.telling,
            self.clock,
        )
        self.connection_list = ConnectionList(
            self.connections, self.mailbox_store, self.signer, InlineExecutor(), self.clock
        )
        self.centrifugo_server = CentrifugoServer(
            self.publishing,
            self.centrifugo_reading,
            self.purge,
            self.revocation,
            CentrifugoUsers(
                self.centrifugo_requests, self.connections, self.sessions, self.revocation, self.sinks, self.clock
            ),
            CentrifugoCensus(self.connection_list),
            self.clock,
            self.failures.append,
        )
        self.centrifugo = Centrifugo(
            self.centrifugo_requests,
            self.connections,
            self.sessions,
            self.sinks,
            self.limits,
            self.metrics,
            self.slept_s.append,
            self.failures.append,
        )
        self.centrifugo_streams = CentrifugoStreams(
            self.centrifugo_requests,
            self.sessions,
            self.mailboxes,
            CentrifugoMailboxReader(
                self.mailbox_store,
                self.connections,
                self.http_sessions,
                self.history,
                self.signer,
                self.limits,
                self.clock,
            ),
            self.signer,
        )
        self.centrifugo_emulation = CentrifugoEmulation(self.centrifugo, self.signer, self.limits)

    def connect(self, connection_id: str, user_id: str | None = None, caps: Any = None) -> None:
        """Open a connection; with ``user_id``, say hello as well."""
        self.sessions.connect(connection_id, None)
        self.transport.inboxes[connection_id] = []
        self.transport.active_ms[connection_id] = self.clock()
        if user_id is not None:
            reply = self.ask(connection_id, {"type": "hello", "protocol": 1, "token": self.token(user_id, caps)})
            assert "result" in reply, reply

    def token(self, user_id: str, caps: Any = None) -> str:
        """Sign a token that allows everything, or ``caps``."""
        # Expiry is checked by the real clock in the verifier and by the test's clock after that.
        return self.tokens.issue(user_id, ALL if caps is None else caps, ttl_s=100_000_000)

    def ask(self, connection_id: str, frame: dict[str, Any]) -> dict[str, Any]:
        """Send one request; return its reply."""
        replies = self.dispatcher.handle(
            connection_id, json.dumps({"id": 1, **frame}), max_bytes=32_000, received_at_ms=self.clock()
        )
        assert len(replies) == 1
        return replies[0]

    def drain(self) -> None:
        """Let the worker take what waits in the lanes, the watch the looks of now, and fan-out what is on the bus."""
        records = [
            lane_record(message.publication, message.channel, record_id=str(index), lane=lane, uncertain=message.retry)
            for index, (lane, message) in enumerate(self.lanes.sent)
        ]
        self.lanes.sent.clear()
        for start in range(0, len(records), 10):
            assert self.worker.work(records[start : start + 10]) == []
        looks = [look for look, delay_s in self.looks.sent if not delay_s]
        self.looks.sent = [(look, delay_s) for look, delay_s in self.looks.sent if delay_s]
        assert self.presence_watch.see_to(looks) == set()
        broadcasts = [broadcast for broadcast in self.bus.broadcasts if not broadcast.fanned_out]
        self.bus.broadcasts.clear()
        for broadcast in broadcasts:
            self.fan_out.deliver(broadcast)

    def events(self, connection_id: str) -> list[dict[str, Any]]:
        """Return the frames that a connection has been pushed, batches unpacked; also of one that was closed."""
        frames: list[dict[str, Any]] = []
        inbox = self.transport.inboxes.get(connection_id)
        for message in self.transport.received[connection_id] if inbox is None else inbox:
            value = json.loads(message)
            frames.extend(value if isinstance(value, list) else [value])
        return frames


def events_of(*channels: str) -> dict[str, Interests]:
    """Return subscriptions that want nothing but events."""
    return dict.fromkeys(channels, frozenset())


def publication(
    message_id: str = "m1", *, user_id: str = "ann", priority: Priority = "normal", at_ms: int = 1_800_000_000_000
) -> Publication:
    """Return some publication."""
    return Publication(message_id, "said", {"text": message_id}, user_id, None, priority, at_ms)


def connection(
    connection_id: str = "c1", user_id: str | None = "ann", *, expires_at_s: int = 1_900_000_000
) -> Connection:
    """Return some connection."""
    principal = Principal(user_id, ALL, expires_at_s=expires_at_s) if user_id else None
    return Connection(connection_id, 1_800_000_000_000, expires_at_s, principal)


def lane_record(
    item: Publication | None,
    channel: str = "room:a",
    *,
    record_id: str = "1",
    lane: Lane = "normal",
    tries: int = 1,
    uncertain: bool = False,
) -> LaneRecord:
    """Return some lane's record of a publication; without one, of something unreadable."""
    raw = ("body", channel, record_id)
    return LaneRecord(record_id, f"receipt-{record_id}", lane, tries, raw, channel, item, uncertain)
