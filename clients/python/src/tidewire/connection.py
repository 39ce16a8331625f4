"""The connection, kept up: finds a way to the server, comes back after a loss, moves on to a new link in time."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import random
from typing import Any, Final, Literal

from tidewire.backoff import backoff_ms
from tidewire.breaker import Breaker
from tidewire.errors import ASKED_MAX_MS, SESSION_UNKNOWN, TidewireError, closed, uncertain
from tidewire.frames import Frame
from tidewire.futures import refused
from tidewire.link import REQUEST_TIMEOUT_S, Link, LinkOptions
from tidewire.refresh import Refresh
from tidewire.transports.session import HttpSession
from tidewire.transports.transport import Endpoints, OpenTransport

ConnectionState = Literal["idle", "connecting", "connected", "reconnecting", "closed"]
"""How the client stands; ``closed`` is for good, until it connects again."""
Ways = Mapping[str, OpenTransport]
"""The ways to the server by name, the best first."""

# The first round of attempts; in each later one they get twice the time, for a server that starts from cold.
_CONNECT_TIMEOUT_S: Final = 4.0
_CONNECT_TIMEOUT_MAX_S: Final = 30.0
# A link that ends sooner is taken for one that could not be had: some proxies let connect, and cut.
_STEADY_S: Final = 10.0
# On a lesser way: how often the better ones are tried. The server's age limit is approached up to this share of it.
_UPWARD_S: Final = 60.0
_ROLLOVER_FROM: Final = 0.8
_ROLLOVER_TO: Final = 0.95
_ROLLOVER_AGAIN_S: Final = 60.0
# How long answers are waited for on a link that another has followed.
_RETIRED_S: Final = 10.0
# Disconnect codes (docs/protocol.md section 5).
_RECONNECT: Final = range(3000, 3500)
_TOKEN_EXPIRED: Final = 3500
_TOO_LATE: Final = 3503  # hello was; as when the machine slept meanwhile, or the server had to start


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """What a connection is made of, and whom it tells what happens.

    Attributes:
        endpoints: Where the server is; asked before each round of attempts.
        token: A token; ``True`` asks for a new one, since the last was refused, or ends.
        ways: All that may be taken.
        open_session: Says hello by HTTP: for what is too large for a frame.
        spawn: Runs something beside the rest; what it raises is reported.
        let_go: The same, for what the client's end has to wait for.
        on_push: Called for every push, after ``connected``.
        on_connected: Called after each hello: subscribe, send what waits. Also where a new link has followed the last
            without a loss.
    """

    endpoints: Callable[[], Awaitable[Endpoints]]
    token: Callable[[bool], Awaitable[str]]
    ways: Ways
    open_session: Callable[[Endpoints, Frame], Awaitable[HttpSession]]
    spawn: Callable[[Coroutine[Any, Any, None]], Any]
    let_go: Callable[[Coroutine[Any, Any, None]], Any]
    report: Callable[[BaseException], None]
    on_push: Callable[[Frame], None]
    on_state: Callable[[ConnectionState, TidewireError | None], None]
    on_connected: Callable[[Frame], None]
    random: Callable[[], float] = random


@dataclass(slots=True)
class _Attempt:
    """A way that is being tried, or was taken: and what is tried after it."""

    way: str
    others: Sequence[str]
    endpoints: Endpoints
    token: str
    link: Link | None = None
    up_at_s: float | None = None


class Connection:
    """See above. All of it runs in the event loop in which :meth:`open` was called."""

    def __init__(self, options: ConnectionOptions) -> None:
        self._options = options
        self._breakers = {way: Breaker() for way in options.ways}
        self._state: ConnectionState = "idle"
        self._link: Link | None = None  # the one that is up
        self._way: str | None = None  # its way, or that of the last
        self._up_at_s = 0.0  # when it was adopted
        self._trying: Link | None = None
        self._retired: Link | None = None
        self._round = 0  # counts rounds of attempts for good: what belongs to an earlier one is ignored
        self._attempt = 0  # rounds that failed, or brought nothing that lasted
        self._session_id: str | None = None
        self._refused = False  # a token was not accepted, and with a fresh one nothing has been answered yet
        self._found = False  # somebody has said where the server is
        self._ahead_s = 0.0  # how far the server's clock is ahead of the loop's
        self._refresh = Refresh(
            token=options.token,
            link=lambda: self._link,
            spawn=options.spawn,
            report=options.report,
            random=options.random,
        )
        self._retry: asyncio.TimerHandle | None = None
        self._upward: asyncio.TimerHandle | None = None
        self._rollover: asyncio.TimerHandle | None = None

    @property
    def state(self) -> ConnectionState:
        """How it is."""
        return self._state

    @property
    def way(self) -> str | None:
        """The way that is in use, or was last."""
        return self._way

    def open(self) -> None:
        """Connect, if it is not connected or trying to.

        Raises:
            RuntimeError: No event loop is running.
        """
        if self._state not in ("idle", "closed"):
            return
        asyncio.get_running_loop()  # where there is none nothing has begun
        self._attempt, self._refused = 0, False
        self._enter("connecting")
        if self.state == "connecting":  # unless a listener has closed it
            self._seek()

    def wake(self) -> None:
        """The machine or the network has woken: do not wait for the next attempt; see whether the link is alive."""
        for breaker in self._breakers.values():
            breaker.forgive()
        if self._link is not None:
            self._link.probe()
        elif self._state == "reconnecting" and self._trying is None:
            self._seek()

    def close(self, error: TidewireError | None = None) -> None:
        """End it; requests under way are refused."""
        if self._state == "closed":
            return
        error = error or closed("the client was closed")
        self._session_id = None
        self._drop(error, lambda: self._enter("closed", error))

    def ask(self, requests: Sequence[Frame], timeout_s: float = REQUEST_TIMEOUT_S) -> "list[asyncio.Future[Any]]":
        """As :meth:`Link.ask`; refused at once where there is no link."""
        # Before hello is answered the server would refuse it, or, in the handshake, it would be lost.
        if self._link is not None:
            return self._link.ask(requests, timeout_s)
        error = closed("the client is closed") if self._state == "closed" else uncertain("not connected")
        return [refused(error) for _ in requests]

    def _seek(self, some: Sequence[str] | None = None) -> None:
        """Try the ways, or some, one after another; the first that stands is taken. Without a link, again later."""
        _cancel(self._retry)
        self._retry = None
        self._round += 1
        self._options.spawn(self._find(self._round, some))

    async def _find(self, round_: int, some: Sequence[str] | None) -> None:
        try:
            endpoints = await self._options.endpoints()
            token = await self._options.token(self._refused)
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # or else it is of something that was asked for the token
            if round_ == self._round:
                self._not_told(error)
            return
        self._found = True
        if round_ == self._round:  # else it was closed meanwhile, and perhaps opened again
            self._try(self._order() if some is None else some, endpoints, token)

    def _not_told(self, error: BaseException) -> None:
        """Nobody says where the server is, or gives a token."""
        if not isinstance(error, TidewireError):
            self._options.report(error)
            error = uncertain(f"{type(error).__name__}: {error}")
        passing = error.retryable or self._link is not None or self._found
        if passing and error.kind != "closed":  # or else it is another user's token
            self._not_found(error.retry_after_ms, error)
        else:
            self.close(error)

    def _try(self, ways: Sequence[str], endpoints: Endpoints, token: str) -> None:
        if not ways:
            self._not_found()
            return
        attempt = _Attempt(ways[0], ways[1:], endpoints, token)
        attempt.link = self._trying = Link(
            LinkOptions(
                open=self._options.ways[attempt.way],
                endpoints=endpoints,
                open_session=self._options.open_session,
                spawn=self._options.spawn,
                let_go=self._options.let_go,
                token=token,
                session_id=self._session_id,
                connect_timeout_s=min(_CONNECT_TIMEOUT_MAX_S, _CONNECT_TIMEOUT_S * 2 ** min(self._attempt, 10)),
                on_up=partial(self._adopt, attempt),
                on_push=partial(self._push, attempt),
                on_unauthenticated=partial(self._was_refused, attempt),
                on_answer=self._answered,
                on_down=partial(self._down, attempt),
            )
        )

    def _push(self, attempt: _Attempt, push: Frame) -> None:
        assert attempt.link is not None
        if push["type"] == "system" and self._system(attempt.link, push):
            return
        # What two links both bring is known by its place; what has none is taken from the newer one.
        if attempt.link is self._link or not (push["type"] == "event" and push.get("ephemeral")):
            self._options.on_push(push)

    def _was_refused(self, attempt: _Attempt, error: TidewireError) -> None:
        link = attempt.link
        if link is None or self._link is None or self._link is link:
            self._unauthenticated(error)
            return
        self._refused = True  # the next one says hello with a fresh token; the one that is up has its own
        if link is self._trying:
            self._trying = None
        link.close(uncertain(str(error)))  # what waits there was not done: it is asked again on the other
        self._not_found()

    def _answered(self) -> None:
        self._refused = False

    def _down(self, attempt: _Attempt, error: TidewireError | None) -> None:
        now_s, breaker = _now_s(), self._breakers[attempt.way]
        if attempt.up_at_s is not None:
            if now_s - attempt.up_at_s < _STEADY_S:
                breaker.failed(now_s)
            else:
                breaker.succeeded()
            if attempt.link is self._link:
                self._lost()
            return
        self._trying = None
        if error is not None and error.code == SESSION_UNKNOWN and self._session_id is not None:
            self._session_id = None
            self._try([attempt.way, *attempt.others], attempt.endpoints, attempt.token)
        elif error is not None and not error.retryable and self._link is None:
            self.close(error)
        elif error is not None:
            self._not_found(error.retry_after_ms, error)
        else:
            breaker.failed(now_s)
            self._try(attempt.others, attempt.endpoints, attempt.token)

    def _adopt(self, attempt: _Attempt, hello: Frame) -> None:
        """The link stands: it follows the one before, which is let go of when it has answered what it was asked."""
        assert attempt.link is not None
        self._retire()
        attempt.up_at_s = self._up_at_s = _now_s()
        self._link, self._trying, self._way = attempt.link, None, attempt.way
        self._session_id = hello["session_id"]
        self._ahead_s = hello["server_time_ms"] / 1000 - _now_s()
        self._schedule(attempt.way, hello)
        self._enter("connected")
        if self._link is attempt.link:  # unless a listener has closed it
            self._options.on_connected(hello)

    def _retire(self) -> None:
        old = self._link
        if old is None:
            return
        if self._retired is not None:
            self._retired.close(uncertain("it took too long"))
        self._retired = old
        old.retire()

        def end() -> None:
            old.close(uncertain("no answer came"))
            if self._retired is old:
                self._retired = None

        asyncio.get_running_loop().call_later(0 if old.idle else _RETIRED_S, end)

    def _schedule(self, way: str, hello: Frame) -> None:
        """When the better ways are tried, and when a new link is to follow this one."""
        _cancel(self._upward)
        _cancel(self._rollover)
        loop = asyncio.get_running_loop()
        names = list(self._options.ways)
        better = names[: names.index(way)]

        def upward() -> None:
            self._upward = loop.call_later(_UPWARD_S, upward)
            tried = [name for name in better if self._breakers[name].state(_now_s()) != "open"]
            if tried and self._trying is None:
                self._seek(tried)

        def rollover() -> None:
            self._rollover = loop.call_later(_ROLLOVER_AGAIN_S, rollover)
            if self._trying is None:
                self._seek([way])

        if better:
            self._upward = loop.call_later(_UPWARD_S, upward)
        age_s = hello["connection_max_age_s"]
        if age_s > 0:
            share = _ROLLOVER_FROM + self._options.random() * (_ROLLOVER_TO - _ROLLOVER_FROM)
            self._rollover = loop.call_later(age_s * share, rollover)

    def _order(self) -> list[str]:
        """The ways to be tried: that which worked last, then the others from the best down, but for those that fail."""
        names = list(self._options.ways)
        order = sorted(names, key=lambda name: name != self._way)  # stable
        left = [name for name in order if self._breakers[name].state(_now_s()) != "open"]
        return left or order

    def _lost(self) -> None:
        self._drop(uncertain("the connection ended"), self._later)

    def _not_found(self, wait_ms: float | None = None, error: TidewireError | None = None) -> None:
        """No way leads there. Where there is a link, it goes on with that."""
        if self._link is None:
            self._later(wait_ms, error)
        elif self._link.ended:
            self._lost()

    def _later(self, at_least_ms: float | None = None, error: TidewireError | None = None) -> None:
        """Try again, after what the server asks for: but who is sent away each time comes more and more seldom."""
        _cancel(self._retry)
        wait_ms = max(min(at_least_ms or 0, ASKED_MAX_MS), backoff_ms(self._attempt, self._options.random))
        self._attempt += 1
        self._retry = asyncio.get_running_loop().call_later(wait_ms / 1000, self._seek)
        self._enter("reconnecting", error)

    def _unauthenticated(self, error: TidewireError) -> None:
        """The token was refused, or has ended, and with it the subscriptions: one more try, with a fresh one."""
        if self._refused:
            self.close(error)
        else:
            self._refused = True
            self._lost()

    def _drop(self, error: TidewireError, tell: Callable[[], None]) -> None:
        """Let go of all links. What waits is refused when the loss was told: who hears of it may close for good."""
        self._round += 1
        if self._link is not None and _now_s() - self._up_at_s >= _STEADY_S:
            self._attempt = 0
        for timer in (self._retry, self._upward, self._rollover):
            _cancel(timer)
        self._retry = self._upward = self._rollover = None
        links = [self._trying, self._retired, self._link]
        self._trying = self._retired = self._link = None
        tell()
        for_good = self.state == "closed"
        reason = closed("the client was closed") if for_good and error.retryable else error
        for link in links:
            if link is not None:
                link.close(reason, for_good=for_good)

    def _system(self, link: Link, frame: Frame) -> bool:
        """Return whether it was the connection's own affair."""
        event = frame.get("event")
        if event == "superseded":
            self._superseded(link)
        elif event == "disconnect":
            self._disconnected(link, frame)
        elif event == "token_expiring":
            at_ms = frame.get("expires_at_ms")
            ends_s = at_ms / 1000 if isinstance(at_ms, int | float) else 0.0  # tried once, then
            self._refresh.begin(ends_s - self._ahead_s - _now_s())
        else:
            return False
        return True

    def _superseded(self, link: Link) -> None:
        if link is not self._link or self._trying is not None:
            link.close(uncertain("the next link reads now"))  # its successor may be told later that it is one
        else:
            # Somebody else reads this session: it is theirs.
            self._session_id = None
            self._lost()

    def _disconnected(self, link: Link, frame: Frame) -> None:
        if self._link is not None and link is not self._link:
            # The one that is up is told for itself.
            if link is self._trying:
                self._trying = None
            link.close(uncertain("the server ended it"))
            return
        code, name, after_ms = frame.get("code"), frame.get("name"), frame.get("after_ms")
        code = code if isinstance(code, int) else 0
        error = TidewireError(code, str(name or "disconnected"), f"the server ended it: {name or code}")
        if code == _TOKEN_EXPIRED:
            self._unauthenticated(error)
        elif code in _RECONNECT or (code == _TOO_LATE and self._link is None):
            wait_ms = after_ms if isinstance(after_ms, int | float) else None
            self._drop(uncertain("the server ended the connection"), lambda: self._later(wait_ms))
        else:
            self.close(error)

    def _enter(self, state: ConnectionState, error: TidewireError | None = None) -> None:
        if self._state != state:
            self._state = state
            self._options.on_state(state, error)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def _now_s() -> float:
    """Seconds that only go forward, whatever happens to the machine's clock."""
    return asyncio.get_running_loop().time()
