"""The composition root: settings and adapters in, services out. Each is made when it is first asked for."""

import gc
import importlib
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

import boto3
from botocore.session import Session, get_session

from shared import namespaces
from shared.adapters import telemetry
from shared.adapters.aws import CLIENT_CONFIG, guarded
from shared.adapters.dynamodb_api_keys import DynamoDbApiKeyStore
from shared.adapters.dynamodb_buckets import DynamoDbBucketStore
from shared.adapters.dynamodb_commands import DynamoDbPendingCommandStore
from shared.adapters.dynamodb_connections import DynamoDbConnectionStore, DynamoDbTicketStore
from shared.adapters.dynamodb_documents import DynamoDbDocumentStore
from shared.adapters.dynamodb_mailboxes import DynamoDbHeldStreams, DynamoDbMailboxStore
from shared.adapters.dynamodb_presence import DynamoDbPresenceStore
from shared.adapters.dynamodb_read_markers import DynamoDbReadMarkers
from shared.adapters.dynamodb_revocations import DynamoDbRevocationStore
from shared.adapters.dynamodb_streams import DynamoDbStreamStore
from shared.adapters.dynamodb_telling import DynamoDbTelling
from shared.adapters.eventbridge import EventBridgeBus
from shared.adapters.meter import metered
from shared.adapters.pusher import pusher_of
from shared.adapters.raised_documents import RaisedDocumentStore
from shared.adapters.schema_version import versioned
from shared.adapters.sqs import (
    SqsDeadLetters,
    SqsDeadlineQueue,
    SqsDeliveryQueue,
    SqsLaneQueue,
    SqsLaneRecords,
    SqsLookQueue,
)
from shared.contract import COMMANDS_MODULE, DOCUMENTS_MODULE, LOCAL_STAGE, PROCESSORS_MODULE
from shared.domain.breaker import CircuitBreaker, State
from shared.domain.dead_letter import RedrivenQueue
from shared.domain.document import GENERATION_VERSIONS
from shared.domain.gate import Gate
from shared.domain.rate import Pacer
from shared.ports import (
    ApiKeyStore,
    ConnectionStore,
    ConnectionTransport,
    DeadLetterQueues,
    DeadlineQueue,
    EventBus,
    HeldStreams,
    LookQueue,
    MailboxStore,
    Metrics,
    MetricSource,
    PendingCommandStore,
    PresenceStore,
    ReadMarkers,
    RevocationStore,
    Signer,
    Telling,
    TicketStore,
    TokenVerifier,
    Trail,
)
from shared.services.append import Append
from shared.services.attendance import Attendance
from shared.services.authentication import Authentication
from shared.services.document_reader import DocumentReader
from shared.services.fan_out import FanOut
from shared.services.history import History
from shared.services.in_order import InOrder
from shared.services.janitor import Deadlines, Janitor
from shared.services.limits import RateLimits
from shared.services.mailboxes import Mailboxes, Sinks
from shared.services.peer_commands import PeerAnswers, PeerCommands
from shared.services.presence import Presence
from shared.services.presence_reader import PresenceReader
from shared.services.publish import Publishing
from shared.services.publish_worker import PublishWorker
from shared.services.purge import Purge
from shared.services.receipts import Reading, Receipts
from shared.services.sessions import Sessions
from shared.services.streams import Streams
from shared.services.subscribe import Subscriptions
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.adapters.rotated_secret import RotatedSecret
    from shared.services.centrifugo import Centrifugo
    from shared.services.centrifugo_reading import CentrifugoReading
    from shared.services.centrifugo_requests import CentrifugoRequests
    from shared.services.centrifugo_server import CentrifugoServer
    from shared.services.centrifugo_streams import CentrifugoEmulation, CentrifugoStreams
    from shared.services.channel_tail import ChannelTail
    from shared.services.commands import Commands
    from shared.services.connection_list import ConnectionList
    from shared.services.cost import Cost
    from shared.services.dispatch import Dispatcher
    from shared.services.documents import Documents
    from shared.services.event_publish import EventPublishing
    from shared.services.front_door import FrontDoor
    from shared.services.http_sessions import HttpSessions
    from shared.services.keys import Keys
    from shared.services.mailbox_reader import MailboxReader
    from shared.services.measurements import Measurements
    from shared.services.presence_watch import PresenceWatch
    from shared.services.processing import Processing
    from shared.services.redrive import Redrive
    from shared.services.revocation import Revocation
    from shared.services.session_end import SessionEnd

_FAN_OUT_THREADS = 32  # for mailboxes, and for who has gone; WebSockets need none
_LIST_THREADS = 16  # a page has up to 200 connections, each with a query for its channels
_WATCH_THREADS = 16  # a channel takes some 50 ms, and a batch has up to 200
_WORKER_THREADS = 10  # a FIFO batch has as many records, each perhaps of another channel
# A call that fails has been tried three times, for 1.5 s and more: who makes one after the other never sees 20 in 10 s.
_STORAGE_FAILURES = 3
_BREAKER_LEVELS: dict[State, float] = {"closed": 0, "half_open": 0.5, "open": 1}


def now_ms() -> int:
    """Return Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Services:
    """Everything, wired for one process. Attributes are the services; they share their adapters.

    An attribute that is set before it is first asked for stands in for the one that would be made.
    """

    def __init__(self, settings: Settings, session: Session | None = None) -> None:
        """Make them, for these settings; ``session`` says as whom AWS is called, if not as who this process is."""
        self.settings = settings
        self._session = session or get_session()
        self._aws: Any = boto3 if session is None else boto3.Session(botocore_session=session)
        self.metrics: Metrics = telemetry.EmfMetrics()
        self.trail: Trail = telemetry.LoggedTrail(settings.logged_share)
        self.now_ms: Callable[[], int] = now_ms

    @cached_property
    def namespaces(self) -> namespaces.Namespaces:
        """Settings per namespace."""
        return namespaces.load()

    @cached_property
    def connections(self) -> ConnectionStore:
        """Connections and sessions."""
        return DynamoDbConnectionStore(self._dynamodb, self.settings.connections_table, self.now_ms)

    @cached_property
    def tickets(self) -> TicketStore:
        """Single-use tickets."""
        return DynamoDbTicketStore(self._dynamodb, self.settings.connections_table)

    @cached_property
    def api_keys(self) -> ApiKeyStore:
        """Servers' keys."""
        return DynamoDbApiKeyStore(self._dynamodb, self.settings.limits_table)

    @cached_property
    def keys(self) -> "Keys":
        """Makes and revokes servers' keys."""
        from shared.services.keys import Keys

        return Keys(self.api_keys, self.now_ms)

    @cached_property
    def tokens(self) -> TokenVerifier:
        """Verifies JWTs."""
        from shared.adapters.tokens import Hs256Tokens

        own = Hs256Tokens(self.token_secret)
        issuers = self.settings.issuers
        if not issuers:
            return own
        from shared.adapters.issuer_keys import IssuerKeys, read_keys  # brings cryptography
        from shared.adapters.issuer_tokens import IssuerTokens, TokensByIssuer

        read = partial(read_keys, local=self.settings.stage == LOCAL_STAGE)
        keys = {one.url: IssuerKeys(partial(read, one), self.now_ms, telemetry.failure) for one in issuers}
        return TokensByIssuer(own, {one.url: IssuerTokens(one, keys[one.url], issuers) for one in issuers})

    @cached_property
    def token_secret(self) -> "RotatedSecret":
        """What the stage signs with."""
        from shared.adapters.rotated_secret import MIN_BYTES, RotatedSecret

        # Stage local signs a token for whoever asks for one: nothing is lost by a secret that can be guessed.
        least_bytes = 1 if self.settings.stage == LOCAL_STAGE else MIN_BYTES
        return RotatedSecret(self._read_token_secret, self.now_ms, telemetry.failure, least_bytes=least_bytes)

    @cached_property
    def front_door(self) -> "FrontDoor | None":
        """The way in, where the stage has CloudFront."""
        if not self.settings.front_secret_arn:
            return None
        from shared.adapters.front_secret import FrontSecret
        from shared.adapters.rotated_secret import RotatedSecret, read_values
        from shared.services.front_door import FrontDoor

        read = partial(read_values, self._secrets, self.settings.front_secret_arn)
        return FrontDoor(FrontSecret(RotatedSecret(read, self.now_ms, telemetry.failure)))

    @cached_property
    def revocations(self) -> RevocationStore:
        """Until when users' tokens are revoked."""
        return DynamoDbRevocationStore(self._dynamodb, self.settings.connections_table)

    @cached_property
    def authentication(self) -> Authentication:
        """Whom tokens name."""
        return Authentication(self.tokens, self.revocations)

    @cached_property
    def revocation(self) -> "Revocation":
        """Throws out connections and users."""
        from shared.services.revocation import Revocation

        return Revocation(
            connections=self.connections,
            revocations=self.revocations,
            session_end=self.session_end,
            executor=ThreadPoolExecutor(_LIST_THREADS),
            metrics=self.metrics,
            now_ms=self.now_ms,
            on_failure=telemetry.failure,
            presence=self.presence,
        )

    @cached_property
    def transport(self) -> ConnectionTransport:
        """The way to live connections."""
        pusher = pusher_of(self._session, self.settings.connections_endpoint, self.metrics)
        return Sinks(pusher, self.mailboxes, self._pushing)

    @cached_property
    def _pushing(self) -> Executor:
        return ThreadPoolExecutor(_FAN_OUT_THREADS)

    @cached_property
    def mailbox_store(self) -> MailboxStore:
        """What waits for HTTP sessions."""
        return DynamoDbMailboxStore(self._dynamodb, self.settings.connections_table)

    @cached_property
    def mailboxes(self) -> Mailboxes:
        """The way to HTTP sessions."""
        return Mailboxes(self.mailbox_store, self.metrics, self.now_ms)

    @cached_property
    def held_streams(self) -> HeldStreams:
        """How many streams users have open."""
        return DynamoDbHeldStreams(self._dynamodb, self.settings.connections_table)

    @cached_property
    def signer(self) -> Signer:
        """Signs session tokens and cursors."""
        from shared.adapters.signatures import HmacSigner

        return HmacSigner(self.token_secret)

    @cached_property
    def http_sessions(self) -> "HttpSessions":
        """The life of sessions that come by HTTP."""
        from shared.services.http_sessions import HttpSessions

        return HttpSessions(
            sessions=self.sessions,
            connections=self.connections,
            mailboxes=self.mailboxes,
            signer=self.signer,
            limits=self.limits,
            metrics=self.metrics,
            now_ms=self.now_ms,
        )

    @cached_property
    def session_end(self) -> "SessionEnd":
        """Ends sessions."""
        from shared.services.session_end import SessionEnd

        return SessionEnd(self.connections, self.transport, self.now_ms, self.attendance)

    @cached_property
    def mailbox_reader(self) -> "MailboxReader":
        """Reads what waits for HTTP sessions."""
        from shared.services.mailbox_reader import MailboxReader

        return MailboxReader(
            store=self.mailbox_store,
            connections=self.connections,
            sessions=self.http_sessions,
            history=self.history,
            signer=self.signer,
            limits=self.limits,
            now_ms=self.now_ms,
        )

    @cached_property
    def bus(self) -> EventBus:
        """The event bus."""
        client = metered(self._aws.client("events", config=CLIENT_CONFIG), self.metrics)
        return EventBridgeBus(client, self.settings.event_bus_name)

    @cached_property
    def streams(self) -> Streams:
        """Streams and their ends."""
        store = DynamoDbStreamStore(self._dynamodb, self.settings.streams_table)
        return Streams(store, self.namespaces, self.now_ms, self.settings.generation)

    @cached_property
    def append(self) -> Append:
        """The writer of streams."""
        return Append(self.streams)

    @cached_property
    def history(self) -> History:
        """The reader of streams."""
        return History(self.streams)

    @cached_property
    def fan_out(self) -> FanOut:
        """Delivers to subscribers."""
        return FanOut(
            connections=self.connections,
            transport=self.transport,
            deliveries=SqsDeliveryQueue(self._sqs, self.settings.delivery_queue_url),
            gate=Gate(self._breaker("Push"), Pacer(self.settings.push_rate_per_s, time.monotonic)),
            executor=self._pushing,
            metrics=self.metrics,
            now_ms=self.now_ms,
            on_failure=telemetry.channel_failure,
            attendance=self.attendance,
            trail=self.trail,
            in_order=InOrder(
                self.telling, self.history, self._pushing, time.sleep, self.now_ms, telemetry.channel_failure
            ),
        )

    @cached_property
    def telling(self) -> Telling:
        """Who is told in order."""
        return DynamoDbTelling(self._dynamodb, self.settings.connections_table, self.now_ms)

    @cached_property
    def presence_store(self) -> PresenceStore:
        """Who is present."""
        return DynamoDbPresenceStore(self._dynamodb, self.settings.presence_table, self.now_ms)

    @cached_property
    def looks(self) -> LookQueue:
        """The way to the presence watch."""
        return SqsLookQueue(self._sqs, self.settings.look_queue_url)

    @cached_property
    def attendance(self) -> Attendance:
        """Takes connections into channels' members and out of them."""
        return Attendance(self.presence_store, self.connections, self.looks, self.metrics, self.now_ms)

    @cached_property
    def presence_reader(self) -> PresenceReader:
        """Reads who is present."""
        return PresenceReader(self.presence_store, self.markers, self.streams.store, self.namespaces)

    @cached_property
    def presence(self) -> Presence:
        """What clients ask of presence."""
        return Presence(self.attendance, self.presence_reader, self.bus, self.now_ms)

    @cached_property
    def presence_watch(self) -> "PresenceWatch":
        """Tells subscribers who is present."""
        from shared.services.presence_watch import PresenceWatch

        return PresenceWatch(
            self.presence_reader,
            self.looks,
            self.bus,
            self.metrics,
            self.now_ms,
            telemetry.channel_failure,
            ThreadPoolExecutor(_WATCH_THREADS),
        )

    @cached_property
    def channel_tail(self) -> "ChannelTail":
        """Follows channels without a session."""
        from shared.services.channel_tail import ChannelTail

        return ChannelTail(self.history, self.signer, self.authentication, self.now_ms)

    @cached_property
    def publishing(self) -> Publishing:
        """The sender's side of publishing."""
        return Publishing(
            namespaces=self.namespaces,
            lanes=SqsLaneQueue(self._sqs, self.settings.lane_urls),
            append=self.append,
            bus=self.bus,
            fan_out=self.fan_out,
            connections=self.connections,
            receipts=self.receipts,
            limits=self.limits,
            processing=self.processing,
            metrics=self.metrics,
            now_ms=self.now_ms,
            trail=self.trail,
        )

    @cached_property
    def processing(self) -> "Processing":
        """What publications go through before they are queued."""
        from shared.services.processing import Processing  # brings pydantic: only where publications come in

        # By its name: the list is the user's and lies in functions/, above this module, and not every function has it.
        processors = importlib.import_module(PROCESSORS_MODULE).PROCESSORS
        return Processing(processors, self.metrics, telemetry.channel_failure)

    @cached_property
    def document_reader(self) -> DocumentReader:
        """Reads state documents."""
        store = DynamoDbDocumentStore(self._dynamodb, self.settings.state_table)
        above = (self.settings.generation - 1) * GENERATION_VERSIONS
        return DocumentReader(RaisedDocumentStore(store, above) if above else store, above)

    @cached_property
    def documents(self) -> "Documents":
        """Changes state documents."""
        from shared.services.documents import Documents

        rules = importlib.import_module(DOCUMENTS_MODULE)  # the user's, as processors are
        return Documents(
            store=self.document_reader.store,
            namespaces=self.namespaces,
            rules=rules.SCHEMAS,
            resolvers=rules.RESOLVERS,
            bus=self.bus,
            fan_out=self.fan_out,
            limits=self.limits,
            metrics=self.metrics,
            now_ms=self.now_ms,
            on_failure=telemetry.channel_failure,
        )

    @cached_property
    def limits(self) -> RateLimits:
        """Who may send how much."""
        buckets = DynamoDbBucketStore(self._dynamodb, self.settings.limits_table)
        return RateLimits(buckets, self.namespaces, self.metrics, self.now_ms, self.settings.limits)

    @cached_property
    def event_publishing(self) -> "EventPublishing":
        """Publishes what events ask for."""
        from shared.services.event_publish import EventPublishing  # brings pydantic

        return EventPublishing(
            publishing=self.publishing,
            dead_letters=SqsDeadLetters(self._sqs, self.settings.event_dead_letters_url),
            metrics=self.metrics,
            on_refusal=telemetry.failure,
        )

    @cached_property
    def dead_letter_queues(self) -> DeadLetterQueues:
        """What failed for good."""
        from shared.adapters.sqs_dead_letters import SqsDeadLetterQueues, Way

        settings = self.settings
        ways: dict[RedrivenQueue, Way] = {
            lane: Way(settings.dead_letter_urls[lane], url) for lane, url in settings.lane_urls.items()
        }
        events = Way(settings.event_dead_letters_url, settings.event_queue_url)
        return SqsDeadLetterQueues(self._sqs, ways | {"events": events})

    @cached_property
    def redrive(self) -> "Redrive":
        """Puts back what failed for good."""
        from shared.services.redrive import Redrive

        return Redrive(self.dead_letter_queues, self.now_ms)

    @cached_property
    def metric_source(self) -> MetricSource:
        """What was measured."""
        from shared.adapters.cloudwatch import CloudWatchMetricSource

        return CloudWatchMetricSource(self._aws.client("cloudwatch", config=CLIENT_CONFIG))

    @cached_property
    def measurements(self) -> "Measurements":
        """Reads what was measured, for admins."""
        from shared.services.measurements import Measurements

        return Measurements(self.metric_source, self.now_ms)

    @cached_property
    def cost(self) -> "Cost":
        """Sums up what this month's use comes to, for admins."""
        from shared.services.cost import Cost

        return Cost(self.metric_source, self.now_ms, self.settings.stage == LOCAL_STAGE)

    @cached_property
    def connection_list(self) -> "ConnectionList":
        """Lists connections, for admins."""
        from shared.services.connection_list import ConnectionList

        executor = ThreadPoolExecutor(_LIST_THREADS)
        return ConnectionList(self.connections, self.mailbox_store, self.signer, executor, self.now_ms)

    @cached_property
    def publish_worker(self) -> PublishWorker:
        """The lanes' side of publishing."""
        return PublishWorker(
            namespaces=self.namespaces,
            append=self.append,
            bus=self.bus,
            records=SqsLaneRecords(self._sqs, self.settings.lane_urls, self.settings.dead_letter_urls),
            receipts=self.receipts,
            metrics=self.metrics,
            executor=ThreadPoolExecutor(_WORKER_THREADS),
            sleep=time.sleep,
            on_failure=telemetry.channel_failure,
            trail=self.trail,
        )

    @cached_property
    def receipts(self) -> Receipts:
        """Tells senders what became of what they sent."""
        return Receipts(self.bus)

    @cached_property
    def markers(self) -> ReadMarkers:
        """How far users have read."""
        return DynamoDbReadMarkers(self._dynamodb, self.settings.presence_table)

    @cached_property
    def reading(self) -> Reading:
        """Takes what users say that they have read."""
        return Reading(self.markers, self.history, self.receipts)

    @cached_property
    def purge(self) -> Purge:
        """Ends streams."""
        return Purge(self.streams, self.bus)

    @cached_property
    def subscriptions(self) -> Subscriptions:
        """Who is subscribed to what."""
        return Subscriptions(
            self.connections, self.history, self.document_reader, self.metrics, self.presence, self.settings.limits
        )

    @cached_property
    def sessions(self) -> Sessions:
        """The life of connections."""
        return Sessions(
            connections=self.connections,
            tickets=self.tickets,
            authentication=self.authentication,
            deadlines=self.deadline_queue,
            subscriptions=self.subscriptions,
            mailboxes=self.mailboxes,
            metrics=self.metrics,
            now_ms=self.now_ms,
            attendance=self.attendance,
        )

    @cached_property
    def deadline_queue(self) -> DeadlineQueue:
        """Reminders."""
        return SqsDeadlineQueue(self._sqs, self.settings.deadline_queue_url)

    @cached_property
    def commands(self) -> "Commands":
        """What clients may have the server do."""
        from shared.domain.commands import catalogue
        from shared.services.commands import Commands  # brings pydantic: only where frames come in

        # By its name, as with processors.
        commands = catalogue(importlib.import_module(COMMANDS_MODULE).COMMANDS)
        return Commands(commands, self.publishing, self.history, self.metrics, self.now_ms, telemetry.failure)

    @cached_property
    def pending_commands(self) -> PendingCommandStore:
        """Commands that wait for a peer's answer."""
        return DynamoDbPendingCommandStore(self._dynamodb, self.settings.connections_table)

    @cached_property
    def peer_commands(self) -> PeerCommands:
        """Passes commands on to peers."""
        return PeerCommands(
            pending=self.pending_commands,
            connections=self.connections,
            deadlines=self.deadline_queue,
            bus=self.bus,
            limits=self.limits,
            metrics=self.metrics,
            now_ms=self.now_ms,
        )

    @cached_property
    def peer_answers(self) -> PeerAnswers:
        """Passes peers' answers back."""
        return PeerAnswers(
            self.pending_commands, self.connections, self.deadline_queue, self.bus, self.metrics, self.now_ms
        )

    @cached_property
    def deadlines(self) -> Deadlines:
        """Closes who has not said who they are."""
        return Deadlines(
            self.connections, self.sessions, self.transport, self.metrics, self.deadline_queue, self.now_ms
        )

    @cached_property
    def janitor(self) -> Janitor:
        """Finds connections that never said goodbye."""
        return Janitor(
            connections=self.connections,
            sessions=self.sessions,
            transport=self.transport,
            metrics=self.metrics,
            now_ms=self.now_ms,
            on_failure=telemetry.failure,
            attendance=self.attendance,
            deadlines=self.deadline_queue,
        )

    @cached_property
    def dispatcher(self) -> "Dispatcher":
        """Handles clients' frames."""
        from shared.services.dispatch import Dispatcher  # brings pydantic: only where frames come in

        return Dispatcher(
            connections=self.connections,
            sessions=self.sessions,
            subscriptions=self.subscriptions,
            publishing=self.publishing,
            history=self.history,
            document_reader=self.document_reader,
            documents=self.documents,
            reading=self.reading,
            commands=self.commands,
            peer_commands=self.peer_commands,
            peer_answers=self.peer_answers,
            limits=self.limits,
            metrics=self.metrics,
            now_ms=self.now_ms,
            on_failure=telemetry.failure,
            presence=self.presence,
        )

    @cached_property
    def centrifugo_reading(self) -> "CentrifugoReading":
        """Reads history and presence in Centrifugo's words."""
        from shared.services.centrifugo_reading import CentrifugoReading

        return CentrifugoReading(self.history, self.presence)

    @cached_property
    def centrifugo_server(self) -> "CentrifugoServer":
        """Answers servers' calls to Centrifugo's HTTP API."""
        from shared.services.centrifugo_census import CentrifugoCensus
        from shared.services.centrifugo_server import CentrifugoServer
        from shared.services.centrifugo_users import CentrifugoUsers

        return CentrifugoServer(
            publishing=self.publishing,
            reading=self.centrifugo_reading,
            purge=self.purge,
            revocation=self.revocation,
            users=CentrifugoUsers(
                requests=self.centrifugo_requests,
                connections=self.connections,
                sessions=self.sessions,
                revocation=self.revocation,
                transport=self.transport,
                now_ms=self.now_ms,
            ),
            census=CentrifugoCensus(self.connection_list),
            now_ms=self.now_ms,
            on_failure=telemetry.failure,
        )

    @cached_property
    def centrifugo_requests(self) -> "CentrifugoRequests":
        """Does what Centrifugo's commands ask for."""
        from shared.adapters.centrifugo_tokens import HmacCentrifugoTokens
        from shared.services.centrifugo_requests import CentrifugoRequests  # brings pydantic

        return CentrifugoRequests(
            sessions=self.sessions,
            subscriptions=self.subscriptions,
            publishing=lambda: self.publishing,
            reading=self.centrifugo_reading,
            commands=lambda: self.commands,
            tokens=HmacCentrifugoTokens(self.token_secret),
            namespaces=self.namespaces,
            telling=self.telling,
            now_ms=self.now_ms,
        )

    @cached_property
    def centrifugo_streams(self) -> "CentrifugoStreams":
        """Opens the streams of Centrifugo's clients."""
        from shared.services.centrifugo_streams import CentrifugoMailboxReader, CentrifugoStreams

        return CentrifugoStreams(
            requests=self.centrifugo_requests,
            sessions=self.sessions,
            mailboxes=self.mailboxes,
            reader=CentrifugoMailboxReader(
                store=self.mailbox_store,
                connections=self.connections,
                sessions=self.http_sessions,
                history=self.history,
                signer=self.signer,
                limits=self.limits,
                now_ms=self.now_ms,
            ),
            signer=self.signer,
        )

    @cached_property
    def centrifugo_emulation(self) -> "CentrifugoEmulation":
        """Takes the commands of who has such a stream."""
        from shared.services.centrifugo_streams import CentrifugoEmulation

        return CentrifugoEmulation(self.centrifugo, self.signer, self.limits)

    @cached_property
    def centrifugo(self) -> "Centrifugo":
        """Handles the commands of Centrifugo's clients."""
        from shared.services.centrifugo import Centrifugo  # brings pydantic

        return Centrifugo(
            requests=self.centrifugo_requests,
            connections=self.connections,
            sessions=self.sessions,
            transport=self.transport,
            limits=self.limits,
            metrics=self.metrics,
            sleep=time.sleep,
            on_failure=telemetry.failure,
        )

    def reach(self) -> dict[str, str]:
        """Try what requests depend on; return ``ok`` or the error's kind, by dependency."""
        tries: dict[str, Callable[[], object]] = {
            "connections": lambda: self.connections.get("readyz"),
            "streams": lambda: self.streams.store.stream("readyz:readyz"),
            "tokens": self._read_token_secret,
        }
        return {name: _outcome(attempt) for name, attempt in tries.items()}

    @cached_property
    def _dynamodb(self) -> Any:
        breaker = self._breaker("Storage", in_a_row=_STORAGE_FAILURES)
        client = guarded(self._aws.client("dynamodb", config=CLIENT_CONFIG), breaker)
        # Last: what it refuses has been answered, and is billed.
        return versioned(metered(client, self.metrics))

    def _breaker(self, name: str, *, in_a_row: int | None = None) -> CircuitBreaker:
        metric = f"{name}BreakerOpen"
        return CircuitBreaker(
            self.now_ms, lambda state: self.metrics.level(metric, _BREAKER_LEVELS[state]), in_a_row=in_a_row
        )

    @cached_property
    def _sqs(self) -> Any:
        return metered(self._aws.client("sqs", config=CLIENT_CONFIG), self.metrics)

    @cached_property
    def _secrets(self) -> Any:
        return self._aws.client("secretsmanager", config=CLIENT_CONFIG)

    def _read_token_secret(self) -> Sequence[str]:
        from shared.adapters.rotated_secret import read_values

        return read_values(self._secrets, self.settings.token_secret_arn)


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except Exception as error:  # whatever it is, the answer is "not ready"
        telemetry.failure(error)
        return type(error).__name__
    return "ok"


@cache
def services() -> Services:
    """Return the services of this Lambda environment."""
    return Services(Settings.from_env(os.environ))


def prewarm(*names: str) -> None:
    """In Lambda, make these services while the environment starts: what every invocation needs should not wait for one.

    Elsewhere (tests import handlers without AWS) do nothing.
    """
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        for name in names:
            getattr(services(), name)
        gc.freeze()  # from now on garbage is looked for, but among what comes
        gc.enable()
