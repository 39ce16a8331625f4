"""One transport that has said hello, or is about to: asks and answers, until it ends."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, Never

from tidewire.errors import SESSION_UNKNOWN, TIMEOUT, UNAUTHENTICATED, TidewireError, uncertain
from tidewire.frames import Frame
from tidewire.futures import answer
from tidewire.transports.session import HttpSession
from tidewire.transports.transport import Endpoints, OpenTransport

REQUEST_TIMEOUT_S: Final = 10.0
_PONG_TIMEOUT_S: Final = 4.0
_TIME_MAX: Final = 10**15  # of hello, in whatever unit: none is further away
_CLIENT: Final = {"name": "tidewire-python", "version": version("tidewire")}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions:
    """What a link is made of, and whom it tells what happens.

    Attributes:
        open_session: Says hello by HTTP: for what is too large for a frame.
        spawn: Runs something beside the rest.
        let_go: The same, for what the client's end has to wait for.
        session_id: The session to take up again.
        on_up: Hello was answered.
        on_unauthenticated: Something was refused since the token is not good, or has ended.
        on_answer: Something was answered, and not with an error.
        on_down: It has ended; with an error if the server refused hello. Called once; what waits is refused after it.
    """

    open: OpenTransport
    endpoints: Endpoints
    open_session: Callable[[Endpoints, Frame], Awaitable[HttpSession]]
    spawn: Callable[[Coroutine[Any, Any, None]], Any]
    let_go: Callable[[Coroutine[Any, Any, None]], Any]
    token: str
    session_id: str | None
    connect_timeout_s: float
    on_up: Callable[[Frame], None]
    on_push: Callable[[Frame], None]
    on_unauthenticated: Callable[[TidewireError], None]
    on_answer: Callable[[], None]
    on_down: Callable[[TidewireError | None], None]


@dataclass(frozen=True, slots=True)
class _Pending:
    answer: "asyncio.Future[Any]"
    timer: asyncio.TimerHandle


@dataclass(frozen=True, slots=True)
class _Ends:
    """The transport's handlers."""

    open: Callable[[], None]
    message: Callable[[str], None]
    close: Callable[[], None]


class Link:
    """See above. Frames that make no sense are passed over."""

    def __init__(self, options: LinkOptions) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._pending: dict[int, _Pending] = {}
        self._ids = itertools.count(1)
        self._hello: Frame | None = None
        self._hello_id: int | None = None
        self._token = options.token
        self._refresh_ids: list[int] = []  # no set: what the server says an id is may not be hashable
        self._ended = False
        self._received = 0  # messages
        self._probing: asyncio.TimerHandle | None = None
        self._http: asyncio.Task[HttpSession] | None = None
        self._connecting = self._loop.call_later(options.connect_timeout_s, self._end)
        self._transport = options.open(options.endpoints, _Ends(self._open, self._receive, self._end))

    @property
    def ended(self) -> bool:
        """Nothing can be asked any more."""
        return self._ended

    @property
    def idle(self) -> bool:
        """Nothing that was asked is still to be answered."""
        return not self._pending

    def retire(self) -> None:
        """Another has followed it, in the same session."""
        self._transport.retire()

    def ask(self, requests: Sequence[Frame], timeout_s: float = REQUEST_TIMEOUT_S) -> "list[asyncio.Future[Any]]":
        """Send requests as one frame, or one batch, which is carried out in order.

        Returns:
            The answer of each; it fails with a retryable error when nothing comes back.

        Raises:
            ValueError, TypeError: They are no JSON. Nothing was sent.
        """
        frames = [{**request, "id": next(self._ids)} for request in requests]
        text = to_json(frames[0] if len(frames) == 1 else frames)
        answers = [self._expect(frame["id"], timeout_s) for frame in frames]
        max_bytes = self._transport.max_bytes
        if self._ended:
            self._refuse(uncertain("the connection has ended"))
        elif max_bytes is not None and len(text.encode(errors="replace")) > max_bytes:
            self._options.spawn(self._post(text))
        else:
            self._transport.send(text)
        return answers

    async def refresh(self, token: str) -> None:
        """Put a token in the place of the one that ends soon.

        Raises:
            TidewireError: It is refused, or nothing came back: the other is good until its end.
        """
        if self._ended:
            raise uncertain("the connection has ended")
        id_ = next(self._ids)
        self._refresh_ids.append(id_)
        done = self._expect(id_, REQUEST_TIMEOUT_S)
        self._transport.send(to_json({"type": "refresh", "id": id_, "token": token}))
        await done
        self._token = token
        self._http = None  # that ends with the other

    def probe(self) -> None:
        """See whether it is alive.

        Not a sound since a request: the server is busy, or the network has gone silently, as when a laptop slept, which
        TCP takes minutes to notice. API Gateway itself answers a ping, however busy the functions are.
        """
        if self._probing is not None or self._ended:
            return
        received = self._received
        self._transport.send(to_json({"type": "ping", "id": next(self._ids)}))

        def judge() -> None:
            self._probing = None
            if self._received == received:
                self._end()

        self._probing = self._loop.call_later(_PONG_TIMEOUT_S, judge)

    def close(self, error: TidewireError, *, for_good: bool = False) -> None:
        """End it without a word to its owner; what waits is refused. ``for_good``: its session is over too."""
        self._release(for_good=for_good)
        self._refuse(error)

    def _open(self) -> None:
        if self._ended:
            return
        self._connecting.cancel()
        options = self._options
        hello: Frame = {"type": "hello", "protocol": 1, "token": self._token, "client": _CLIENT}
        if options.session_id is not None:
            hello["session_id"] = options.session_id
        self._hello_id = next(self._ids)
        self._expect(self._hello_id, REQUEST_TIMEOUT_S)
        self._transport.send(to_json({**hello, "id": self._hello_id}))

    def _receive(self, text: str) -> None:
        self._received += 1
        try:
            message = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            return  # no frame of ours
        for frame in message if isinstance(message, list) else [message]:
            if self._ended:
                return  # maybe by the frame before
            if isinstance(frame, dict):
                self._take(frame)

    def _expect(self, id_: int, timeout_s: float) -> "asyncio.Future[Any]":
        received = self._received
        timer = self._loop.call_later(timeout_s, self._unanswered, id_, received)
        pending = self._pending[id_] = _Pending(answer(), timer)
        return pending.answer

    def _greeted(self, result: Any, error: TidewireError | None) -> None:
        if error is not None:
            if error.code == UNAUTHENTICATED:
                self._options.on_unauthenticated(error)
            else:
                self._end(None if error.code == TIMEOUT else error)
        elif not isinstance(result, dict) or not _makes_sense(result):
            self._end()
        else:
            self._hello = result
            self._options.on_up(result)

    async def _post(self, text: str) -> None:
        """Send by HTTP. Where that fails, what was asked runs into its time, and is asked again."""
        hello = {"protocol": 1, "token": self._token, "session_id": (self._hello or {}).get("session_id")}
        if self._http is None:
            self._http = asyncio.ensure_future(self._options.open_session(self._options.endpoints, hello))
        try:
            self._receive(await (await asyncio.shield(self._http)).post(text))
        except TidewireError as error:
            self._http = None
            frames = json.loads(text)
            for frame in frames if isinstance(frames, list) else [frames]:
                self._settle(frame["id"], None, error)
        except Exception:  # whatever stands between us and the server
            self._http = None

    def _unanswered(self, id_: int, received: int) -> None:
        self._settle(id_, None, uncertain("no answer came"))
        if self._received == received:
            self.probe()

    def _end(self, error: TidewireError | None = None) -> None:
        if self._ended:
            return
        self._release()
        self._options.on_down(error)
        # After the loss was told, since who hears of it may close for good.
        self._refuse(uncertain("the connection ended"))

    def _release(self, *, for_good: bool = False) -> None:
        if self._ended:
            return
        self._ended = True
        self._connecting.cancel()
        if self._probing is not None:
            self._probing.cancel()
        if self._http is not None:
            self._http.cancel()
        self._transport.close(for_good=for_good)
        self._options.let_go(self._transport.wait_closed())

    def _refuse(self, error: TidewireError) -> None:
        for id_ in list(self._pending):
            self._settle(id_, None, error)

    def _take(self, frame: Frame) -> None:
        kind = frame.get("type")
        if not isinstance(kind, str):
            # API Gateway's own error: it says not which request failed, so all of them are uncertain.
            self._refuse(uncertain("the gateway failed"))
        elif kind == "reply":
            self._reply(frame)
        elif self._hello is not None or (kind == "system" and frame.get("event") == "disconnect"):
            self._options.on_push(frame)

    def _reply(self, frame: Frame) -> None:
        error = _error(frame)
        # What becomes of a token that is to replace one is its own affair, however late it is told.
        if self._hello is not None and frame.get("id") not in self._refresh_ids:
            # Nothing was done: to those who asked it is as if the connection had been lost.
            if error is not None and error.code == UNAUTHENTICATED:
                self._options.on_unauthenticated(error)
                return
            if error is not None and error.code == SESSION_UNKNOWN:
                self._end()
                return
            if error is None:
                self._options.on_answer()
        if isinstance(frame.get("id"), int):
            self._settle(frame["id"], frame.get("result"), error)

    def _settle(self, id_: int, result: Any, error: TidewireError | None) -> None:
        pending = self._pending.pop(id_, None)
        if pending is None:
            return
        pending.timer.cancel()
        if not pending.answer.done():  # cancelled by who waited for it
            if error is None:
                pending.answer.set_result(result)
            else:
                pending.answer.set_exception(error)
        if id_ == self._hello_id and not self._ended:
            # At once: what is pushed next may be in the same read.
            self._greeted(result, error)


def to_json(value: Any) -> str:
    """Return it as compact JSON.

    Raises:
        ValueError, TypeError: It is none; numbers that are not finite are not.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _error(frame: Frame) -> TidewireError | None:
    error = frame.get("error")
    if error is None:
        return None
    try:
        return TidewireError.from_wire(error)
    except (KeyError, TypeError, ValueError, AttributeError):
        return uncertain("the answer makes no sense")


def _makes_sense(hello: Frame) -> bool:
    return all(_is_time(hello.get(name)) for name in ("heartbeat_s", "connection_max_age_s", "server_time_ms")) and all(
        isinstance(hello.get(name), str) for name in ("session_id", "user_id")
    )


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _TIME_MAX


def _no_number(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")
