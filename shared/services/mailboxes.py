"""The way to HTTP sessions: what is pushed to them waits in a mailbox. And the way to whatever connection it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shared.domain.mailbox import MAILBOX_MAX_MESSAGES, Mailbox, Message, is_mailbox
from shared.errors import ConnectionGoneError, ThrottledError
from shared.ports import ConnectionTransport, MailboxStore, Metrics

_TRIES: Final = 20  # each time another writer was faster


@dataclass(frozen=True, slots=True)
class Mailboxes:
    """Puts pushes into mailboxes."""

    store: MailboxStore
    metrics: Metrics
    now_ms: Callable[[], int]

    def push(self, mailbox_id: str, message: bytes) -> None:
        """Put a message behind the others.

        Where nobody has fetched anything for too long, it is left out, and an empty message put in its place: the
        reader will tell its client that it lags.

        Raises:
            ConnectionGoneError: The client has not been heard of for too long, or has ended its session.
            ThrottledError: Other writers were always faster.
        """
        for _ in range(_TRIES):
            found = self.store.end(mailbox_id)
            if found is None:
                raise ConnectionGoneError
            mailbox, last = found
            if mailbox.gone(self.now_ms() // 1000):
                # Gone for good: a client that came back now would not know what it had missed.
                if self.store.remove(mailbox_id, seen_at_s=mailbox.seen_at_s):
                    raise ConnectionGoneError
                continue
            end = max(mailbox.fetched, last.number if last else 0)
            text: str | None = message.decode()
            if end - mailbox.fetched >= MAILBOX_MAX_MESSAGES:
                self.metrics.count("MailboxesFull")
                if last is not None and last.text is None:
                    return
                text = None
            if self.store.put(mailbox_id, Message(end + 1, text), expires_at_s=mailbox.expires_at_s):
                return
        raise ThrottledError("too many writers at this mailbox", retry_after_ms=200)

    def last_active_ms(self, mailbox_id: str) -> int | None:
        """Return when its client was last heard of, Unix milliseconds; ``None`` if it has gone."""
        found = self.store.end(mailbox_id)
        if found is None or found[0].gone(self.now_ms() // 1000):
            return None
        return found[0].seen_at_s * 1000

    def close(self, mailbox_id: str) -> None:
        """End it: whoever reads it is told."""
        self.store.remove(mailbox_id)

    def open(self, mailbox_id: str, *, expires_at_s: int, lagging: bool = False) -> None:
        """Make one, or have the one that there is live on.

        Args:
            lagging: It begins with the place of all that its session may have missed.
        """
        self.store.open(mailbox_id, Mailbox(expires_at_s=expires_at_s, seen_at_s=self.now_ms() // 1000))
        if lagging:
            self.store.put(mailbox_id, Message(1, None), expires_at_s=expires_at_s)


@dataclass(frozen=True, slots=True)
class Sinks:
    """The way to every connection: a WebSocket's or a mailbox's, as its id says."""

    websockets: ConnectionTransport
    mailboxes: ConnectionTransport

    def push(self, connection_id: str, message: bytes) -> None:
        """As :meth:`ConnectionTransport.push`."""
        self._of(connection_id).push(connection_id, message)

    def last_active_ms(self, connection_id: str) -> int | None:
        """As :meth:`ConnectionTransport.last_active_ms`."""
        return self._of(connection_id).last_active_ms(connection_id)

    def close(self, connection_id: str) -> None:
        """As :meth:`ConnectionTransport.close`."""
        self._of(connection_id).close(connection_id)

    def _of(self, connection_id: str) -> ConnectionTransport:
        return self.mailboxes if is_mailbox(connection_id) else self.websockets
