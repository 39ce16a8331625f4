"""The way to HTTP sessions: what is pushed to them waits in a mailbox. And the way to whatever connection it is."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from shared.domain.centrifugo import is_centrifugo, websocket_id
from shared.domain.gate import Gate
from shared.domain.mailbox import Mailbox, Message, is_farewell, is_mailbox
from shared.errors import ConnectionGoneError
from shared.ports import ConnectionTransport, MailboxStore, Metrics
from shared.protocol.centrifugo.replies import translated


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """Puts pushes into mailboxes."""

    store: MailboxStore
    metrics: Metrics
    now_ms: Callable[[], int]

    def push(self, mailbox_id: str, message: bytes) -> None:
        """Put a message behind the others.

        Where nobody has fetched anything for too long, an empty one is put in its place: the reader will tell its
        client that it lags. Why the session is over finds room always.

        Raises:
            ConnectionGoneError: The client has not been heard of for too long, or has ended its session.
        """
        while (mailbox := self.store.number(mailbox_id, now_s=self._now_s())) is None:
            found = self.store.get(mailbox_id)
            # Gone for good: a client that came back now would not know what it had missed.
            if found is None or (found.gone(self._now_s()) and self._remove(mailbox_id, found)):
                raise ConnectionGoneError
        text = message.decode()
        dropped = mailbox.full and not is_farewell(text)
        if dropped:
            self.metrics.count("MailboxesFull")
        put = Message(mailbox.last, None if dropped else text, self.now_ms())
        self.store.put(mailbox_id, put, expires_at_s=mailbox.expires_at_s)

    def last_active_ms(self, mailbox_id: str) -> int | None:
        """Return when its client was last heard of, Unix milliseconds; ``None`` if it has gone."""
        mailbox = self.store.get(mailbox_id)
        return None if mailbox is None or mailbox.gone(self._now_s()) else mailbox.seen_at_s * 1000

    def close(self, mailbox_id: str) -> None:
        """End it: whoever reads it is told."""
        self.store.remove(mailbox_id)

    def open(self, mailbox_id: str, *, expires_at_s: int, lagging: bool = False) -> None:
        """Make one.

        Args:
            lagging: It begins with the place of all that its session may have missed.
        """
        if lagging:
            self.store.put(mailbox_id, Message(1, None, self.now_ms()), expires_at_s=expires_at_s)
        self.store.open(mailbox_id, Mailbox(expires_at_s, seen_at_s=self._now_s(), last=1 if lagging else 0))

    def renew(self, mailbox_id: str, *, expires_at_s: int) -> bool:
        """Have one live on, if it is there and its client has not been silent for too long; return whether so."""
        return self.store.renew(mailbox_id, expires_at_s=expires_at_s, now_s=self._now_s())

    def _remove(self, mailbox_id: str, mailbox: Mailbox) -> bool:
        return self.store.remove(mailbox_id, seen_at_s=mailbox.seen_at_s)

    def _now_s(self) -> int:
        return self.now_ms() // 1000


@dataclass(frozen=True, slots=True)
class Sinks:
    """The way to every connection: a WebSocket's or a mailbox's, as its id says; in its protocol, as that says too."""

    websockets: ConnectionTransport
    mailboxes: Mailboxes
    executor: Executor

    def push_all(
        self, connection_ids: Sequence[str], messages: Sequence[bytes], gate: Gate | None = None
    ) -> Sequence[Exception | None]:
        """As :meth:`ConnectionTransport.push_all`."""
        mailbox_ids = list(filter(is_mailbox, connection_ids))
        theirs = list(filter(is_centrifugo, connection_ids))
        if not mailbox_ids and not theirs:
            return self.websockets.push_all(connection_ids, messages, gate)
        # The store has a breaker of its own, and its calls are none of the gateway's: no gate. They begin here.
        put = self.executor.map(lambda mailbox_id: self._put(mailbox_id, messages), mailbox_ids)
        others = [one for one in connection_ids if not is_mailbox(one) and not is_centrifugo(one)]
        outcomes = dict(zip(others, self.websockets.push_all(others, messages, gate), strict=True))
        outcomes.update(zip(theirs, self._push_theirs(theirs, messages, gate), strict=True))
        outcomes.update(zip(mailbox_ids, put, strict=True))
        return [outcomes[one] for one in connection_ids]

    def _push_theirs(
        self, connection_ids: Sequence[str], messages: Sequence[bytes], gate: Gate | None
    ) -> Sequence[Exception | None]:
        """Push what their protocol has for it; nothing is no failure."""
        replies = translated(messages) if connection_ids else []
        if not replies:
            return [None] * len(connection_ids)
        return self.push_all([websocket_id(one) for one in connection_ids], replies, gate)

    def last_active_ms(self, connection_id: str) -> int | None:
        """As :meth:`ConnectionTransport.last_active_ms`."""
        return self._of(connection_id).last_active_ms(websocket_id(connection_id))

    def close(self, connection_id: str) -> None:
        """As :meth:`ConnectionTransport.close`."""
        self._of(connection_id).close(websocket_id(connection_id))

    def _put(self, mailbox_id: str, messages: Sequence[bytes]) -> Exception | None:
        try:
            for message in messages:
                self.mailboxes.push(mailbox_id, message)
        except Exception as error:  # whatever it is, it is this connection's
            return error
        return None

    def _of(self, connection_id: str) -> ConnectionTransport | Mailboxes:
        return self.mailboxes if is_mailbox(websocket_id(connection_id)) else self.websockets
