"""What services need of the world, as Protocols. The docstrings are the contracts; adapters inherit them.

Every method may raise UnavailableError (throttled, timed out: try again) unless it says otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from shared.domain.api_key import ApiKey
from shared.domain.connection import Connection, Interest, Interests, Session
from shared.domain.dead_letter import DeadLetter, RedrivenQueue
from shared.domain.document import Change, Chunk, DocumentLog
from shared.domain.gate import Gate
from shared.domain.held_stream import HeldStream
from shared.domain.mailbox import Mailbox, Message, Way
from shared.domain.pending_command import PendingCommand
from shared.domain.presence import Attendees, Look, Member, Told
from shared.domain.principal import Principal
from shared.domain.publication import Publication, StreamPosition
from shared.domain.rate import Rate
from shared.domain.segment import Ring, Segment
from shared.domain.telling import Positioned, Turn
from shared.errors import TidewireError, UnauthenticatedError

Lane = Literal["high", "normal", "low"]


class StreamConflictError(Exception):
    """The place is taken.

    Attributes:
        segment: What stands there.
    """

    def __init__(self, segment: Segment) -> None:
        super().__init__("the place is taken")
        self.segment = segment


@dataclass(frozen=True, slots=True)
class Stream:
    """The stream that a channel has now.

    Attributes:
        epoch: Its identity in the store; on the wire the stage's generation stands before it.
        used_at_ms: When its first segment was about to be put, Unix milliseconds; ``None`` before that. A stream
            in use in which nothing is found has been deleted by time.
    """

    epoch: str
    used_at_ms: int | None = None


class StreamStore(Protocol):
    """Streams of channels: which one is current, and its segments. Every read is strongly consistent."""

    def stream(self, channel: str) -> Stream | None:
        """Return the channel's current stream, or ``None`` if it never had one."""
        ...

    def open(self, channel: str, stream: Stream, *, replaces: Stream | None) -> Stream:
        """Make ``stream`` the current one if ``replaces`` still is; return the current one, whoever made it so.

        With the epoch of ``replaces``, it changes that stream's record.
        """
        ...

    def append(self, channel: str, epoch: str, segment: Segment) -> None:
        """Put the segment at its first offset: whole or not at all, and durable when this returns.

        Raises:
            StreamConflictError: Something stands there.
        """
        ...

    def newest(self, channel: str, epoch: str, count: int = 1) -> Sequence[Segment]:
        """Return the last segments, newest first, expired or not: at most ``count`` of them, fewer if they are large.

        One read; where there is any, it returns at least one.
        """
        ...

    def holding(self, channel: str, epoch: str, offset: int) -> Segment | None:
        """Return the segment that holds ``offset`` (or the last before it), and read no other."""
        ...

    def forward(self, channel: str, epoch: str, offset: int) -> Iterator[Segment]:
        """Yield segments in order, from the one that holds ``offset`` (or the first after it) on; expired ones too."""
        ...

    def backward(self, channel: str, epoch: str, offset: int) -> Iterator[Segment]:
        """Yield segments in reverse order, from the one that holds ``offset`` (or the last before it) down."""
        ...

    def rings(self, channel: str, epoch: str, offset: int) -> Iterator[Ring]:
        """Yield the ring of the segment that holds ``offset`` (or the last before it), then what goes on below it.

        Each is the next one's continuation: what lies between would tell nothing new, and is left out. This is for
        going far back: it is read in as few steps as can be, and paid for by all that lies on the way.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a channel's subscribers.

    Attributes:
        count: How many shards the channel has; known from shard 0 alone, else 1.
        positioned: Those among them that are told what is published in order: see :class:`Telling`.
        fossil: Those among these that take deltas.
        by_server: Those whose clients have not asked for it, and do not again.
    """

    connection_ids: Sequence[str]
    count: int = 1
    positioned: Set[str] = frozenset()
    fossil: Set[str] = frozenset()
    by_server: Set[str] = frozenset()


class ConnectionStore(Protocol):
    """Connections, their subscriptions, their sessions. Reads are strongly consistent and leave out what expired."""

    def open(self, connection: Connection) -> None:
        """Write a new connection's record."""
        ...

    def get(self, connection_id: str) -> Connection | None:
        """Return the record, or ``None`` if the connection has gone."""
        ...

    def authenticate(self, connection: Connection) -> bool:
        """Write who it is; return whether it was written.

        It is not if the connection has gone, is another user's by now, or has a token that was issued later.
        """
        ...

    def refresh(self, connection_id: str, principal: Principal) -> Connection | None:
        """Write the principal of a newer token of the same user.

        Returns:
            The connection as it is then, or ``None`` if it has gone, has not said who it is, or has a token that was
            issued later.
        """
        ...

    def announce(self, connection_id: str) -> bool:
        """Write that it is announced; return whether this call has: not if it was so before, or has gone."""
        ...

    def rename(self, connection_id: str, named: Connection) -> bool:
        """Write the record of a connection under the name that it goes by from now on; return whether it was written.

        It is not if the connection has gone, has said who it is, or goes by another name already.
        """
        ...

    def close(self, connection_id: str, *, found_in: str | None = None) -> Connection | None:
        """Take the connection out of every channel; the list of its subscriptions stays for its session to read.

        Returns:
            Its record, if this call is the one that has removed it.

        Also one that is not there any more: a subscription can have come after the close. Unlisted ones are found by
        the record alone, so without it only that of ``found_in``, the channel where it was met, goes.
        """
        ...

    def subscribe(
        self,
        connection: Connection,
        channels: Mapping[str, Interests],
        *,
        expires_at_s: int,
        kept: bool = True,
    ) -> None:
        """Add the connection to the channels' subscribers, with what it wants of each; a repeat changes nothing else.

        ``kept=False`` for the channels that every connection has: their subscription is not listed.
        """
        ...

    def unsubscribe(self, connection_id: str, channels: Sequence[str], *, stays: bool = False) -> None:
        """Take the connection out of the channels; a repeat changes nothing.

        With ``stays`` they are listed no more, but it remains among their subscribers, and wants nothing but events.
        """
        ...

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
        """As :meth:`subscribe`, unless a command with a higher number was about this channel; return whether it is.

        It can be prolonged until ``ends_at_s``, and no longer. With ``positioned`` it is told nothing that is published
        before :meth:`Telling.start`.
        """
        ...

    def prolong(self, connection_id: str, *, expires_at_s: int) -> None:
        """Have all that were subscribed in order go on until then, but none longer than it can."""
        ...

    def prolong_one(
        self, connection_id: str, channel: str, *, expires_at_s: int, ends_at_s: int, command_id: int
    ) -> bool:
        """Have one go on likewise, and :meth:`prolong` until ``ends_at_s``; return whether it does.

        Not if it is not there any more, or a command with a higher number was about this channel. Which one has
        subscribed it stays as it is, and whoever :meth:`Telling.stop` has taken out, out.
        """
        ...

    def unsubscribe_in_order(self, connection_id: str, channel: str, *, command_id: int, stays: bool = False) -> bool:
        """As :meth:`unsubscribe`, unless a command with a higher number was about this channel; return whether it is.

        Commands are handled in any order, and which one came last is remembered also where it was this.
        """
        ...

    def last_command(self, connection_id: str, channel: str) -> int:
        """Return the highest number that a command about this channel has had, as far as it is remembered; else 0."""
        ...

    def shard_of(self, connection_id: str, channel: str) -> int:
        """Return the shard in which a connection is subscribed there."""
        ...

    def subscriptions(self, connection_id: str) -> Mapping[str, Interests]:
        """Return the channels of a connection and what it wants of each, also of one closed not long ago."""
        ...

    def attended(self, connection_id: str) -> Mapping[str, str]:
        """Return the channels where a connection is subscribed with presence, and its user, as long as that is kept.

        Also of one that was closed or has expired: whoever takes it out of the channel's members asks here.
        """
        ...

    def attending(self, connection_id: str) -> Mapping[str, str]:
        """As :meth:`attended`, of a connection that is there; of any other nothing. One read."""
        ...

    def subscribers(
        self, channel: str, shard: int = 0, *, at_most: int | None = None, interest: Interest | None = None
    ) -> Shard:
        """Return the connections in one shard of the channel's subscribers, or the first so many of them.

        With ``interest``, only those that have it.
        """
        ...

    def grow(self, channel: str, shards: int) -> None:
        """Spread new subscribers over this many shards (a power of two) if there are fewer: the number only grows."""
        ...

    def remind(self, connection_id: str, *, minute: int) -> None:
        """Have the connection be due in that minute (of Unix time)."""
        ...

    def get_all(self, connection_ids: Sequence[str]) -> Mapping[str, Connection]:
        """As :meth:`get`, of many: those that are there."""
        ...

    def due(self, minute: int, *, after: str = "", at_a_time: int | None = None) -> Iterator[str]:
        """Yield the connections that are due in that minute, by id, less those that were looked at.

        Args:
            minute: Which.
            after: Only those behind this one.
            at_a_time: Read so many at once, for who may not want all.
        """
        ...

    def mark_looked_at(self, minute: int, connection_id: str) -> None:
        """Remember that those yielded for that minute have been looked at, up to this one."""
        ...

    def swept_minute(self) -> int:
        """Return the last minute whose due connections were looked at; 0 if none ever was."""
        ...

    def mark_swept(self, minute: int) -> None:
        """Remember that minute."""
        ...

    def put_session(self, session: Session) -> None:
        """Write a new session."""
        ...

    def move_session(self, before: Session, after: Session) -> bool:
        """Write a session as it is after, if it lives and its version is the one before; return whether it was written.

        Where that is unknown and it is tried again, it counts as written once.
        """
        ...

    def refresh_session(self, session_id: str, principal: Principal, *, connection_id: str, version: str) -> bool:
        """Write the principal of a newer token, and another version; return whether it was written.

        It is not if the session has ended, or another connection has it by now, or it has a token that was issued
        later.
        """
        ...

    def end_session(self, session_id: str, *, connection_id: str, expires_at_s: int) -> None:
        """Have the session end then, unless it ends sooner, or another connection has it by now."""
        ...

    def session(self, session_id: str) -> Session | None:
        """Return the session, or ``None`` if it has ended."""
        ...


class Telling(Protocol):
    """Subscribers that are told what is published in order, each once, and whose turn it is to tell a shard of them.

    Reads are strongly consistent.
    """

    def positioned(self, channel: str, shard: int) -> Sequence[Positioned]:
        """Return those that may be told, or that nobody has started within :data:`ALIVE_S`."""
        ...

    def start(self, channel: str, shard: int, one: Positioned) -> bool:
        """Have a subscriber be told all that is behind ``since``, if that command still counts; return whether so."""
        ...

    def mark_told(self, channel: str, shard: int, one: Positioned) -> None:
        """Remember that it is as far as its shard, if that command still counts."""
        ...

    def stop(self, channel: str, shard: int, one: Positioned) -> None:
        """Take it out of the channel's subscribers, if that command still counts."""
        ...

    def take(self, channel: str, shard: int, *, holder: str, until_ms: int) -> Turn:
        """Take the turn, unless somebody has it; it ends by itself then. ``holder`` is another one each time."""
        ...

    def end(self, channel: str, shard: int, *, holder: str, position: StreamPosition | None) -> None:
        """End the turn, if it is still had; the shard has been told up to there, or as far as before."""
        ...


class DocumentStore(Protocol):
    """State documents of channels. Reads are strongly consistent."""

    def log(self, channel: str, key: str, *, known: DocumentLog | None = None) -> DocumentLog:
        """Return all that is kept of a document; of one that never was, an empty log.

        With ``known``, as it was read or left before, no more than the end of it is read again where that will do: what
        is returned then reaches as far back as that does.
        """
        ...

    def logs(self, channel: str, *, after: str = "") -> Iterator[DocumentLog]:
        """Yield the logs of a channel's documents, deleted ones too, in the order of their keys, behind ``after``."""
        ...

    def append(self, channel: str, key: str, change: Change, *, to: Chunk | None, full: bool) -> bool:
        """Put a change behind a chunk as it was read, or with ``None`` into a new one; return whether it was put.

        Whole or not at all, and durable when this returns. It was not put if any other change stands there; where it
        can't be told whether one did, it counts as one.
        """
        ...

    def compact(self, channel: str, log: DocumentLog) -> None:
        """Write the log's snapshot, unless there is a newer one, and delete what it covers."""
        ...

    def count(self, channel: str, *, at_most: int) -> int:
        """Return how many documents a channel has, deleted ones too, or ``at_most`` if there are so many."""
        ...


class PresenceStore(Protocol):
    """Who is present in channels: a set of connections, and what users say of themselves.

    Reads are strongly consistent and leave out connections that have expired.
    """

    def enter(
        self, channels: Sequence[str], user_id: str, connection_id: str, *, at_ms: int, expires_at_s: int
    ) -> None:
        """Have a connection be there until then; a repeat has it be there anew."""
        ...

    def leave(self, channel: str, user_id: str, connection_id: str, *, at_s: int | None = None) -> bool:
        """Have a connection be there no longer, or only until then; return whether that changes anything.

        Nobody is there longer by this, or again.
        """
        ...

    def update(
        self, channel: str, user_id: str, fields: Mapping[str, Any], *, active_at_ms: int | None, at_ms: int
    ) -> None:
        """Set ``status``, ``active``, ``data``, whichever are given, and when the user was last active.

        With any of the three the user has another stamp.
        """
        ...

    def forget(self, channel: str, member: Member) -> None:
        """Delete what a user has said, unless it has changed since."""
        ...

    def attendees(self, channel: str) -> Attendees:
        """Return everybody. What was told is read first: the rest is no older."""
        ...

    def member(self, channel: str, user_id: str) -> Member:
        """Return one user, with no connection if it is not there."""
        ...

    def told(self, channel: str) -> Told:
        """Return what subscribers were last told."""
        ...

    def tell(self, channel: str, told: Told, *, before: int) -> bool:
        """Write what subscribers are told, if that version stands there; return whether it was written.

        Where that is unknown and it is tried again, it may count as not written.
        """
        ...


class LookQueue(Protocol):
    """The way to whoever tells subscribers who is present."""

    def send(self, looks: Sequence[Look], *, delay_s: int = 0) -> None:
        """Return when they are durable; each is seen to that much later, some of a channel together."""
        ...


class MailboxStore(Protocol):
    """What waits for HTTP sessions. Reads are strongly consistent, but for :meth:`arrived`."""

    def open(self, mailbox_id: str, mailbox: Mailbox) -> None:
        """Write a new mailbox's record."""
        ...

    def renew(self, mailbox_id: str, *, expires_at_s: int, now_s: int) -> bool:
        """Have a mailbox end later, and its client have been heard of now; return whether it is there to be."""
        ...

    def get(self, mailbox_id: str) -> Mailbox | None:
        """Return the mailbox, or ``None`` if there is none (any more)."""
        ...

    def get_all(self, mailbox_ids: Sequence[str]) -> Mapping[str, Mailbox]:
        """As :meth:`get`, of many: those that are there."""
        ...

    def number(self, mailbox_id: str, *, now_s: int) -> Mailbox | None:
        """Take the next number for a message: ``last`` of what is returned. Nobody else gets it.

        Returns:
            The mailbox as it is then, or ``None`` if there is none, or its client was silent for too long.
        """
        ...

    def put(self, mailbox_id: str, message: Message, *, expires_at_s: int) -> None:
        """Put a message at a number that was taken for it."""
        ...

    def read(self, mailbox_id: str, after: int, *, limit: int) -> Sequence[Message]:
        """Return the messages with greater numbers, in order, at most so many."""
        ...

    def newest(self, mailbox_id: str, *, limit: int) -> Sequence[Message]:
        """Return the messages with the greatest numbers, in order, at most so many."""
        ...

    def claim(self, mailbox_id: str, reader: str, *, way: Way, confirmed: int | None, seen_at_s: int) -> Mailbox | None:
        """Have a new reader; with ``confirmed``, all up to that number is fetched and confirmed, and nothing behind it.

        Returns:
            The mailbox as it is then, or ``None`` if there is none, or its client was silent for too long.
        """
        ...

    def note(self, mailbox_id: str, reader: str, *, fetched: int, seen_at_s: int) -> bool:
        """Note how far a reader has come, and that it is there; return whether it is still the reader."""
        ...

    def skip(self, mailbox_id: str, reader: str, *, seen_at_s: int) -> int | None:
        """As :meth:`note`, at the last number that was taken; return that, or ``None`` if it is not the reader now."""
        ...

    def look(self, awaited: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], tuple[str | None, bool]]:
        """Return, for each mailbox and number, its reader, and whether there is a message there or behind a hole.

        Those that are gone lack. Eventually consistent: for waiting, many at a time. The reader is ``None`` where
        nothing could be learnt.
        """
        ...

    def remove(self, mailbox_id: str, *, seen_at_s: int | None = None) -> bool:
        """Remove the record, if its client was last heard of then; return whether it was removed. Messages expire."""
        ...


class HeldStreams(Protocol):
    """How many streams are open, whose, and from where."""

    def hold(self, stream: HeldStream, *, user_at_most: int, address_at_most: int, at_most: int, now_s: int) -> bool:
        """Count one more, unless its user, its address or all have so many; return whether it was counted.

        An empty address is nobody's in particular. Some that ask at the same time may all be counted.
        """
        ...

    def release(self, reader: str) -> None:
        """Count it no more."""
        ...


class Signer(Protocol):
    """Makes strings that only this stage can have made."""

    def sign(self, purpose: str, fields: Sequence[str | int]) -> str:
        """Return the fields, signed for a purpose: URL-safe characters."""
        ...

    def open(self, purpose: str, signed: str) -> Sequence[str | int] | None:
        """Return the fields of what :meth:`sign` made for this purpose, or ``None`` if it did not."""
        ...


class SharedSecret(Protocol):
    """What somebody else shows to be let in; two values are good while it is changed."""

    def is_known(self, value: str) -> bool:
        """Say whether this is one of them, in a time that does not tell how much of it is right.

        Raises:
            UnavailableError: They can't be read.
        """
        ...


class TicketStore(Protocol):
    """Single-use tickets. Kept by their hash: who reads the store learns no ticket."""

    def issue(self, ticket: str, principal: Principal, *, expires_at_s: int) -> None:
        """Keep a ticket."""
        ...

    def redeem(self, ticket: str, *, now_s: int) -> Principal | None:
        """Return whose it is and forget it; ``None`` if it is unknown, used or too old. One caller at most succeeds."""
        ...


class RevocationStore(Protocol):
    """Until when users' tokens are revoked. Reads are strongly consistent."""

    def revoke(self, user_id: str, *, at_ms: int) -> None:
        """Revoke what was issued until then. What was revoked stays so."""
        ...

    def revoked_at_ms(self, user_id: str) -> int | None:
        """Return until when, Unix milliseconds; ``None`` if nothing ever was."""
        ...


class ApiKeyStore(Protocol):
    """Keys of servers, their secrets by their hash alone. Every read is strongly consistent."""

    def add(self, key: ApiKey, secret: str, *, at_most: int) -> bool:
        """Keep a key, found and listed from then on, unless there are ``at_most`` already; return whether it is."""
        ...

    def find(self, key: str) -> ApiKey | None:
        """Return the key that a server sends as ``<key_id>.<secret>``; ``None`` if there is none, or none any more."""
        ...

    def page(self, after: str, *, limit: int) -> Sequence[ApiKey]:
        """Return keys by id, those behind ``after``."""
        ...

    def remove(self, key_id: str) -> bool:
        """Have it found and listed no longer; tell whether it was there."""
        ...


class BucketStore(Protocol):
    """Token buckets that all processes share."""

    def take(self, key: str, rate: Rate, tokens: int, *, now_ms: int) -> float:
        """Take tokens from a bucket: all of them or none.

        Returns:
            0 if they were taken, else in how many milliseconds they will be there.
        """
        ...


class TokenExpiredError(UnauthenticatedError):
    """The token was good, and has ended."""


class TokenNotServedError(UnauthenticatedError):
    """The token is good, and says what there is not here; the message is for its user's eyes."""


@dataclass(frozen=True, slots=True)
class CentrifugoToken:
    """What a token of Centrifugo's says when somebody connects.

    Attributes:
        channels: By their names: what the server subscribes the connection to.
    """

    principal: Principal
    channels: Sequence[str]


@dataclass(frozen=True, slots=True)
class CentrifugoSubscription:
    """What a subscription token says.

    Attributes:
        channel: By their name.
        expires_at_s: When the subscription ends, if it does by itself.
    """

    user_id: str
    channel: str
    expires_at_s: int | None


class CentrifugoTokens(Protocol):
    """Tokens as Centrifugo has them: centrifugal.dev/docs/server/authentication, .../channel_token_auth."""

    def connection(self, token: str) -> CentrifugoToken:
        """Return whom the token names.

        Raises:
            TokenExpiredError: It has ended.
            TokenNotServedError: It allows what ours can't say.
            UnauthenticatedError: It is forged or malformed, or names nobody.
        """
        ...

    def subscription(self, token: str) -> CentrifugoSubscription:
        """Return what the token allows.

        Raises:
            TokenExpiredError: It has ended.
            UnauthenticatedError: It is forged or malformed.
        """
        ...


class TokenVerifier(Protocol):
    """Tokens: JWTs with the claims of docs/protocol.md 4.1."""

    def verify(self, token: str) -> Principal:
        """Return whom the token names.

        Raises:
            UnauthenticatedError: It is forged, expired, malformed, or names nobody.
        """
        ...

    def issue(
        self,
        user_id: str,
        capabilities: Mapping[str, Sequence[str]],
        *,
        ttl_s: int,
        public: Mapping[str, Any] | None = None,
    ) -> str:
        """Sign a token (local development)."""
        ...


LANE_BATCH_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class LaneMessage:
    """A publication on its way through a lane.

    Attributes:
        retry: Its client repeats it.
    """

    channel: str
    publication: Publication
    retry: bool


class LaneQueue(Protocol):
    """The way to the publish worker: first in, first out per channel."""

    def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
        """Put at most 10 into the lane, in their order; return the places of those that it did not take.

        All others are durable, also those behind one that was not taken. A repeat within 5 minutes is dropped.

        Raises:
            UnavailableError: None is known to be in the lane; each may be.
        """
        ...


@dataclass(frozen=True, slots=True)
class LaneRecord:
    """One record of a lane.

    Attributes:
        receipt: What the queue wants to hear when it is asked to do something with the record.
        tries: How often it has been handed out, this time included.
        raw: Its body as it is in the queue, and its group and id for repeats.
        channel: Empty, and ``publication`` is ``None``, if the body can't be read.
        uncertain: Its client repeats it.
        unreadable: Why it can't be read.
    """

    record_id: str
    receipt: str
    lane: Lane
    tries: int
    raw: tuple[str, str, str]
    channel: str
    publication: Publication | None
    uncertain: bool
    unreadable: Exception | None = None


class LaneRecords(Protocol):
    """What a worker may do with records that it does not finish."""

    def postpone(self, records: Sequence[LaneRecord], *, delay_s: int) -> None:
        """Have them handed out again after so long, and nothing of their channels before them."""
        ...

    def bury(self, record: LaneRecord) -> None:
        """Put it into its lane's dead-letter queue; return when it is durable there."""
        ...


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Pushes of one channel on their way to its subscribers.

    Attributes:
        frames: In order.
        fanned_out: They have been delivered; the event is for other targets.
        connection_id: To this one alone.
        interest: To those subscribers alone that have it.
        but: To all but this connection: the one that has caused them.
    """

    channel: str
    frames: Sequence[Mapping[str, Any]]
    fanned_out: bool = False
    connection_id: str | None = None
    interest: Interest | None = None
    but: str | None = None


class EventBus(Protocol):
    """EventBridge: fan-out listens there, and whoever else likes."""

    def put(self, broadcasts: Sequence[Broadcast]) -> None:
        """Return when every one is on the bus; one without frames tells nobody anything, and is left out."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is left to deliver.

    Attributes:
        connection_ids: To whom; ``None`` for everybody in ``shard``.
        attempt: How often it has been tried.
        interest: As in a :class:`Broadcast`, and so is ``but``.
        positioned: To those alone that are told in order.
        about: Correlation ids of publications that the frames do not name any more.
    """

    channel: str
    frames: Sequence[Mapping[str, Any]]
    connection_ids: Sequence[str] | None
    attempt: int
    shard: int = 0
    interest: Interest | None = None
    but: str | None = None
    positioned: bool = False
    about: Sequence[str] = ()


class DeliveryQueue(Protocol):
    """Deliveries for later, and for others."""

    def send(self, deliveries: Sequence[Delivery], *, delay_s: int) -> None:
        """Return when they are durable."""
        ...


class ReadMarkers(Protocol):
    """How far each user has read each channel."""

    def offset(self, channel: str, user_id: str, epoch: str) -> int:
        """Return the offset where the marker stands, 0 if it stands in another stream."""
        ...

    def offsets(self, channel: str, user_ids: Sequence[str], epoch: str) -> Mapping[str, int]:
        """Return the offsets of those whose marker stands in this stream."""
        ...

    def advance(self, channel: str, user_id: str, position: StreamPosition, *, expires_at_s: int) -> bool:
        """Move the marker forward, or to another stream, and return whether it was moved.

        It is left where it stands there or further already.
        """
        ...


class DeadlineQueue(Protocol):
    """Reminders to look at a connection, or at a command that waits for its answer."""

    def send(self, connection_id: str, *, delay_s: int) -> None:
        """Return when it is durable."""
        ...

    def send_token_end(self, connection_id: str, *, token_expires_at_s: int, delay_s: int) -> None:
        """As :meth:`send`, for a connection whose token, the one that ends then, is about to or has ended."""
        ...

    def send_arrived(self, connection_id: str, *, delay_s: int) -> None:
        """As :meth:`send`, for a connection that came by a ticket and may say nothing."""
        ...

    def send_superseded(self, connection_id: str, *, delay_s: int) -> None:
        """As :meth:`send`, for a connection whose session another has taken."""
        ...

    def send_command(self, command_id: str, *, delay_s: int) -> None:
        """As :meth:`send`, for a command."""
        ...


class PendingCommandStore(Protocol):
    """Commands that wait for a peer's answer. Reads are strongly consistent; expiry is the caller's to look at."""

    def put(self, pending: PendingCommand) -> None:
        """Keep a command, or put one back."""
        ...

    def get(self, command_id: str) -> PendingCommand | None:
        """Return the command, or ``None`` if none waits (any more)."""
        ...

    def take(self, command_id: str) -> PendingCommand | None:
        """As :meth:`get`, and have it wait no longer: of several callers one at most is handed it."""
        ...


class DeadLetters(Protocol):
    """Where goes what failed for good, for somebody to look at."""

    def bury(self, body: str, error: TidewireError) -> None:
        """Put it there, with what was wrong; return when it is durable."""
        ...


class DeadLetterQueues(Protocol):
    """The dead letters of the queues whose messages are worth another try."""

    def waiting(self, queue: RedrivenQueue) -> int:
        """Return about how many there are, those included that somebody is looking at."""
        ...

    def take(self, queue: RedrivenQueue) -> Sequence[DeadLetter]:
        """Return some, 10 at most, and hand them to nobody else for 60 s; none only if there seem to be no more."""
        ...

    def put_back(self, queue: RedrivenQueue, letters: Sequence[tuple[DeadLetter, str]]) -> None:
        """Put letters, each with the body that it is to have, into the queue that they came from, in this order.

        Raises:
            UnavailableError: Some may be back in their queue, and among the dead letters as well.
        """
        ...


class ConnectionTransport(Protocol):
    """The way to live connections."""

    def push_all(
        self, connection_ids: Sequence[str], messages: Sequence[bytes], gate: Gate | None = None
    ) -> Sequence[Exception | None]:
        """Send each of them these messages, at least one, of at most 32,000 bytes, in their order.

        None is sent behind one that failed.

        Args:
            gate: Stands before each message. Those to mailboxes do not pass it: they go another way.

        Returns:
            What was wrong, connection by connection, in the order given: ``ConnectionGoneError`` where there is no such
            connection (any more). Nothing is raised.
        """
        ...

    def last_active_ms(self, connection_id: str) -> int | None:
        """Ask when something last passed on it; ``None`` if it is not there."""
        ...

    def close(self, connection_id: str) -> None:
        """Close it.

        Raises:
            ConnectionGoneError: There is no such connection (any more).
        """
        ...


class Metrics(Protocol):
    """Figures on their way to CloudWatch. Never raises."""

    def count(self, name: str, value: int = 1) -> None:
        """Add to a counter."""
        ...

    def billed(self, name: str, units: float) -> None:
        """Add to what AWS bills: by the minute is enough."""
        ...

    def milliseconds(self, name: str, value: float) -> None:
        """Record a duration."""
        ...

    def level(self, name: str, value: float) -> None:
        """Record how something stands."""
        ...


class Trail(Protocol):
    """Where the steps of publications are told, for whoever asks what became of one. Never raises."""

    def step(self, name: str, correlation_ids: Sequence[str], *, always: bool = False, **facts: int | str) -> None:
        """Tell that these publications, if there are any, have come so far together.

        Args:
            name: Of the step: docs/observability.md has them all.
            correlation_ids: Of a share of all publications steps are told, of the others none.
            always: Whatever the share is.
            facts: Names of our own and numbers. Nothing that a client has chosen.
        """
        ...


Statistic = Literal["Sum", "p50", "p90", "p99"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric of ours, by one statistic."""

    name: str
    statistic: Statistic = "Sum"


class MetricSource(Protocol):
    """What was measured, read back from CloudWatch: as late as it is there, some seconds to a minute after."""

    def read(
        self, measures: Sequence[Measure], *, from_s: int, until_s: int, period_s: int
    ) -> Sequence[Mapping[int, float]]:
        """Return for each measure, in this order, its value by the second at which the period begins.

        Periods in which nothing was measured are left out. ``from_s`` and ``until_s`` are on a period's edge; periods
        below 60 s are kept for 3 hours.
        """
        ...
