"""Who is in a channel, and what its user says there: status, activity, typing, how far was read."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, Final

from tidewire.backoff import again_after_ms
from tidewire.errors import NOT_SUBSCRIBED, TidewireError, closed, is_passing, too_large, uncertain
from tidewire.frames import Frame, Member, Status
from tidewire.futures import failure, outcome, refuse, resolve
from tidewire.host import Host
from tidewire.line import Line
from tidewire.listeners import Listeners
from tidewire.members import Members, is_answer, is_push
from tidewire.merge import same

_SAID_MAX_BYTES: Final = 8_000  # what is surely no frame; the server minds its own limit
# With more members their number alone is told, until there are few again; `presence.get` would list them all the same.
_MEMBERS_MAX: Final = 100
_MEMBERS_AGAIN: Final = 80
_ACTIVE_AGAIN_MS: Final = 30_000  # another connection of the user may have said that it is not
# Who reads a long message has not gone, and each change is pushed to every member.
_ACTIVE_ENDS_S: Final = 60
_TYPING_AGAIN_MS: Final = 3_000
_TYPING_ENDS_S: Final = 5

_NOT_GIVEN: Final[Any] = object()


@dataclass(eq=False, slots=True)
class _Asking:
    """A ``presence.get`` whose answer counts, however many frames it takes."""

    pages: list[Frame] = field(default_factory=list)


class Presence:
    """Who is in a channel: a :class:`~tidewire.part.ChannelPart`. Whoever does not ``join`` neither sees nor is seen.

    Args:
        resubscribe: Has the channel subscribe again, with what its parts want now. What it returns may be cancelled.
    """

    def __init__(self, channel: str, host: Host, resubscribe: "Callable[[], asyncio.Future[None]]") -> None:
        self._channel, self._host, self._resubscribe = channel, host, resubscribe
        self._listeners: Listeners[[Presence], object] = Listeners(host.report)
        self._joined: asyncio.Future[None] | None = None  # the user has, or is about to
        self._subscribed = False  # the channel is, or is about to be
        self._here = False  # this connection is there to be seen, as far as we know
        self._known = Members()
        self._asking: _Asking | None = None
        self._ask_again_ms = inf
        self._failures = 0  # of it, one after another
        self._timer: asyncio.TimerHandle | None = None
        # What listeners have been told of, members also as the frames have them.
        self._members: tuple[Member, ...] = ()
        self._listed: list[Frame] = []
        self._count = 0
        self._typing: tuple[str, ...] = ()
        # What the user says.
        self._updates = Line(
            {"type": "presence.update", "channel": channel}, host, lambda: self._here, told=self._has_told
        )
        # Later it would be no news.
        self._typings = Line({"type": "typing", "channel": channel}, host, lambda: self._here, again=False)
        self._acks = Line({"type": "ack", "channel": channel}, host, host.connected)
        self._said: Frame = {}  # the server has it
        self._shown: set[str] = set()  # ... and has told of it
        self._active_ms = -inf
        self._active_timer: asyncio.TimerHandle | None = None
        self._typed_ms = -inf
        self._typing_timer: asyncio.TimerHandle | None = None
        self._read_to = 0
        self._epoch: Any = None  # of the stream in which that is

    @property
    def members(self) -> tuple[Member, ...]:
        """Who is there, by user id; always the same object until that changes. Empty where only numbers are told."""
        return self._members

    @property
    def count(self) -> int:
        """How many are there."""
        return self._count

    @property
    def typing(self) -> tuple[str, ...]:
        """Ids of the other users who type now, in their order."""
        return self._typing

    async def join(self) -> None:
        """Be a member, and see the others, until :meth:`leave`.

        Also on the next connection, or when the channel is subscribed to again.

        Raises:
            TidewireError: The server refuses.
        """
        if self._joined is None or self._is_left:
            self._joined = self._subscribe_again()
            self._joined.add_done_callback(self._was_refused)
        await outcome(self._joined)

    async def leave(self) -> None:
        """Neither see nor be seen any longer. What the user has said here ends with it."""
        if self._joined is None:
            return
        self._joined = None
        self._said = {}
        self._end(closed("left"))
        if self._subscribed:
            await outcome(self._subscribe_again())

    def on_change(self, listener: "Callable[[Presence], object]") -> Callable[[], None]:
        """Call it when ``members``, ``count`` or ``typing`` has changed. Returns a function that ends it."""
        return self._listeners.add(listener)

    async def update(self, *, status: Status | None = None, data: Any = _NOT_GIVEN) -> None:
        """Say how the user is, for all of its connections; returns when the server has it.

        It is said again if it got lost with the session.

        Args:
            status: As it was, if not given.
            data: JSON of at most 1,000 bytes; ``None`` takes it back. As it was, if not given.

        Raises:
            TidewireError: The server refuses, or the user has not joined.
            TypeError: The data is no JSON.
            ValueError: Likewise: NaN, a circle, half a character.
        """
        said = {} if status is None else {"status": status}
        text = json.dumps(said if data is _NOT_GIVEN else {**said, "data": data}, allow_nan=False, ensure_ascii=False)
        size_bytes = len(text.encode())
        if size_bytes > _SAID_MAX_BYTES:
            raise too_large(size_bytes)  # API Gateway would close the connection over it
        if self._joined is None or self._is_left:
            raise TidewireError(NOT_SUBSCRIBED, "not_subscribed", "join first")
        await self._updates.add(json.loads(text))  # a copy: what is said again is what was said

    def active(self) -> None:
        """The user did something: call it as often as you like. A minute after the last time, it is told inactive."""
        if self._joined is None:
            return
        _cancel(self._active_timer)
        self._active_timer = asyncio.get_running_loop().call_later(_ACTIVE_ENDS_S, self._say_active, False)
        if _now_ms() - self._active_ms >= _ACTIVE_AGAIN_MS:
            self._say_active(True)

    def type(self, active: bool = True) -> None:
        """The user types: call it with each key. With ``False``, or 5 s after the last time, it types no more."""
        _cancel(self._typing_timer)
        if not self._here:
            return  # later it would be no news
        if active:
            self._typing_timer = asyncio.get_running_loop().call_later(_TYPING_ENDS_S, self.type, False)
        if _now_ms() - self._typed_ms < _TYPING_AGAIN_MS if active else self._typed_ms == -inf:
            return
        self._typed_ms = _now_ms() if active else -inf
        self._typings.put({"active": active})

    def mark_read(self, offset: int) -> None:
        """The user has read everything up to here; the server is told of the greatest. It takes no :meth:`join`."""
        if offset > self._read_to:
            self._read_to = offset
            self._acks.put({"offset": offset})

    # The channel's side.

    def subscribing(self) -> Frame:
        """Return ``presence``, if the user has joined."""
        self._subscribed = True
        self._suspend()
        return {} if self._joined is None else {"presence": True}

    def subscribed(self, result: Frame) -> None:
        """Take the members, and say what waits."""
        position = result.get("position")
        epoch = position.get("epoch") if isinstance(position, dict) else None
        if self._epoch is not None and self._epoch != epoch:
            self._forget_read(closed("the stream was replaced"))
        self._epoch = epoch
        self._acks.flush()
        presence = result.get("presence")
        if self._joined is None or presence is None:
            return
        self._here = True
        if is_answer(presence):
            self._answered([presence], anew=True)
        else:
            self.check()
        self._updates.flush()

    def push(self, push: Frame) -> None:
        """Take what is told of a member, or of who types."""
        if self._joined is None:
            return
        if push.get("type") == "system" and push.get("event") == "lagged":
            self.check()
        if is_push(push):
            self._known.push(push, now_ms=_now_ms())
            self._settle()

    def check(self) -> None:
        """Ask who is there."""
        if self._here and self._asking is None:
            self._ask()
        self._settle()

    def disconnected(self) -> None:
        """Wait for the next subscription."""
        self._suspend()
        self._settle()  # who types is forgotten all the same

    def closed(self, error: TidewireError) -> None:
        """Refuse what waits. The user is a member again when the channel is subscribed to again."""
        self._subscribed = False
        self._forget_read(error)
        self._end(error)

    @property
    def _is_left(self) -> bool:
        """The channel is, after the user has joined; or the client is closed."""
        return self._joined is not None and self._joined.done() and not self._subscribed

    def _subscribe_again(self) -> "asyncio.Future[None]":
        """Have it subscribed to again, whoever waits for that; the outcome's error is nobody's who does not look."""
        again: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        again.add_done_callback(failure)

        resubscribed = self._resubscribe()  # at once: who leaves the channel next has left it

        async def subscribe() -> None:
            try:
                await resubscribed
            except Exception as error:
                refuse(again, error)
            else:
                resolve(again, None)

        task = self._host.spawn(subscribe())
        task.add_done_callback(lambda _: refuse(again, closed("the client was closed")))
        return again

    def _was_refused(self, joined: "asyncio.Future[None]") -> None:
        error = failure(joined)
        if error is not None and self._joined is joined:
            self._joined = None
            self._end(error)

    def _suspend(self) -> None:
        """Nothing can be asked until ``subscribed``."""
        self._here = False
        self._asking = None
        self._ask_again_ms = inf
        self._failures = 0
        self._known.asked()

    def _end(self, error: BaseException) -> None:
        """This connection is no member any more."""
        self._suspend()
        self._active_ms = -inf
        _cancel(self._active_timer)
        _cancel(self._typing_timer)
        self._updates.clear(error)
        self._known = Members()
        self._settle()

    def _forget_read(self, error: TidewireError) -> None:
        self._read_to = 0
        self._acks.clear(error)

    def _has_told(self, words: Frame) -> None:
        """The server has them."""
        self._said.update(words)
        self._shown -= words.keys()

    def _say_active(self, active: bool) -> None:
        self._active_ms = _now_ms() if active else -inf
        self._updates.put({"active": active})

    def _answered(self, pages: Sequence[Mapping[str, Any]], *, anew: bool = False) -> None:
        self._known.answered(pages, now_ms=_now_ms())
        own = self._own() if anew else None
        if own is not None:
            says = {**self._said, **self._updates.words}
            lost = {name: value for name, value in says.items() if not same(own.get(name), value)}
            if lost:
                self._updates.put(lost)
        self._settle()

    def _own(self) -> Frame | None:
        own = self._known.members.get(self._host.user_id() or "")
        return None if own is None else dict(own)

    def _ask(self) -> None:
        """Ask who is there, however many frames it takes."""
        self._asking = _Asking()
        self._ask_again_ms = inf
        self._known.asked()
        self._ask_page(self._asking)

    def _ask_page(self, asking: _Asking) -> None:
        request: Frame = {"type": "presence.get", "channel": self._channel}
        if asking.pages:
            request["after"] = asking.pages[-1]["members"][-1]["user_id"]
        self._host.ask(request).add_done_callback(partial(self._page, asking))

    def _page(self, asking: _Asking, answer: "asyncio.Future[Any]") -> None:
        error = failure(answer)
        if asking is not self._asking:
            return
        page: Any = answer.result() if error is None else None
        # A page has one member at least, and no more than 100 are told: what goes on and on makes no sense.
        if error is None and (not is_answer(page) or len(asking.pages) > _MEMBERS_MAX):
            error = uncertain("the list of members makes no sense")
        if error is not None:
            self._not_told(error)
            return
        if page["count"] > (_MEMBERS_AGAIN if self._known.numbers else _MEMBERS_MAX):
            asking.pages = [{"members": [], "count": page["count"], "version": page["version"]}]
        else:
            asking.pages.append(page)
            if page.get("more"):
                self._ask_page(asking)
                return
        self._asking = None
        self._failures = 0
        self._answered(asking.pages)

    def _not_told(self, error: BaseException) -> None:
        self._asking = None
        if not is_passing(error):
            self._host.report(error)  # it is for good: the next `check` asks again
        elif isinstance(error, TidewireError) and error.retryable:
            self._ask_again_ms = _now_ms() + again_after_ms(error, self._failures, self._host.random)
        self._failures += 1
        self._settle()

    def _settle(self) -> None:
        """See what follows from what is known, and tell listeners of it."""
        now_ms = _now_ms()
        due = self._ask_again_ms <= now_ms or self._known.needs_get(now_ms=now_ms)
        if self._here and self._asking is None and due:
            self._ask()
        self._give_way()
        listed = [self._known.members[user_id] for user_id in sorted(self._known.members)]
        typing = tuple(sorted(self._known.typing(now_ms=now_ms) - {self._host.user_id()}))
        _cancel(self._timer)
        due_ms = min(self._known.next_ms(), self._ask_again_ms)
        if due_ms < inf:
            self._timer = asyncio.get_running_loop().call_later(max(0, due_ms - now_ms) / 1000, self._settle)
        alike = same(listed, self._listed)
        if alike and (self._known.count, typing) == (self._count, self._typing):
            return
        if not alike:
            self._listed, self._members = listed, tuple(map(Member.from_wire, listed))
        self._count, self._typing = self._known.count, typing
        self._listeners.call(self)

    def _give_way(self) -> None:
        """Where our words were shown and others are now, another connection of the user has said them: they stand."""
        own = self._own()
        if own is None:
            return
        for name, value in list(self._said.items()):
            if same(own.get(name), value):
                self._shown.add(name)
            elif name in self._shown:
                self._shown.discard(name)
                del self._said[name]


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _now_ms() -> int:
    """Milliseconds that only go forward, whatever happens to the machine's clock; whole, so that sums are exact."""
    return round(asyncio.get_running_loop().time() * 1000)
