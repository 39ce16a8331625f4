"""One channel as its user has it: subscribing, events, publishing, history."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from tidewire.backoff import backoff_ms
from tidewire.document import Document
from tidewire.documents import Documents
from tidewire.errors import TidewireError, closed, is_passing, uncertain
from tidewire.events import Events
from tidewire.frames import Event, Frame, HistoryResult, Position, Priority, PublishResult, Receipt, read
from tidewire.futures import failure, refuse, resolve
from tidewire.host import Host
from tidewire.listeners import Listeners
from tidewire.part import ChannelPart
from tidewire.presence import Presence
from tidewire.receiver import makes_sense
from tidewire.recovery import Recovery
from tidewire.store import Kept

Publish = Callable[[Frame, bool], "asyncio.Future[PublishResult]"]
"""Puts a publication in line: the request, and whether it is kept on disk until it is answered."""

EVERY_NAME: Final = "*"


class Channel:
    """One channel: made by :meth:`tidewire.Tidewire.channel`.

    Attributes:
        name: ``namespace:name``.
        presence: Who is there; whoever does not ``join`` neither sees nor is seen.
    """

    def __init__(
        self,
        name: str,
        host: Host,
        recovery: Recovery,
        publish: Publish,
        make_documents: Callable[[], Documents],
    ) -> None:
        self.name = name
        self._host, self._recovery, self._publish, self._make_documents = host, recovery, publish, make_documents
        self.presence = Presence(name, host, self._rejoin)
        self._documents: Documents | None = None
        self._parts: list[ChannelPart] = [self.presence]
        self._listeners: dict[str, Listeners[[Event], object]] = {}
        self._resets: Listeners[[Position], object] = Listeners(host.report)
        self._receipts: Listeners[[Receipt], object] = Listeners(host.report)
        self._iterators: set[Events] = set()
        self._wanted = False  # the user has subscribed
        self._stands = False  # ... and this connection is
        self._left = False  # the user has unsubscribed, and the server may not know: a session keeps its subscriptions
        self._turn = 0  # counts unsubscribing: answers to what was asked before it are ignored
        self._joining: asyncio.Task[list[Event]] | None = None
        # Of two frames the server may handle the later one first: one is asked when the other was answered.
        self._asking = asyncio.Lock()
        self._waiting: asyncio.Future[None] | None = None  # for the next attempt to subscribe
        self._stale = False  # the answer that is awaited is of a stream that has been replaced, or asked for less
        self._over: TidewireError | None = None  # the client was closed

    @property
    def subscribed(self) -> bool:
        """Whether the user wants its events."""
        return self._wanted

    @property
    def position(self) -> Position | None:
        """Where the next recovery would begin; ``None`` before the first answer."""
        return self._recovery.since(self.name)

    async def subscribe(self, *, history: int = 0) -> list[Event]:
        """Receive the channel's events from now on; after a reconnect too, without loss or repetition.

        Args:
            history: How many of the latest publications to return now, oldest first; at most 300.

        Raises:
            TidewireError: The server refuses, or it ends before the server has answered.
        """
        if not self._wanted:
            self._wanted = True
            return await asyncio.shield(self._join(history))
        if self._under_way is not None:
            await asyncio.shield(self._under_way)
        if history == 0:
            return []
        latest = await self.history(limit=history, reverse=True)
        return list(reversed(latest.publications))

    async def unsubscribe(self) -> None:
        """Receive them no longer.

        Raises:
            TidewireError: The server refuses. Without a connection it is left on the next one.
        """
        self._turn += 1
        self._wanted = self._stands = False
        self._recovery.close(self.name)
        self._joining = None
        self._ended(closed("unsubscribed"))
        self._left = True
        try:
            await self._leave()
        except TidewireError:
            if self._host.connected():
                raise

    def publish(
        self,
        name: str,
        data: Any,
        *,
        message_id: str | None = None,
        priority: Priority | None = None,
        ephemeral: bool = False,
        receipt: bool = False,
        offline: bool = False,
    ) -> "asyncio.Future[PublishResult]":
        """Publish. It is put in line at once, and tried again with the same id until the server has it for good.

        Args:
            name: Of the event, 1 to 100 characters.
            data: Any JSON value of at most 24,000 bytes.
            message_id: 1 to 64 characters: of two with one id within 5 minutes the second is none. Made up by default.
            priority: ``express``, ``high``, ``normal`` or ``low``; what the channel's namespace says unless given.
            ephemeral: For who is there now: it gets no offset, and is not kept.
            receipt: Have :meth:`on_receipt` told when it is stored.
            offline: Keep it on disk until it is answered, whatever becomes of this process.

        Returns:
            The server's answer, to be awaited. It fails with a ``TidewireError`` when the server refuses, or with
            ``timeout`` after 280 s of trying: it may have been stored.
        """
        frame: Frame = {"type": "publish", "channel": self.name, "name": name, "data": data}
        frame["message_id"] = message_id or str(uuid.uuid4())
        frame |= {"priority": priority} if priority else {}
        frame |= {"ephemeral": True} if ephemeral else {}
        frame |= {"receipt": True} if receipt else {}
        return self._publish(frame, offline)

    async def history(self, *, since: Position | None = None, limit: int = 50, reverse: bool = False) -> HistoryResult:
        """Read what is kept: after ``since`` ascending, or with ``reverse`` before it descending.

        Args:
            limit: 1 to 300.

        Raises:
            TidewireError: The server refuses; ``timeout``, retryable, when there is no connection.
        """
        await self._host.standing()
        request: Frame = {"type": "history", "channel": self.name, "limit": limit, "reverse": reverse}
        if since is not None:
            request["since"] = since.to_wire()
        return read(HistoryResult.from_wire, await self._host.ask(request))

    def on(self, name: str, listener: Callable[[Event], object]) -> Callable[[], None]:
        """Listen to events of a name, or to all with ``*``. Returns a function that ends it."""
        return self._listeners.setdefault(name, Listeners(self._host.report)).add(listener)

    def on_receipt(self, listener: Callable[[Receipt], object]) -> Callable[[], None]:
        """Be told what became of publications that asked for a receipt. Returns a function that ends it."""
        return self._receipts.add(listener)

    def on_reset(self, listener: Callable[[Position], object]) -> Callable[[], None]:
        """Be called when what was missed can't be had: start over from ``history``. Returns a function that ends it.

        The position is where the events that follow go on.
        """
        return self._resets.add(listener)

    def events(self) -> Events:
        """Return the channel's events from now on, one by one, in order; taking the first subscribes to it.

        They end when the channel is left or the client closed, and fail with the error if that was the server's doing.
        """
        events = Events(self._iterators, self.subscribe)
        if self._over is not None:
            events.end(self._over)
        return events

    def __aiter__(self) -> Events:
        """Return :meth:`events`."""
        return self.events()

    def document(self, key: str) -> Document:
        """Return the state document of that key: always the same object. The channel is subscribed to for it."""
        if self._documents is None:
            documents = self._with_documents()
            self._host.spawn(self._quietly(self._rejoin))
            return documents.document(key)
        return self._documents.document(key)

    # The client's side.

    def connected(self) -> None:
        """A connection stands: take the subscription up again."""
        self._over = None
        if self._waiting is not None:
            resolve(self._waiting, None)
        elif self._left and not self._wanted:
            self._host.spawn(self._quietly(self._leave))
        else:
            self.resubscribe()

    def disconnected(self) -> None:
        """The connection has gone."""
        self._stands = False
        for part in self._parts:
            part.disconnected()

    def check(self) -> None:
        """What was missed last shows in nothing else: ask for it."""
        for part in self._parts:
            part.check()

    def closed(self, error: TidewireError) -> None:
        """The client was closed: nothing that waits for a connection will have one."""
        self._over = error
        self._ended(error)

    def deliver(self, frame: Mapping[str, Any]) -> None:
        """An event's turn has come."""
        try:
            event = read(Event.from_wire, frame)
        except TidewireError as error:
            self._host.report(error)
            return
        for events in list(self._iterators):
            events.put(event)
        for name in dict.fromkeys([event.name, EVERY_NAME]):
            if name in self._listeners:
                self._listeners[name].call(event)

    def push(self, push: Frame) -> None:
        """Something else of this channel was pushed."""
        if push["type"] == "receipt":
            self._receipts.call(read(Receipt.from_wire, push))
        else:
            for part in self._parts:
                part.push(push)

    def start_over(self, position: Position) -> None:
        """What was missed up to there can't be had."""
        self._resets.call(position)

    def resubscribe(self) -> None:
        """The stream was replaced, or the connection: ask where it stands now."""
        if self._under_way is not None:
            self._stale = True
        elif self._wanted:
            self._host.spawn(self._quietly(self._join))

    def restore(self, kept: Kept) -> None:
        """Take up a write that an earlier process has left."""
        self._wanted = True
        self._with_documents().restore(kept)

    def _with_documents(self) -> Documents:
        if self._documents is None:
            self._documents = self._make_documents()
            self._parts.append(self._documents)
        return self._documents

    async def _rejoin(self) -> None:
        """Subscribe, or once more: what the parts want has changed."""
        self._wanted = True
        self._stale = self._under_way is not None
        await asyncio.shield(self._under_way or self._join())

    async def _quietly(self, ask: Callable[[], Awaitable[Any]]) -> None:
        try:
            await ask()
        except TidewireError as error:
            if not is_passing(error):
                self._host.report(error)

    async def _leave(self) -> None:
        async with self._asking:
            if self._host.connected() and not self._wanted:
                await self._host.ask({"type": "unsubscribe", "channel": self.name})
                self._left = False

    def _join(self, history: int = 0) -> "asyncio.Task[list[Event]]":
        """Subscribe, however often it takes; return the latest publications where nothing was to continue."""
        self._joining = asyncio.ensure_future(self._until_joined(history, self._turn))
        self._joining.add_done_callback(failure)  # who waits for it is told
        return self._joining

    @property
    def _under_way(self) -> "asyncio.Task[list[Event]] | None":
        return None if self._joining is None or self._joining.done() else self._joining

    async def _until_joined(self, history: int, turn: int) -> list[Event]:
        attempt = 0
        latest: list[Event] | None = None
        while True:
            try:
                result = await self._subscribe(history, turn)
            except TidewireError as error:
                self._check(turn)
                if not error.retryable:
                    self._not_joined()
                    raise
                after_ms = error.retry_after_ms
                await self._pause(backoff_ms(attempt, self._host.random) if after_ms is None else after_ms)
                attempt += 1
                continue
            if self._stale:
                continue
            if latest is None:
                latest = [] if result["recovered"] else [Event.from_wire(each) for each in result["publications"]]
            self._stands = True
            self._recovery.subscribed(result)
            for part in self._parts:
                part.subscribed(result)
            self._check(turn)  # a listener may have unsubscribed
            if not self._stale:  # ... or have asked for more
                return latest

    async def _subscribe(self, history: int, turn: int) -> Frame:
        async with self._asking:
            self._check(turn)
            self._stale = False
            self._recovery.open(self.name)
            request: Frame = {"type": "subscribe", "channel": self.name}
            if self.position is not None:
                request["since"] = self.position.to_wire()
            if history:
                request["history"] = history
            for part in self._parts:
                request |= part.subscribing()
            result: Frame = await self._host.ask(request)
        self._check(turn)
        if not makes_sense(result):
            raise uncertain("the answer makes no sense")
        return result

    def _not_joined(self) -> None:
        """The server refuses."""
        if self.position is None:
            self._wanted = False
            self._recovery.close(self.name)
        elif self._stands:
            self._recovery.not_subscribed(self.name)

    def _check(self, turn: int) -> None:
        if turn != self._turn:
            raise closed("unsubscribed")

    async def _pause(self, wait_ms: float) -> None:
        """Wait, or, without a connection, for the next one."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        self._waiting = waiting
        timer = loop.call_later(wait_ms / 1000, resolve, waiting, None) if self._host.connected() else None
        try:
            await waiting
        finally:
            self._waiting = None
            if timer is not None:
                timer.cancel()

    def _ended(self, error: TidewireError) -> None:
        if self._waiting is not None:
            refuse(self._waiting, error)
        for part in self._parts:
            part.closed(error)
        for events in list(self._iterators):
            events.end(error)
