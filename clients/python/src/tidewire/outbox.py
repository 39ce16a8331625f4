"""Publications on their way out, one batch at a time, the same id again until the server has answered.

Those of one channel and priority are stored in the order in which they were published, except for those that are
refused for good or given up. It rests on three things: nothing is sent while an answer is awaited; what is to be tried
again goes back before all that came later; and once one of a batch has failed in a way that may be tried again, the
server answers the rest of the batch to that channel with the same error. A frame that was taken for lost and arrives
after its repeat changes nothing, since the server knows the ids. A channel that has to wait holds up the others.

What asks for it is kept in the store, from before it is sent until it is answered, and holds up what came later until
it is kept.
"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from random import random as _random
from typing import Any, Final

from tidewire.backoff import backoff_ms
from tidewire.errors import TidewireError, closed, outbox_full, too_large, uncertain
from tidewire.frames import Frame, PublishResult, read
from tidewire.futures import refuse, resolve
from tidewire.store import Kept, Store

_FRAME_MAX_BYTES: Final = 256_000
_WAITING_MAX_FRAMES: Final = 1_000
_WAITING_MAX_BYTES: Final = 10_000_000
_BATCH_MAX_FRAMES: Final = 100
_BATCH_MAX_BYTES: Final = 30_000
_ENVELOPE_BYTES: Final = 40  # what the frame gets on its way: id, retry, comma
# The server knows an id again for 5 minutes: after that, sending it once more could store it twice.
_GIVE_UP_MS: Final = 280_000


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True, eq=False)
class _Item:
    frame: Frame
    size_bytes: int
    offline: bool
    answer: asyncio.Future[PublishResult] | None  # None: an earlier process published it, and nobody waits for it
    id: int | None = None  # in the store, when it is kept there
    keeping: bool = False  # it may not be sent yet
    noted: bool = False  # the store knows that it is being sent
    sent_at_ms: int | None = None  # the first time
    attempts: int = 0
    cleared: TidewireError | None = None  # while it was under way: it does not go back in line

    @property
    def abandoned(self) -> bool:
        """Whoever published it waits no more, and was not told to rely on it."""
        return self.answer is not None and self.answer.cancelled() and self.id is None

    def refuse(self, error: BaseException) -> bool:
        """Tell whoever waits for it, and whether somebody does."""
        if self.answer is None or self.answer.done():
            return False
        refuse(self.answer, error)
        return True


class Outbox:
    """All of it runs in one event loop.

    Args:
        ask: Sends requests as one batch; returns a future for the result of each.
        connected: Whether something can be asked now.
        report: Is told of what fails and nobody waits for.
        spawn: Runs something beside the rest.
        random: From 0 to 1, for delays.
        now_ms: The wall clock, in Unix milliseconds: a computer that sleeps stops the loop's.
    """

    def __init__(
        self,
        ask: Callable[[list[Frame]], list[asyncio.Future[Any]]],
        connected: Callable[[], bool],
        report: Callable[[BaseException], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        random: Callable[[], float] = _random,
        *,
        now_ms: Callable[[], int] = _wall_clock_ms,
    ) -> None:
        self._ask, self._connected, self._report, self._spawn = ask, connected, report, spawn
        self._random, self._now_ms = random, now_ms
        self._items: list[_Item] = []
        self._under_way: list[_Item] = []
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._store: Store | None = None

    @property
    def store(self) -> Store | None:
        """Where to keep what asks for it: as soon as it is known whose it is. What waits already is kept then."""
        return self._store

    @store.setter
    def store(self, store: Store | None) -> None:
        self._store = store
        for item in self._items:
            self._keep(item)

    def add(self, frame: Frame, *, offline: bool = False) -> asyncio.Future[PublishResult]:
        """Put a publication in line: the order is that of the calls.

        Args:
            frame: ``publish`` or ``send``, with its ``message_id``. It is copied.
            offline: Keep it until it is answered, even when the process ends; in memory only, as long as there is no
                store.

        Returns:
            Done when the server has answered for good, with its result. Cancelling it takes the publication back, if
            it waits and is not kept; what has been sent before may be stored all the same. It raises a
            ``TidewireError``: what the server refused it with; ``timeout`` when it was given up, and may have been
            stored; ``too_large``; ``limit_reached`` when too much waits; ``closed``; what the store raises. Data that
            is no JSON: ``TypeError`` or ``ValueError``.
        """
        answer: asyncio.Future[PublishResult] = asyncio.get_running_loop().create_future()
        try:
            item = self._item(frame, offline, answer)
        except (TidewireError, TypeError, ValueError, RecursionError) as error:
            answer.set_exception(error)
            return answer
        self._items.append(item)
        self._keep(item)
        self.flush()
        return answer

    def restore(self, kept: Kept) -> None:
        """Put a publication that an earlier process has left in the store back in line, before all of this one."""
        before = [item.id is not None and item.id < kept.id for item in self._items]  # those of this one may have none
        place = before.index(False) if False in before else len(before)
        frame = kept.request if kept.sent_at_ms is None else {**kept.request, "retry": True}
        size_bytes = len(_text(kept.request)) + _ENVELOPE_BYTES
        self._items.insert(place, _Item(frame, size_bytes, True, None, id=kept.id, sent_at_ms=kept.sent_at_ms))
        self.flush()

    def flush(self) -> None:
        """Send what waits, if something can be sent."""
        if self._busy or self._timer is not None or not self._connected():
            return
        self._drop_abandoned()
        self._give_up()
        batch = self._next()
        to_note = [item for item in batch if self._to_note(item)]
        if batch:
            self._busy = True
            if self._store is not None and to_note:
                self._spawn(self._note(self._store, to_note))
            else:
                self._send(batch)

    def connected_again(self) -> None:
        """A connection stands, the first or a new one: what the last one was waited for does not count any more."""
        self._stop_waiting()
        self.flush()

    def clear(self, error: TidewireError) -> None:
        """Refuse everything that waits, and what is under way unless it is answered; what is kept stays kept."""
        self._stop_waiting()
        for item in self._under_way:
            item.cleared = error
        items, self._items = self._items, []
        for item in items:
            item.refuse(error)

    def _item(self, frame: Frame, offline: bool, answer: asyncio.Future[PublishResult]) -> _Item:
        text = _text(frame)
        size_bytes = len(text) + _ENVELOPE_BYTES
        if size_bytes > _FRAME_MAX_BYTES:
            raise too_large(size_bytes)  # the server would refuse it, each time again
        self._drop_abandoned()
        waiting_bytes = sum(item.size_bytes for item in self._items) + size_bytes
        if len(self._items) >= _WAITING_MAX_FRAMES or waiting_bytes > _WAITING_MAX_BYTES:
            raise outbox_full()
        # A copy: what is sent again must be what was sent, whatever its owner does with the object meanwhile.
        return _Item(json.loads(text), size_bytes, offline, answer)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _keep(self, item: _Item) -> None:
        if self._store is None or not item.offline or item.keeping or item.id is not None:
            return
        item.keeping = True
        self._spawn(self._kept(self._store, item))

    async def _kept(self, store: Store, item: _Item) -> None:
        try:
            kept_id = await store.keep(item.frame)
            if item.abandoned:
                store.forget(kept_id)
            else:
                item.id = kept_id
        except Exception as error:
            self._refuse(item, error)
        finally:
            item.keeping = False
        self.flush()

    async def _note(self, store: Store, items: list[_Item]) -> None:
        """Note in the store that these, which stay in line meanwhile, are about to be sent; then send them."""
        try:
            notes = (store.sent(item.id) for item in items if item.id is not None)
            for item, ours in zip(items, await asyncio.gather(*notes, return_exceptions=True), strict=True):
                if ours is True:
                    item.noted = self._connected()  # or else it is not sent now
                elif ours is False:
                    self._refuse(item, closed("another process sends it"))
                elif _is_closed(ours):
                    self._refuse(item, ours)
                else:
                    self._unkeep(store, item, ours)
        finally:
            self._busy = False
        self.flush()

    def _unkeep(self, store: Store, item: _Item, error: BaseException) -> None:
        # A later process would send it as if for the first time. There may be room for forgetting where there is none
        # for more.
        self._report(error)
        self._forget(store, item)
        item.id, item.offline = None, False

    def _refuse(self, item: _Item, error: BaseException) -> None:
        if item in self._items:  # or else it was refused meanwhile
            self._items.remove(item)
            self._reject(item, error)

    def _send(self, batch: list[_Item]) -> None:
        del self._items[: len(batch)]
        self._under_way = batch
        for item in batch:
            if item.sent_at_ms is None:
                item.sent_at_ms = self._now_ms()
        answers = self._ask([item.frame for item in batch])
        waiting = len(answers)

        def answered(_: asyncio.Future[Any]) -> None:
            nonlocal waiting
            waiting -= 1
            if waiting == 0:
                self._busy, self._under_way = False, []
                self._settle(batch, answers)

        for answer in answers:
            answer.add_done_callback(answered)

    def _forget(self, store: Store | None, item: _Item) -> None:
        if store is not None and item.id is not None:
            store.forget(item.id)

    def _drop_abandoned(self) -> None:
        self._items = [item for item in self._items if not item.abandoned]

    def _give_up(self) -> None:
        now_ms = self._now_ms()

        def old(item: _Item) -> bool:  # by the wall clock, which may have been set back
            return item.sent_at_ms is not None and abs(now_ms - item.sent_at_ms) > _GIVE_UP_MS

        given_up = [item for item in self._items if old(item)]
        self._items = [item for item in self._items if not old(item)]
        for item in given_up:
            self._forget(self._store, item)
            self._reject(item, uncertain("whether it was published is unknown"))

    def _next(self) -> list[_Item]:
        """Return the first of the line that can go together."""
        size_bytes = 0
        batch: list[_Item] = []
        for item in self._items[:_BATCH_MAX_FRAMES]:
            size_bytes += item.size_bytes
            if item.keeping or (batch and size_bytes > _BATCH_MAX_BYTES):
                break
            if self._to_note(item) and any(other.noted and other.sent_at_ms is None for other in batch):
                break  # it came while those were noted: they don't wait for it
            batch.append(item)
        return batch

    def _to_note(self, item: _Item) -> bool:
        return self._store is not None and item.id is not None and item.sent_at_ms is None and not item.noted

    def _settle(self, batch: Sequence[_Item], answers: Sequence[asyncio.Future[Any]]) -> None:
        again: list[_Item] = []
        wait_ms = 0.0
        for item, answer in zip(batch, answers, strict=True):
            result, error = _outcome(answer)
            if item.cleared is not None and (error is item.cleared or _is_retryable(error)):
                item.refuse(item.cleared)  # it has not been answered, and may be kept
            elif isinstance(error, TidewireError) and error.retryable:
                wait_ms = max(wait_ms, self._wait_ms(item, error))
                item.attempts += 1
                item.frame = {**item.frame, "retry": True}
                again.append(item)
            else:
                self._end(item, result, error)
        self._items[:0] = again
        if again and self._connected():
            self._timer = asyncio.get_running_loop().call_later(wait_ms / 1000, self.connected_again)
        else:
            self.flush()

    def _end(self, item: _Item, result: PublishResult | None, error: BaseException | None) -> None:
        if not _is_closed(error):  # closed: it has not been answered
            self._forget(self._store, item)
        if error is not None:
            self._reject(item, error)
        elif item.answer is not None and result is not None:
            resolve(item.answer, result)

    def _wait_ms(self, item: _Item, error: TidewireError) -> float:
        return backoff_ms(item.attempts, self._random) if error.retry_after_ms is None else error.retry_after_ms

    def _reject(self, item: _Item, error: BaseException) -> None:
        if not item.refuse(error) and item.id is not None and not _is_closed(error):
            self._report(error)  # nobody waits for it


def _outcome(answer: asyncio.Future[Any]) -> tuple[PublishResult | None, BaseException | None]:
    if answer.cancelled():
        return None, uncertain("no answer came")
    error = answer.exception()
    if error is not None:
        return None, error
    try:
        return read(PublishResult.from_wire, answer.result()), None
    except TidewireError as error:
        return None, error


def _is_retryable(error: BaseException | None) -> bool:
    return isinstance(error, TidewireError) and error.retryable


def _is_closed(error: BaseException | None) -> bool:
    return isinstance(error, TidewireError) and error.kind == "closed"


def _text(frame: Frame) -> bytes:
    return json.dumps(frame, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
