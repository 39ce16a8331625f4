"""One channel as its user has it: subscribing, events, publishing, history."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from tidewire.backoff import backoff_ms
from tidewire.document import Document
from tidewire.documents import Documents
from tidewire.errors import TidewireError, closed, is_passing, uncertain
from tidewire.events import Events, Iterators
from tidewire.frames import Event, Frame, HistoryResult, Position, Priority, PublishResult, Receipt, read
from tidewire.futures import answer, failure, outcome, refuse, resolve
from tidewire.host import Host
from tidewire.listeners import Listeners
from tidewire.part import ChannelPart
from tidewire.presence import Presence
from tidewire.receiver import is_subscription
from tidewire.recovery import Recovery
from tidewire.store import Kept

T = TypeVar("T")
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
        self.presence = Presence(name, host, self._rejoined)
        self._documents: Documents | None = None
        self._parts: list[ChannelPart] = [self.presence]
        self._listeners: dict[str, Listeners[[Event], object]] = {}
        self._resets: Listeners[[Position], object] = Listeners(host.report)
        self._receipts: Listeners[[Receipt], object] = Listeners(host.report)
        self._iterators = Iterators()
        self._wanted = False  # the user has subscribed
        self._stands = False  # ... and this connection is
        self._left = False  # the user has unsubscribed, and the server may not know: a session keeps its subscriptions
        self._turn = 0  # counts unsubscribing: answers to what was asked before it are ignored
        self._joining: asyncio.Future[list[Event]] | None = None
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
        if self._under_way is not None:
            await outcome(self._under_way)
        elif not self._stands:
            first = self.position is None
            self._wanted = True
            latest = await outcome(self._join(history if first else 0))
            if first:
                return latest
        if history == 0:
            return []
        kept = await self.history(limit=history, reverse=True)
        return list(reversed(kept.publications))

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
            await outcome(self._run(self._leave))
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
        if self._documents not in self._parts or not self._wanted:
            joined = self._rejoin()  # before anything is noted, since it raises where no event loop runs
            self._with_documents()
            joined.add_done_callback(self._documents_asked)
        return self._with_documents().document(key)

    # The client's side.

    def connected(self) -> None:
        """A connection stands: take the subscription up again."""
        if self._waiting is not None:
            resolve(self._waiting, None)
        elif self._left and not self._wanted:
            self._run(self._leave).add_done_callback(self._unheard)
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

    def opened(self) -> None:
        """The client, which was closed, connects anew."""
        self._over = None

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
        for events in self._iterators:
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
            self._join().add_done_callback(self._unheard)

    def restore(self, kept: Kept) -> None:
        """Take up a write that an earlier process has left."""
        self._wanted = True
        self._with_documents().restore(kept)

    def _with_documents(self) -> Documents:
        if self._documents is None:
            self._documents = self._make_documents()
        if self._documents not in self._parts:
            self._parts.append(self._documents)
        return self._documents

    def _documents_asked(self, done: "asyncio.Future[Any]") -> None:
        """Where they are refused, the next subscription goes without: it would be refused for them."""
        error = failure(done)
        if isinstance(error, TidewireError) and not is_passing(error) and self._documents in self._parts:
            self._parts.remove(self._documents)
            self._documents.closed(error)
        self._unheard(done)

    def _rejoin(self) -> "asyncio.Future[list[Event]]":
        """Subscribe, or once more: what the parts want has changed."""
        self._stale = self._under_way is not None
        joined = self._under_way or self._join()
        self._wanted = True
        return joined

    def _rejoined(self) -> "asyncio.Future[None]":
        """As :meth:`_rejoin`, for whoever may end the waiting."""
        joining = self._rejoin()

        async def wait() -> None:
            await outcome(joining)

        return self._run(wait)

    def _run(self, work: Callable[[], Awaitable[T]]) -> "asyncio.Future[T]":
        """Do it to its end, whoever waits for that or does no more; return what comes of it, which may go unseen."""
        done: asyncio.Future[T] = answer()

        async def run() -> None:
            try:
                resolve(done, await work())
            except Exception as error:
                refuse(done, error)

        task = self._host.spawn(run())
        task.add_done_callback(lambda _: refuse(done, closed("the client was closed")))
        return done

    def _unheard(self, done: "asyncio.Future[Any]") -> None:
        """Nobody waits for it who would be told."""
        error = failure(done)
        if error is not None and not is_passing(error):
            self._host.report(error)

    async def _leave(self) -> None:
        async with self._asking:
            if self._host.connected() and self._left and not self._wanted:
                await self._host.ask({"type": "unsubscribe", "channel": self.name})
                self._left = False

    def _join(self, history: int = 0) -> "asyncio.Future[list[Event]]":
        """Subscribe, however often it takes; return the latest publications where nothing was to continue."""
        turn = self._turn
        if self._documents is not None:
            self._documents.over = None
        self._joining = self._run(lambda: self._until_joined(history, turn))
        return self._joining

    @property
    def _under_way(self) -> "asyncio.Future[list[Event]] | None":
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
                    self._not_joined(error)
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
        if not is_subscription(result, self.name):
            raise uncertain("the answer makes no sense")
        return result

    def _not_joined(self, error: TidewireError) -> None:
        """The server refuses."""
        if self._stands:
            self._recovery.not_subscribed(self.name)
            return
        if self.position is None:
            self._wanted = False
            self._recovery.close(self.name)
        self._ended(error)

    def _check(self, turn: int) -> None:
        if turn != self._turn:
            raise closed("unsubscribed")

    async def _pause(self, wait_ms: float) -> None:
        """Wait, or, without a connection, for the next one."""
        if self._over is not None:
            raise self._over  # closed by who was told of the loss before
        loop = asyncio.get_running_loop()
        waiting = self._waiting = answer()
        timer = loop.call_later(wait_ms / 1000, resolve, waiting, None) if self._host.connected() else None
        try:
            await waiting
        finally:
            if self._waiting is waiting:
                self._waiting = None
            if timer is not None:
                timer.cancel()

    def _ended(self, error: TidewireError) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            refuse(waiting, error)
        for part in self._parts:
            part.closed(error)
        for events in self._iterators:
            events.end(error)
