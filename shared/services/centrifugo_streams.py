"""Centrifugo's HTTP emulation: what is pushed comes as a stream, commands by other requests.

A stream is a mailbox that one reader reads, from its ``connect`` to its end; the two end together.
"""

import secrets
from dataclasses import dataclass
from typing import Final

from shared.domain.centrifugo import centrifugo_id
from shared.domain.connection import CONNECTION_MAX_AGE_S, Connection
from shared.domain.mailbox import Message, Way, mailbox_id
from shared.errors import BadFrameError, ConnectionGoneError, NotFoundError, UnauthenticatedError
from shared.ports import Signer, TokenExpiredError
from shared.protocol.centrifugo import codes
from shared.protocol.centrifugo.commands import Connect, parse
from shared.protocol.centrifugo.replies import Reply, disconnect, encode
from shared.protocol.limits import WEBSOCKET_FRAME_MAX_BYTES
from shared.services.centrifugo import Centrifugo
from shared.services.centrifugo_reading import RefusedReplyError
from shared.services.centrifugo_requests import Answer, CentrifugoRequests, DisconnectedError
from shared.services.limits import RateLimits
from shared.services.mailbox_reader import MailboxReader, Read, Reading
from shared.services.mailboxes import Mailboxes
from shared.services.sessions import EXPIRY_MARGIN_S, Sessions

_SESSION: Final = "centrifugo"
# Their SDKs send it back, and want one. There are no nodes here.
_NODE: Final = "tidewire"


class StreamRefusedError(Exception):
    """There will be no stream: its client is told why, as the first and last of one. SDKs look at no status.

    Attributes:
        text: What it is told.
    """

    def __init__(self, told: Reply) -> None:
        super().__init__("the stream is refused")
        self.text = _text([told])


@dataclass(frozen=True, slots=True)
class Admission:
    """Who asks for a stream, by a token that is good; and what for."""

    user_id: str
    command_id: int
    request: Connect


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream that has begun.

    Attributes:
        text: What its client is told first.
        reading: Where the rest comes from.
    """

    text: str
    reading: Reading


class CentrifugoMailboxReader(MailboxReader):
    """Reads a mailbox for its stream. Who has missed something comes back, and recovers what it can."""

    def last_words(self, reading: Reading) -> list[Read]:
        """As there; nobody else reads it."""
        return MailboxReader.last_words(self, reading) if reading.over else []

    def _lagged(self, reading: Reading, message: Message) -> list[Read]:
        # Not `unsubscribe` 2500 for each channel: SDKs give up a server-side subscription by that.
        reading.after, reading.ended = message.number, True
        return [Read(_text([disconnect(codes.MISSED)]), "")]


@dataclass(frozen=True, slots=True)
class CentrifugoStreams:
    """Opens streams, and ends them."""

    requests: CentrifugoRequests
    sessions: Sessions
    mailboxes: Mailboxes
    reader: CentrifugoMailboxReader
    signer: Signer

    def admit(self, body: str) -> Admission:
        """Return who asks: with one ``connect``, and nothing else.

        Raises:
            BadFrameError, TooLargeError: It is something else.
            StreamRefusedError: The token is not good.
        """
        commands = parse(body, max_bytes=WEBSOCKET_FRAME_MAX_BYTES)
        command = commands[0] if len(commands) == 1 else None
        if command is None or not command.id or command.connect is None:
            raise BadFrameError("a stream is asked for with one connect command, and nothing else")
        try:
            token = self.requests.tokens.connection(command.connect.token)
        except TokenExpiredError:
            raise StreamRefusedError({"id": command.id, "error": codes.TOKEN_EXPIRED.to_wire()}) from None
        except UnauthenticatedError:
            raise StreamRefusedError(disconnect(codes.INVALID_TOKEN)) from None
        return Admission(token.principal.user_id, command.id, command.connect)

    def open(self, admission: Admission, way: Way, *, ping_s: int) -> Opened:
        """Connect.

        What comes into its channels from now on waits in the mailbox, and is read behind the reply: nothing is missed.

        Args:
            admission: Who, and what for.
            way: How the stream is read.
            ping_s: How often its client will hear of it at least.

        Raises:
            StreamRefusedError: It may not.
            TidewireError: It is to be tried again.
        """
        mailbox = mailbox_id(secrets.token_urlsafe(16))
        expires_at_s = self.sessions.now_ms() // 1000 + CONNECTION_MAX_AGE_S + EXPIRY_MARGIN_S
        self.mailboxes.open(mailbox, expires_at_s=expires_at_s)
        try:
            stub = self.sessions.connect(mailbox, None)
            connection, answer = self._connect(stub, admission)
            reading = self.reader.claim(connection, "", admission.user_id, way)
        except BaseException:
            self.end(mailbox)
            raise
        session = self.signer.sign(_SESSION, [mailbox, admission.user_id])
        result = answer.result | {"session": session, "node": _NODE, "ping": ping_s}
        return Opened(_text([{"id": admission.command_id, "connect": result}, *answer.pushes]), reading)

    def _connect(self, stub: Connection, admission: Admission) -> tuple[Connection, Answer]:
        try:
            return self.requests.connect(stub, admission.request, admission.command_id)
        except RefusedReplyError as refused:
            raise StreamRefusedError({"id": admission.command_id, "error": refused.error.to_wire()}) from None
        except DisconnectedError as ended:
            raise StreamRefusedError(disconnect(ended.why)) from None

    def end(self, mailbox: str) -> None:
        """End a stream's connection. A repeat changes nothing."""
        self.mailboxes.close(mailbox)
        self.sessions.disconnect(mailbox)


@dataclass(frozen=True, slots=True)
class CentrifugoEmulation:
    """Takes the commands of who has a stream: what they are answered with comes there."""

    centrifugo: Centrifugo
    signer: Signer
    limits: RateLimits

    def send(self, session: str, data: str, *, received_at_ms: int) -> None:
        """Handle commands.

        Raises:
            NotFoundError: The session is none, or its stream has ended: its client comes back.
            RateLimitedError: Its user asks too often.
        """
        fields = self.signer.open(_SESSION, session)
        if fields is None:
            raise _gone()
        mailbox, user_id = map(str, fields)
        self.limits.http_request(user_id)
        if self.centrifugo.connections.get(centrifugo_id(mailbox)) is None:
            raise _gone()
        replies = self.centrifugo.handle(mailbox, data, received_at_ms=received_at_ms)
        if not replies:
            return
        (error,) = self.centrifugo.transport.push_all([mailbox], encode(replies))
        if isinstance(error, ConnectionGoneError):
            raise _gone()
        if error is not None:
            raise error


def _gone() -> NotFoundError:
    return NotFoundError("there is no such session")


def _text(replies: list[Reply]) -> str:
    return b"\n".join(encode(replies)).decode()
