"""Read what waits for an HTTP session: who may, from where, and what is told to one who lags."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.centrifugo import websocket_id
from shared.domain.channel import BROADCAST_CHANNEL, personal_channel
from shared.domain.connection import Connection
from shared.domain.mailbox import HOLE_MS, READ_MAX_MESSAGES, Message, Way, is_farewell
from shared.errors import ForbiddenError, SessionUnknownError, UnauthenticatedError
from shared.ports import ConnectionStore, MailboxStore, Signer
from shared.protocol.encode import encode_frames
from shared.services.history import History
from shared.services.http_sessions import HttpSessions
from shared.services.limits import RateLimits

CURSOR: Final = "cursor"
SUPERSEDED: Final = '{"type":"system","event":"superseded"}'
_TOLD_WITHIN_S: Final = 5  # the end of a token is told by way of a queue


@dataclass(slots=True)
class Reading:
    """One reader's way through a mailbox.

    Attributes:
        after: Number of the last message that it was given, or that it lags behind.
        given: Number of the last message that it was given.
        ended: Another reader has taken its place, or its mailbox is gone.
        over: ... and its session with it: nobody else reads. What it was told last may still be read.
        hole: What comes next is not there yet, but what comes after it is.
        looked_at_s: When the store was last asked whether something has come, by the clock of the loop that waits.
    """

    connection: Connection
    session_id: str
    user_id: str
    reader: str
    after: int
    given: int
    ended: bool = False
    over: bool = False
    hole: bool = False
    looked_at_s: float = 0.0

    @property
    def mailbox_id(self) -> str:
        """The mailbox's: its connection goes by another name where it speaks Centrifugo's protocol."""
        return websocket_id(self.connection.connection_id)


@dataclass(frozen=True, slots=True)
class Read:
    """What a read gave.

    Attributes:
        text: A frame or an array of them, as JSON.
        cursor: Where the next read goes on.
    """

    text: str
    cursor: str


@dataclass(frozen=True, slots=True)
class MailboxReader:
    """Reads mailboxes."""

    store: MailboxStore
    connections: ConnectionStore
    sessions: HttpSessions
    history: History
    signer: Signer
    limits: RateLimits
    now_ms: Callable[[], int]

    def begin(self, session_id: str, user_id: str, cursor: str | None, way: Way) -> Reading:
        """Become the session's reader, in place of whoever was: behind the cursor, else behind what is confirmed.

        A session that a WebSocket has moves to a mailbox.

        Raises:
            SessionUnknownError: It has ended, or is another user's.
            UnauthenticatedError: Its token has expired.
            ForbiddenError: The cursor is not this session's.
            LimitReachedError: Nothing has it any more, and its user has as many connections as it may.
            RateLimitedError: It reads too often.
        """
        number = None if cursor is None else self._number(cursor, session_id, user_id)
        connection = self.sessions.with_mailbox(session_id, user_id)
        if connection.principal is None or connection.principal.expired(self._now_s()):
            raise UnauthenticatedError("the token has expired")
        self.limits.request(connection.connection_id)
        # A cursor of a mailbox that it had before says nothing here.
        confirmed = number[1] if number and number[0] == connection.connection_id else None
        return self.claim(connection, session_id, user_id, way, confirmed=confirmed)

    def claim(
        self, connection: Connection, session_id: str, user_id: str, way: Way, *, confirmed: int | None = None
    ) -> Reading:
        """Become the reader of a connection's mailbox, as :meth:`begin` of a session's.

        Raises:
            SessionUnknownError: It is gone.
        """
        reading = Reading(connection, session_id, user_id, secrets.token_urlsafe(9), 0, 0)
        mailbox = self.store.claim(
            reading.mailbox_id, reading.reader, way=way, confirmed=confirmed, seen_at_s=self._now_s()
        )
        if mailbox is None:
            raise SessionUnknownError("the session has ended")
        reading.after = reading.given = mailbox.confirmed
        return reading

    def read(self, reading: Reading) -> list[Read]:
        """Return what has come since, in order, at most 25 messages; each with the cursor behind it.

        Where messages are missing for good, it tells of that, and goes on at the end. A reader that turns out to have
        been superseded is ``ended``, and gets nothing of what only one may be told.
        """
        reads: list[Read] = []
        reading.hole = False
        for message in self.store.read(reading.mailbox_id, reading.after, limit=READ_MAX_MESSAGES):
            next_one = message.number == reading.after + 1
            if not next_one and self.now_ms() - message.put_at_ms < HOLE_MS:
                reading.hole = True
                break
            if not next_one or message.text is None:
                return reads + self._lagged(reading, message)
            reading.after = reading.given = message.number
            reads.append(Read(message.text, self.cursor(reading)))
        return reads

    def last_words(self, reading: Reading) -> list[Read]:
        """Return what a reader is told that may not go on: that another reads now; or, where the session is over, why.

        Before that what is left, as much as one read gives; and that whatever else there is: holes that nobody will
        fill, or more than the mailbox has room for.
        """
        if not reading.over:
            return [Read(SUPERSEDED, self.cursor(reading))]
        reads = self.read(reading)
        for message in self.store.newest(reading.mailbox_id, limit=READ_MAX_MESSAGES):
            if message.number > reading.given and message.text is not None and is_farewell(message.text):
                reading.after = reading.given = message.number
                reads.append(Read(message.text, self.cursor(reading)))
        return reads

    def cursor(self, reading: Reading) -> str:
        """Return where the next read goes on."""
        return self.signer.sign(CURSOR, (reading.session_id, reading.user_id, reading.mailbox_id, reading.after))

    def user_of(self, cursor: str, session_id: str) -> str | None:
        """Return whom this session's cursor was given to, or ``None`` if it is none."""
        fields = self.signer.open(CURSOR, cursor)
        return str(fields[1]) if fields and fields[0] == session_id else None

    def stay(self, reading: Reading) -> bool:
        """Note that the reader is there, and how far it is; return whether it may go on."""
        if self._expired(reading.connection):
            # Unless it has been refreshed meanwhile.
            reading.connection = self.connections.get(reading.connection.connection_id) or reading.connection
            if self._expired(reading.connection):
                return False
        there = self.store.note(reading.mailbox_id, reading.reader, fetched=reading.after, seen_at_s=self._now_s())
        if not there:
            self._end(reading)
        return there

    def _expired(self, connection: Connection) -> bool:
        """Tell whether the token has ended, long enough ago for the reader to have been told."""
        return connection.principal is None or connection.principal.expired(self._now_s() - _TOLD_WITHIN_S)

    def _end(self, reading: Reading) -> None:
        reading.ended = True
        session = self.connections.session(reading.session_id)
        moved = session is not None and session.connection_id != reading.mailbox_id
        reading.over = not moved and self.store.get(reading.mailbox_id) is None

    def _number(self, cursor: str, session_id: str, user_id: str) -> tuple[str, int]:
        """Return which mailbox it is of, and the number of the message."""
        fields = self.signer.open(CURSOR, cursor)
        if fields is None or list(fields[:2]) != [session_id, user_id]:
            raise ForbiddenError("the cursor is not this session's")
        return str(fields[2]), int(fields[3])

    def _lagged(self, reading: Reading, message: Message) -> list[Read]:
        """Go to the end, or past the opening; return what stands for all before: where each of the channels is.

        In this order, so that nothing falls between the two. Nothing is returned if it is not this reader's any more:
        the next one has to be told.
        """
        mailbox_id, reader, now_s = reading.mailbox_id, reading.reader, self._now_s()
        last: int | None = message.number
        if not message.opening:
            last = self.store.skip(mailbox_id, reader, seen_at_s=now_s)
        elif not self.store.note(mailbox_id, reader, fetched=message.number, seen_at_s=now_s):
            last = None
        if last is None:
            self._end(reading)
            return []
        before = self.cursor(reading)  # who has only some of them is to be given all of them again
        reading.after = last
        subscribed = self.connections.subscriptions(reading.mailbox_id)
        channels = sorted(subscribed.keys() | {personal_channel(reading.user_id), BROADCAST_CHANNEL})
        texts = [message.decode() for message in encode_frames(self._positions(channels))]
        return [
            *(Read(text, before) for text in texts[:-1]),
            *(Read(text, self.cursor(reading)) for text in texts[-1:]),
        ]

    def _positions(self, channels: Iterable[str]) -> Iterable[dict[str, Any]]:
        for channel in channels:
            end = self.history.streams.existing_end(channel)
            if end is not None:
                position = self.history.streams.position(end).to_wire()
                yield {"type": "system", "event": "lagged", "channel": channel, "position": position}

    def _now_s(self) -> int:
        return self.now_ms() // 1000
