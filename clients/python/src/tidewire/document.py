"""One document: what the server has of it, and on top of it what the user has written meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakSet

from tidewire.backoff import backoff_ms
from tidewire.changes import Changes
from tidewire.errors import REFUSED, VERSION_CONFLICT, TidewireError, closed, is_passing, senseless
from tidewire.frames import Frame
from tidewire.futures import awaited, failure, refuse, resolve
from tidewire.listeners import Listeners
from tidewire.merge import copied, same
from tidewire.replica import is_version
from tidewire.store import Kept, Store
from tidewire.write import Conflict, Write, WriteResult, applied, request_of

if TYPE_CHECKING:
    from tidewire.documents import Documents

# Others are faster now and then; whose listener insists against a rule of the server's must not hammer it.
_REFUSALS_AT_ONCE: Final = 2


class Document:
    """One document of a channel. What it hands out are copies: to change it, write.

    Attributes:
        key: Its name in the channel.
        channel: The channel's name.
    """

    def __init__(self, key: str, documents: "Documents") -> None:
        self.key, self.channel = key, documents.channel
        self._documents, self._host = documents, documents.host
        self._listeners: Listeners[[], object] = Listeners(self._host.report)
        self._conflicts: Listeners[[Conflict], Any] = Listeners(self._host.report)
        self._changes: WeakSet[Changes] = WeakSet()
        self._writes: list[Write] = []
        self._sender: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Future[Any]] = set()
        self._version = 0
        self._settled: Any = None  # of that version
        self._value: Any = None  # with the writes
        self._base = 0  # the version that this shows

    @property
    def value(self) -> Any:
        """How it is, with own writes that the server has not settled yet; ``None`` if it is not there, or not known."""
        return copied(self._value)

    @property
    def version(self) -> int:
        """The server's version that ``value`` rests on; 0 if none is known."""
        return self._version

    @property
    def pending(self) -> int:
        """How many own writes are not settled yet."""
        return len(self._writes)

    async def ready(self) -> Any:
        """Return the value, once the server has told it; ``None``: there is none.

        Raises:
            TidewireError: It can't be read, or the server refuses the channel; as ``closed``, the channel was left, or
                the client closed.
        """
        if self._documents.over is not None:
            raise self._documents.over
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            self.update()
            return await waiting
        finally:
            self._waiting.discard(waiting)

    def set(self, value: Any, *, offline: bool = False) -> "asyncio.Future[WriteResult]":
        """Make this of it. ``value`` has it at once, and so has the server as soon as may be, awaited or not.

        Args:
            value: Any JSON but ``None``, of at most 200,000 bytes.
            offline: Keep it until it is answered, even if the process goes.

        Returns:
            What is settled when the server has answered for good; to cancel it does not undo the write.

        Raises:
            TidewireError: As ``too_large``; all others are raised where the result is awaited. Then the write is taken
                back.
            ValueError: It is ``None``; or ``offline``, without an outbox.
            TypeError: It is no JSON.
        """
        if value is None:
            raise ValueError("None is no document: delete() it")
        # What nobody has seen must not be overwritten.
        return self._write({"type": "state.set", "value": value, "base_version": 0}, offline)

    def patch(self, patch: dict[str, Any], *, offline: bool = False) -> "asyncio.Future[WriteResult]":
        """Change members of it; as :meth:`set`.

        Args:
            patch: A merge patch (RFC 7396): members to put, and ``None`` for those that go.
            offline: As with :meth:`set`.
        """
        if not isinstance(patch, dict):
            raise TypeError("a merge patch is a dict")
        return self._write({"type": "state.patch", "patch": patch}, offline)

    def delete(self, *, offline: bool = False) -> "asyncio.Future[WriteResult]":
        """Delete it; as :meth:`set`."""
        return self._write({"type": "state.delete"}, offline)

    def on_change(self, listener: "Callable[[Any, Document], object]") -> Callable[[], None]:
        """Call it with the value whenever that changes, by whomever. Returns a function that ends it."""
        return self._listeners.add(lambda: listener(self.value, self))

    def on_conflict(self, listener: Callable[[Conflict], Any]) -> Callable[[], None]:
        """Ask it when a write is refused.

        The value that it returns, or an awaitable of it, is written upon the current one in the write's place, whose
        result goes on waiting. With ``None`` from all listeners the write is taken back.

        Returns:
            A function that ends it.
        """
        return self._conflicts.add(listener)

    def changes(self) -> AsyncIterator[Any]:
        """Return values one after the other: the current one once the server has told it, then each change from now on.

        They end when the channel is left or the client closed, and fail with the error where the server refuses it.
        """
        changes = Changes()
        if self._documents.over is not None:
            changes.end(self._documents.over)
            return changes
        self._changes.add(changes)
        self.update()
        return changes

    # The channel's side.

    def update(self) -> None:
        """What ``value`` is made of has changed, or what is known."""
        replica = self._documents.replica
        missing = self.key in replica.missing
        if not missing:
            self._version, self._settled = replica.version(self.key), replica.values.get(self.key)
        value, self._base = self._settled, self._version
        for write in self._writes:
            value = applied(value, write.request)
            # Of what has come since, a write of the whole lets nothing be seen.
            if write.request["type"] != "state.patch":
                self._base = write.request.get("base_version", 0)
        if not same(value, self._value):
            self._value = value
            for changes in list(self._changes):
                changes.put(self.value)
            self._listeners.call()
        if self._documents.told and not missing:
            self._tell()

    def restore(self, kept: Kept) -> None:
        """Take up a write that an earlier process has left.

        It goes before all of this process, but for one that is under way.
        """
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        done.set_result(kept.id)
        begun = 1 if self._is_sending() else 0
        later = (place for place, write in enumerate(self._writes) if place >= begun and not write.restored)
        result = self._add(kept.request, done, next(later, len(self._writes)), restored=True)
        result.add_done_callback(self._report)

    def unreadable(self, error: BaseException) -> None:
        """It can't be read."""
        for waiting in self._waiting:
            refuse(waiting, error)

    def closed(self, error: TidewireError) -> None:
        """Nothing is sent any more. What is kept stays so, for the next process."""
        self.unreadable(error)
        writes, self._writes = self._writes, []
        self.update()
        for changes in list(self._changes):
            changes.end(error)
        self._changes.clear()
        for write in writes:
            # One that was taken up is nobody's here, and stays kept.
            refuse(write.result, closed("left to the next process") if write.restored else error)

    def send(self) -> None:
        """Send what waits, one after the other."""
        if self._documents.open and self._writes and not self._is_sending():
            self._sender = self._host.spawn(self._send())

    def _is_sending(self) -> bool:
        return self._sender is not None and not self._sender.done()

    async def _send(self) -> None:
        while self._writes:
            await self._settle(self._writes[0])

    def _tell(self) -> None:
        """The server has told how it is."""
        for waiting in self._waiting:
            resolve(waiting, self.value)
        for changes in list(self._changes):
            if not changes.begun:
                changes.begun = True
                changes.put(self.value)

    def _report(self, result: "asyncio.Future[WriteResult]") -> None:
        error = failure(result)
        if error is not None and not is_passing(error):
            self._host.report(error)

    def _write(self, change: Frame, offline: bool) -> "asyncio.Future[WriteResult]":
        store = self._documents.store()
        if offline and store is None:
            raise ValueError("offline needs an outbox: Tidewire(..., outbox=...)")
        request = self._request(change, self._base)
        if self._documents.over is not None:
            result: asyncio.Future[WriteResult] = asyncio.get_running_loop().create_future()
            refuse(result, self._documents.over)
            return result
        kept = self._keep(store, request) if offline and store is not None else None
        return self._add(request, kept, len(self._writes))

    def _request(self, change: Frame, version: int) -> Frame:
        return request_of(change, self.channel, self.key, version)

    def _keep(self, store: Store, request: Frame) -> "asyncio.Future[int]":
        kept: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        kept.add_done_callback(failure)  # it is told when the write's turn comes

        async def keep() -> None:
            try:
                resolve(kept, await store.keep(request))
            except Exception as error:
                refuse(kept, error)

        self._host.spawn(keep())
        return kept

    def _add(
        self, request: Frame, kept: "asyncio.Future[int] | None", place: int, *, restored: bool = False
    ) -> "asyncio.Future[WriteResult]":
        result: asyncio.Future[WriteResult] = asyncio.get_running_loop().create_future()
        self._writes.insert(place, Write(request, kept, self._value, restored, result))
        self.update()
        self.send()
        return result

    async def _settle(self, write: Write) -> None:
        """Have the server settle the first write."""
        kept_id: int | None = None
        try:
            if write.kept is not None:
                kept_id = await write.kept
                self._check(write)
            if write.refusals > _REFUSALS_AT_ONCE:
                await self._documents.pause(backoff_ms(write.refusals - _REFUSALS_AT_ONCE, self._host.random))
            result = await self._written(write, kept_id)
        except Exception as error:
            if await self._is_retried(write, error):
                return
            # One that was left has not been answered, whatever ended it.
            end, answered = partial(refuse, write.result, error), self._is_first(write) and not is_passing(error)
        else:
            end, answered = partial(resolve, write.result, result), True
        store = self._documents.store()
        if kept_id is not None and store is not None and answered:
            store.forget(kept_id)
        if self._is_first(write):  # unless it was closed meanwhile
            del self._writes[0]
        self.update()
        end()

    async def _written(self, write: Write, kept_id: int | None) -> WriteResult:
        answer = await self._documents.persist(partial(self._ask, write, kept_id))
        if not is_version(answer):
            raise senseless("the answer to a write")
        await self._documents.wrote(self.key, answer)
        value = answer.get("value")
        if value is None and answer.get("deleted") is not True:
            value = self._settled
        resolution: Literal["applied", "merged"] = "merged" if answer.get("resolution") == "merged" else "applied"
        result = WriteResult(answer["version"], copied(value), resolution)
        if self._is_first(write):
            self._rebase(result)
        return result

    async def _ask(self, write: Write, kept_id: int | None) -> Any:
        store = self._documents.store()
        # It may have waited for long, and this process for longer.
        if kept_id is not None and store is not None and not await store.sent(kept_id):
            raise closed("another process sends it")
        self._check(write)
        return await self._host.ask(write.request)

    def _is_first(self, write: Write) -> bool:
        return self._writes[:1] == [write]

    def _check(self, write: Write) -> None:
        if not self._is_first(write):
            raise closed("it was left")

    def _rebase(self, result: WriteResult) -> None:
        """The first write is settled.

        Where that left the document as the writer of the next one saw it, all that follow rest upon it. Where others'
        changes came in, they do not: the server has to settle the next one with those, too.
        """
        later = self._writes[1:]
        if not later:
            return
        alone = result.resolution == "applied" and result.version == later[0].request.get("base_version", -1) + 1
        if alone or same(result.value, later[0].seen):
            for write in later:
                base = max(write.request.get("base_version", 0), result.version)
                write.request = {**write.request, "base_version": base}

    async def _is_retried(self, write: Write, error: Exception) -> bool:
        """Have the user say what becomes of a write that was refused; tell whether there is another in its place."""
        if not isinstance(error, TidewireError) or error.code not in (VERSION_CONFLICT, REFUSED):
            return False
        await self._documents.refresh(self.key)
        version, mine, current = self._version, applied(write.seen, write.request), self._settled
        for listener in self._conflicts:
            if not self._is_first(write):
                return False  # it was left meanwhile
            try:
                value = listener(Conflict(copied(mine), copied(current), error))
                if isawaitable(value):
                    value = await awaited(value)
                if value is not None:
                    write.request = self._request({"type": "state.set", "value": value, "base_version": 0}, version)
                    write.refusals += 1
                    self.update()
                    return True
            except Exception as thrown:
                self._host.report(thrown)
        return False
