"""Publishing from servers and functions: no event loop, no connection kept, nothing given up that may still succeed.

Publications wait in line, and one thread sends them, many in one request, one request at a time. Those of one channel
and priority are stored in the order in which they were given, except for those that are refused for good or given up:
what is to be tried again goes back before all that came later, with its id, by which the server knows it; and once one
of a request has failed in a way that may be tried again, the server answers its later ones for that channel with the
same error. A channel that has to wait holds up the others.
"""

import atexit
import json
import logging
import os
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from functools import partial
from random import random as _random
from types import TracebackType
from typing import Any, Final, Self

import httpx

from tidewire.backoff import backoff_ms
from tidewire.errors import TidewireError, closed, too_large, uncertain
from tidewire.frames import Frame, Priority, PublishResult
from tidewire.origin import origin
from tidewire.problems import stranger
from tidewire.rest import Rest

EXIT_S: Final = 10.0
"""How long the end of the process waits for what is not sent yet."""

# docs/protocol.md sections 2 and 4.4.
_DATA_MAX_BYTES: Final = 24_000
_BATCH_MAX: Final = 100
_BATCH_MAX_BYTES: Final = 256_000
# The server refuses a request whole for what is wrong with one of its publications.
_ONE_IS_WRONG: Final = frozenset((1000, 1002, 1003))
_WAITING_MAX: Final = 10_000
_WAITING_MAX_BYTES: Final = 10_000_000
_ENVELOPE_BYTES: Final = 20  # what one gets on its way: retry, comma
# The server knows an id again for 5 minutes: after that, sending it once more could store it twice.
_GIVE_UP_MS: Final = 280_000
_FAILURES_MAX: Final = 1_000

_log = logging.getLogger(__name__)

OnError = Callable[[Exception, Mapping[str, Any]], None]


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True, eq=False)
class _Item:
    publication: Frame
    size_bytes: int
    future: "Future[PublishResult]" = field(default_factory=Future)
    sent_at_ms: int | None = None  # the first time
    attempts: int = 0
    error: TidewireError | None = None  # of the last attempt


class Publisher:
    """Publishes into one deployment. May be used by any number of threads; a forked process begins anew.

    What was given and is not sent is lost when the process is killed. Where it may be stopped or frozen at any time, as
    a Lambda function is when its handler returns, :meth:`flush` comes first. At an orderly end up to 10 s are taken for
    it.

    Args:
        url: Origin of the HTTP API, such as ``https://example.com``.
        api_key: The server's key.
        token: A user's token, in place of a key.
        batch_max: The most publications that go in one request, 1 to 100.
        on_error: Is told of each publication that has failed for good, and why: as its future. Called in the sending
            thread, or in that of ``close``. By default it is logged.
        http: Sends the requests; the caller closes it, later. By default an own one is made.
        random: From 0 to 1, for delays.
        now_ms: The wall clock, in Unix milliseconds: a computer that sleeps stops the other.

    Raises:
        ValueError: ``url`` is none, or ``batch_max`` out of range.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        token: str | None = None,
        batch_max: int = _BATCH_MAX,
        on_error: OnError | None = None,
        http: httpx.Client | None = None,
        random: Callable[[], float] = _random,
        now_ms: Callable[[], int] = _wall_clock_ms,
    ) -> None:
        if not 1 <= batch_max <= _BATCH_MAX:
            raise ValueError(f"batch_max is from 1 to {_BATCH_MAX}")
        self._open_rest: Callable[[], Rest] = partial(Rest, origin(url), token=token, api_key=api_key, http=http)
        self._batch_max, self._on_error = batch_max, on_error or _log_error
        self._random, self._now_ms = random, now_ms
        self._closed = False
        self._begin()
        _publishers.add(self)

    def _begin(self) -> None:
        """Have nothing in line, and no thread: at first, and in a forked process, where neither has come along."""
        self._changed = threading.Condition()  # of all that follows
        self._waiting: deque[_Item] = deque()
        self._unsettled: dict[int, _Item] = {}
        self._unsettled_bytes = 0
        self._failures: deque[Exception] = deque(maxlen=_FAILURES_MAX)
        self._limit = self._batch_max
        self._again_s = 0.0  # nothing is sent before this, by the monotonic clock
        self._ended = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except (ExceptionGroup, TimeoutError) as failed:
            if error is None:
                raise
            _log.error("while another error ended it: %s", failed)

    def publish(
        self,
        channel: str,
        name: str,
        data: Any,
        *,
        priority: Priority | None = None,
        message_id: str | None = None,
    ) -> "Future[PublishResult]":
        """Put a publication in line. When 10,000 wait, or 10 MB, it returns when there is room again.

        Args:
            data: Any JSON value of at most 24,000 bytes. It is copied.
            priority: The namespace's own by default.
            message_id: 1 to 64 characters: the same within 5 minutes is stored once. One is made unless given.

        Returns:
            Done when the server has answered for good. Cancelling it takes the publication back as long as it was not
            sent. It raises a ``TidewireError``: what the server refused it with; ``timeout`` when it was given up, and
            may have been stored; ``closed``.

        Raises:
            TidewireError: ``too_large``, ``closed``.
            TypeError, ValueError, RecursionError: ``data`` is no JSON value.
        """
        publication = {"channel": channel, "name": name, "data": data, "message_id": message_id or str(uuid.uuid4())}
        if priority is not None:
            publication["priority"] = priority
        size_bytes = len(_json(data))
        if size_bytes > _DATA_MAX_BYTES:
            raise too_large(size_bytes)
        text = _json(publication)
        # A copy: what is sent again must be what was sent, whatever its owner does with the object meanwhile.
        item = _Item(json.loads(text), len(text) + _ENVELOPE_BYTES)
        self._add(item)
        return item.future

    def flush(self, timeout_s: float | None = None) -> None:
        """Return when everything that was given before has been settled.

        Raises:
            ExceptionGroup: What has failed since the last flush, the latest 1,000 of it; none of it is tried again.
            TimeoutError: It takes longer. What is left is still being sent.
        """
        self._not_while_sending()
        with self._changed:
            items = list(self._unsettled.values())
        wait([item.future for item in items], timeout_s)
        left = [item for item in items if not item.future.done()]
        if left:
            reason = next((f": {item.error}" for item in left if item.error), "")
            raise TimeoutError(f"{len(left)} publications are not settled after {timeout_s} s{reason}")
        with self._changed:
            failures = list(self._failures)
            self._failures.clear()
        if failures:
            raise ExceptionGroup("publications have failed", failures)

    def close(self, timeout_s: float | None = EXIT_S) -> None:
        """Flush, then end. What is not settled by then fails: as ``timeout`` if it was sent and may have been stored.

        Raises:
            ExceptionGroup, TimeoutError: As :meth:`flush` does.
        """
        self._not_while_sending()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        try:
            self.flush(timeout_s)
        finally:
            self._end()

    def _not_while_sending(self) -> None:
        if threading.current_thread() is self._thread:
            raise RuntimeError("the thread that sends, and tells of errors and results, can't wait for itself")

    def _add(self, item: _Item) -> None:
        with self._changed:
            # Whoever is told of a failure and publishes then would wait for itself.
            while not (self._closed or self._has_room(item) or threading.current_thread() is self._thread):
                self._changed.wait()
            if self._closed:
                raise closed("the publisher is closed")
            if self._thread is None:
                # Its own network, made here so that who publishes hears of it if it can't be.
                thread = threading.Thread(
                    target=self._run, args=(self._open_rest(),), name="tidewire-publisher", daemon=True
                )
                thread.start()
                self._thread = thread
            self._waiting.append(item)
            self._unsettled[id(item)] = item
            self._unsettled_bytes += item.size_bytes
            self._changed.notify_all()

    def _has_room(self, item: _Item) -> bool:
        return len(self._unsettled) < _WAITING_MAX and self._unsettled_bytes + item.size_bytes <= _WAITING_MAX_BYTES

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            left, thread = list(self._waiting), self._thread
            under_way = set(self._unsettled.values()) - set(left)
            self._waiting.clear()
            self._changed.notify_all()
        for item in left:
            self._fail(item, _unsent(item))
        self._settled(left)
        _publishers.discard(self)
        if thread is not None and all(item.future.done() for item in under_way):
            thread.join()  # or else it ends when what is under way has been answered

    # In the sending thread.

    def _run(self, rest: Rest) -> None:
        with rest:
            while batch := self._next():
                if begun := self._begun(batch):
                    self._send(rest, begun)

    def _next(self) -> list[_Item]:
        """Return what is to go in one request, when there is something; nothing at the end."""
        with self._changed:
            while not self._ended:
                wait_s = self._again_s - time.monotonic()
                if self._waiting and wait_s <= 0:
                    return self._taken()
                self._changed.wait(wait_s if self._waiting else None)
        return []

    def _taken(self) -> list[_Item]:
        batch: list[_Item] = []
        size_bytes = 2  # brackets
        while self._waiting and len(batch) < self._limit:
            size_bytes += self._waiting[0].size_bytes
            if batch and size_bytes > _BATCH_MAX_BYTES:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _begun(self, batch: list[_Item]) -> list[_Item]:
        """Return those that are still to be sent: neither taken back nor too old."""
        now_ms, begun, done = self._now_ms(), list[_Item](), list[_Item]()
        for item in batch:
            if item.sent_at_ms is None:
                wanted = item.future.set_running_or_notify_cancel()
                item.sent_at_ms = now_ms
            else:
                wanted = abs(now_ms - item.sent_at_ms) <= _GIVE_UP_MS  # the wall clock may have been set back
                if not wanted:
                    self._fail(item, uncertain(f"given up, and may have been published: {item.error}"))
            (begun if wanted else done).append(item)
        self._settled(done)
        return begun

    def _send(self, rest: Rest, batch: Sequence[_Item]) -> None:
        outcomes: Sequence[PublishResult | Exception]
        try:
            response = rest.call("POST", "/v1/publish", json=[item.publication for item in batch])
            outcomes = _outcomes(response, len(batch))
        except Exception as error:  # a key that no header can hold, a client that was closed: whoever asked is told
            if len(batch) > 1 and isinstance(error, TidewireError) and error.code in _ONE_IS_WRONG:
                # In smaller requests, until the wrong one is alone: no other is to fail for it.
                self._limit = len(batch) // 2
                self._put_back(batch, 0)
                return
            outcomes = [error] * len(batch)
        self._settle(batch, outcomes)
        self._limit = min(self._batch_max, self._limit * 2)

    def _settle(self, batch: Sequence[_Item], outcomes: Sequence[PublishResult | Exception]) -> None:
        again, done, wait_ms = list[_Item](), list[_Item](), 0.0
        for item, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, TidewireError) and outcome.retryable:
                wait_ms = max(wait_ms, self._wait_ms(item, outcome))
                item.attempts += 1
                item.error = outcome
                item.publication["retry"] = True
                again.append(item)
                continue
            done.append(item)
            if isinstance(outcome, Exception):
                self._fail(item, outcome)
            else:
                item.future.set_result(outcome)
        self._settled(done)
        self._put_back(again, wait_ms)

    def _wait_ms(self, item: _Item, error: TidewireError) -> float:
        return backoff_ms(item.attempts, self._random) if error.retry_after_ms is None else error.retry_after_ms

    def _put_back(self, items: Sequence[_Item], wait_ms: float) -> None:
        with self._changed:
            self._again_s = time.monotonic() + wait_ms / 1000
            if not self._ended:
                self._waiting.extendleft(reversed(items))
                return
        for item in items:
            self._fail(item, _unsent(item))
        self._settled(items)

    # In any thread.

    def _fail(self, item: _Item, error: Exception) -> None:
        if item.sent_at_ms is None and not item.future.set_running_or_notify_cancel():
            return  # it was taken back
        with self._changed:
            self._failures.append(error)
        try:
            self._on_error(error, item.publication)
        except Exception:
            _log.exception("on_error has failed")
        item.future.set_exception(error)

    def _settled(self, items: Iterable[_Item]) -> None:
        with self._changed:
            for item in items:
                del self._unsettled[id(item)]
                self._unsettled_bytes -= item.size_bytes
            self._changed.notify_all()

    def _leave(self, timeout_s: float) -> None:
        """The process ends."""
        try:
            self.flush(timeout_s)
        except TimeoutError as error:
            _log.error("as the process ends, %s", error)
        except ExceptionGroup:
            pass  # each was told, or logged


def _outcomes(response: httpx.Response, count: int) -> "list[PublishResult | Exception]":
    try:
        outcomes = [_outcome(result) for result in response.json()["results"]]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise stranger(response) from error
    if len(outcomes) != count:
        raise stranger(response)
    return outcomes


def _outcome(result: Frame) -> PublishResult | Exception:
    return TidewireError.from_wire(result["error"]) if "error" in result else PublishResult.from_wire(result)


def _unsent(item: _Item) -> TidewireError:
    if item.sent_at_ms is None:
        return closed("the publisher was closed before it was sent")
    return uncertain(f"the publisher was closed, and it may have been published: {item.error}")


def _log_error(error: Exception, publication: Mapping[str, Any]) -> None:
    _log.warning("a publication into %s has failed: %s", publication["channel"], error)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


_publishers: "weakref.WeakSet[Publisher]" = weakref.WeakSet()


def _leave_all() -> None:
    ends_s = time.monotonic() + EXIT_S
    for publisher in list(_publishers):
        publisher._leave(round(max(0.0, ends_s - time.monotonic()), 1))


def _forked() -> None:
    for publisher in list(_publishers):
        publisher._begin()  # what waits is its parent's to send


atexit.register(_leave_all)
if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forked)
