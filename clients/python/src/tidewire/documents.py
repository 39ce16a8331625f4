"""A channel's state documents: what is known of them, and how what is lacking is had."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeGuard, TypeVar

from tidewire.backoff import again_after_ms, backoff_ms
from tidewire.document import Document
from tidewire.errors import TidewireError, is_passing, senseless, uncertain
from tidewire.frames import Frame
from tidewire.futures import refuse, resolve
from tidewire.host import Host
from tidewire.replica import Replica, is_version
from tidewire.store import Kept, Store

_KNOWN_MAX_BYTES: Final = 20_000
# What was read of a document may be older than what was pushed; whoever says so again and again must not be hammered.
_FILLS_AT_ONCE: Final = 4

R = TypeVar("R")


@dataclass(eq=False, slots=True)
class _Reading:
    """All documents are being read.

    Attributes:
        known: The versions that the server was told; ``None`` if it was not.
        doubted: What was known then, and not told: the server does not say what of it has been deleted.
        after: Up to this key they have been read.
    """

    known: dict[str, int] | None
    doubted: set[str]
    after: str = ""

    def to_wire(self, channel: str) -> Frame:
        """Return what is to be asked for the next page."""
        request: Frame = {"type": "state.get", "channel": channel}
        if self.known is not None:
            request["known"] = self.known
        return request | ({"after": self.after} if self.after else {})


class Documents:
    """A channel's documents: a :class:`~tidewire.part.ChannelPart`.

    Args:
        read_document: Reads a document of this channel by HTTP: its version and value, ``None`` if there is none.
        store: Where writes are kept, if they can be.

    Attributes:
        open: Something can be asked.
        told: The server has told of all documents since the channel was subscribed to.
        over: Why nothing is told or written until the channel is subscribed to again.
    """

    def __init__(
        self,
        channel: str,
        host: Host,
        read_document: Callable[[str], Awaitable[tuple[int, Any] | None]],
        store: Callable[[], Store | None],
    ) -> None:
        self.channel, self.host, self.store = channel, host, store
        self.replica = Replica(channel)
        self.open = self.told = False
        self.over: TidewireError | None = None
        self._read_document = read_document
        self._documents: dict[str, Document] = {}
        self._heard: dict[str, int] = {}  # of keys: a version that is there, with a hole before it
        self._catching: dict[str, asyncio.Task[None]] = {}  # up, of keys
        self._waiting: set[asyncio.Future[None]] = set()
        self._next = _Reading(None, set())
        self._reading: _Reading | None = None  # of one that was begun before, the rest is of no use
        self._left = 0  # counts the subscriptions that were left

    def document(self, key: str) -> Document:
        """Return the document of that key: always the same object for the same key."""
        document = self._documents.get(key)
        if document is None:
            document = self._documents[key] = Document(key, self)
            document.update()
        return document

    def restore(self, kept: Kept) -> None:
        """Take up a write that an earlier process has left: in order, before the channel is subscribed to."""
        self.document(kept.request["key"]).restore(kept)

    # The channel's side.

    def subscribing(self) -> Frame:
        """Return ``state``: the versions that are known."""
        self.over = None
        self._next = self._begin()
        return {"state": True if self._next.known is None else self._next.known}

    def subscribed(self, result: Frame) -> None:
        """Take the documents, and send what waits."""
        self.open = True
        if result.get("state") is not None:
            self._read(self._next, result["state"])
        for waiting in self._waiting:
            resolve(waiting, None)
        for document in self._all():
            document.send()

    def push(self, push: Frame) -> None:
        """Take a change of a document."""
        if push.get("type") != "state" or not isinstance(push.get("key"), str) or not is_version(push):
            return
        key, version = push["key"], push["version"]
        if version > self.replica.version(key):
            try:
                self._took(key, version, self.replica.pushed(push))
            except Exception as error:  # nested too deeply, say
                self.host.report(error)

    def check(self) -> None:
        """Ask for what has changed without a word."""
        if self.open:
            self._read(self._begin())

    def disconnected(self) -> None:
        """Wait for the next subscription."""
        self.open = False

    def closed(self, error: TidewireError) -> None:
        """Refuse what waits."""
        self.open = self.told = False
        self.over = error
        self._left += 1
        self._reading = None
        self._heard.clear()
        for waiting in self._waiting:
            refuse(waiting, error)
        for document in self._all():
            document.closed(error)

    # The documents' side.

    async def wrote(self, key: str, result: Mapping[str, Any]) -> None:
        """Take the result of a write; returns when the document is known as it is, or can't be."""
        self._took(key, result["version"], self.replica.wrote(key, result))
        await self._caught_up(key)

    async def refresh(self, key: str) -> None:
        """Have a document as it is."""
        self._doubt(key)
        await self._caught_up(key)

    async def persist(self, ask: Callable[[], Awaitable[R]]) -> R:
        """Ask, and again until there is an answer: what passes is waited for, and so is the next subscription.

        Raises:
            TidewireError: The server refuses; or the channel was left, or the client closed.
        """
        left, attempt = self._left, 0
        while True:
            while not self.open:
                await self.pause()
            try:
                return await ask()
            except TidewireError as error:
                if left != self._left or not error.retryable:
                    raise
                wait_ms = again_after_ms(error, attempt, self.host.random)
            attempt += 1
            await self.pause(wait_ms)

    async def pause(self, wait_ms: float = 0) -> None:
        """Wait for the next subscription, or, where there is one, so long at most.

        Raises:
            TidewireError: The channel was left, or the client closed.
        """
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(wait_ms / 1000, resolve, waiting, None) if self.open else None
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)
            if timer is not None:
                timer.cancel()

    def _all(self) -> Collection[Document]:
        return list(self._documents.values())  # listeners may ask for others

    def _begin(self) -> _Reading:
        """Return a reading of all. The server is told what is known, unless that is nothing or too much for a frame."""
        known = dict(self.replica.versions)
        if known and len(json.dumps(known)) < _KNOWN_MAX_BYTES:
            return _Reading(known, set())
        return _Reading(None, set(known))

    def _read(self, reading: _Reading, first: Any = None) -> None:
        """Read all documents, of which the first may have come."""
        self._reading = reading
        try:
            if first is not None and not self._take(reading, first):
                return
        except Exception as error:
            self.host.report(error)
            return
        self.host.spawn(self._read_on(reading))

    async def _read_on(self, reading: _Reading) -> None:
        try:
            more = True
            while more:
                after = reading.after
                result = await self.persist(partial(self.host.ask, reading.to_wire(self.channel)))
                if reading is not self._reading:
                    return
                more = self._take(reading, result)
                if more and reading.after <= after:
                    raise senseless("a page of documents")  # it would never end
        except Exception as error:
            if not is_passing(error):
                self.host.report(error)

    def _take(self, reading: _Reading, result: object) -> bool:
        """Take a page, or the last one; return whether there are more."""
        if not _is_page(result):
            raise senseless("a page of documents")
        more = self.replica.read(result) is not None
        for key in result["documents"]:
            reading.after = max(reading.after, key)
            reading.doubted.discard(key)
            self._changed(key)
        if not more:
            self._read_all(reading)
        return more

    def _read_all(self, reading: _Reading) -> None:
        self.told = True
        for key in reading.doubted:
            self._doubt(key)
        for key in reading.doubted | self.replica.missing:
            self._catch_up(key)
        for document in self._all():
            document.update()

    def _took(self, key: str, version: int, hole: Frame | None) -> None:
        if hole is not None:
            self._hear(key, version)
        self._changed(key)
        self._catch_up(key)

    def _hear(self, key: str, version: int) -> None:
        self._heard[key] = max(self._heard.get(key, 0), version)

    def _doubt(self, key: str) -> None:
        self._heard[key] = self.replica.version(key) + 1

    def _changed(self, key: str) -> None:
        document = self._documents.get(key)
        if document is not None:
            document.update()

    def _has_hole(self, key: str) -> bool:
        return self._heard.get(key, 0) > self.replica.version(key)

    def _lacks(self, key: str) -> bool:
        return self._has_hole(key) or key in self.replica.missing

    def _catch_up(self, key: str) -> None:
        """Ask for what is lacking of a document."""
        if not self._is_catching(key) and self._lacks(key):
            self._catching[key] = self.host.spawn(self._fill(key))

    def _is_catching(self, key: str) -> bool:
        return key in self._catching and not self._catching[key].done()

    async def _caught_up(self, key: str) -> None:
        """Ask likewise; returns when nothing is lacking, or it can't be had."""
        self._catch_up(key)
        if self._is_catching(key):
            await asyncio.wait([self._catching[key]])  # whoever waits does not end it

    async def _fill(self, key: str) -> None:
        try:
            attempt = 0
            while self._lacks(key):
                if attempt >= _FILLS_AT_ONCE:
                    await self.pause(backoff_ms(attempt - _FILLS_AT_ONCE, self.host.random))
                await (self._fill_hole(key) if self._has_hole(key) else self._fetch(key))
                self._changed(key)
                attempt += 1
        except Exception as error:
            self._heard.pop(key, None)
            if not is_passing(error):
                self.host.report(error)
            if key in self._documents:
                self._documents[key].unreadable(error)

    async def _fill_hole(self, key: str) -> None:
        heard = self._heard.get(key)
        request = {"type": "state.get", "channel": self.channel, "key": key}
        result = await self.persist(
            lambda: self.host.ask({**request, "since_version": self.replica.version(key)}),
        )
        if isinstance(result, dict) and isinstance(result.get("changes"), list):
            self.replica.changed(key, result["changes"])
        elif _is_page(result):
            self.replica.read(result)
        else:
            raise senseless("what has changed of a document")
        # If that was not all, and nothing has come meanwhile, there is no more.
        if self._heard.get(key) == heard:
            self._heard.pop(key, None)

    async def _fetch(self, key: str) -> None:
        found = await self.persist(lambda: self._read_document(key))
        version = self.replica.version(key)
        document = None if found is None else {"version": found[0], "value": found[1]}
        if self.replica.fetched(key, document) is not None:
            self._hear(key, version)
        if key in self.replica.missing:
            raise uncertain("the document makes no sense")


def _is_page(result: object) -> TypeGuard[Frame]:
    return isinstance(result, dict) and isinstance(result.get("documents"), dict)
