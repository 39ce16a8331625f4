"""The client: puts one connection, its channels, their recovery, the outbox and commands together."""

import asyncio
import inspect
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

from tidewire.channel import Channel
from tidewire.commands import CommandHandler, Commands
from tidewire.connection import Connection, ConnectionOptions, ConnectionState
from tidewire.documents import Documents
from tidewire.errors import TidewireError, closed, uncertain
from tidewire.frames import Frame, PublishResult
from tidewire.futures import refuse, refused, resolve
from tidewire.host import Host
from tidewire.late_store import LateStore, subject
from tidewire.link import REQUEST_TIMEOUT_S
from tidewire.listeners import Listeners
from tidewire.origin import origin
from tidewire.outbox import Outbox
from tidewire.problems import refusal
from tidewire.recovery import Recovery, Told
from tidewire.store import Kept
from tidewire.transports.session import HttpSession
from tidewire.transports.transport import Endpoints, OpenTransport
from tidewire.ways import WAYS, Deployment, Way, http_client, real_ways

logger = logging.getLogger("tidewire")

GetToken = Callable[[bool], str | Awaitable[str]]
"""Returns a token, or what it can be awaited of; with ``True`` it has to be a new one."""
StateListener = Callable[[ConnectionState, TidewireError | None], object]
"""Is told the state, and with ``closed`` why, where it was not the user who closed it."""

_HEARTBEAT_MIN_S: Final = 5.0
_STANDING_S: Final = 10.0
_TOKEN_S: Final = 30.0
_READ_TIMEOUT_S: Final = 30.0


class Tidewire:
    """One user's client. ``async with`` closes it at the end; the first :meth:`channel` connects.

    It belongs to one event loop, and is not to be used by several threads.

    Args:
        url: Origin of the deployment's HTTP API; everything else is asked there.
        get_token: Returns a token, or what it can be awaited of, within 30 s. It is called with each attempt to
            connect: with ``True`` when the last token was refused or has ended, and a new one is needed; and with
            ``True`` shortly before the token ends: the connection goes on with the new one. Where it raises, it is
            asked again later; a ``TidewireError`` that is not retryable closes the client, once the token has ended.
        transports: The ways that may be taken, of ``websocket``, ``sse``, ``stream``, ``long_poll``, ``short_poll``; or
            own ones by name, the best first.
        websocket_url: Where the WebSocket is, if not where the deployment says.
        outbox: A file in which what is published or written with ``offline`` is kept until it is answered. It is one
            user's and one process's.
        on_error: Is told of errors that belong to nobody: a listener that raised, a subscription lost for good. They
            are logged unless it is given.

    Raises:
        ValueError: ``url`` is none.
    """

    def __init__(
        self,
        url: str,
        get_token: GetToken,
        *,
        transports: Sequence[Way] | Mapping[str, OpenTransport] = WAYS,
        websocket_url: str | None = None,
        outbox: str | Path | None = None,
        on_error: Callable[[BaseException], object] | None = None,
    ) -> None:
        self._url, self._websocket_url = origin(url), websocket_url
        self._get_token, self._transports, self._on_error = get_token, transports, on_error
        self._outbox_path = None if outbox is None else Path(outbox)
        self._tasks: set[asyncio.Task[None]] = set()
        self._letting_go: set[asyncio.Task[None]] = set()  # transports
        self._releasing: set[asyncio.Task[None]] = set()  # the network and the file
        self._channels: dict[str, Channel] = {}
        self._states: Listeners[[ConnectionState, TidewireError | None], object] = Listeners(self._report)
        self._waiting: set[asyncio.Future[None]] = set()  # for a connection
        self._ready = False  # what an earlier process has left goes first
        self._clock_ms = 0.0  # how far the server's is ahead of ours
        self._user_id: str | None = None
        self._way: str | None = None  # as it was told
        self._heartbeat: asyncio.TimerHandle | None = None
        self._store: LateStore | None = None
        self._host = Host(
            ask=self._ask,
            standing=self._standing,
            connected=lambda: self.state == "connected",
            user_id=lambda: self._user_id,
            server_time_ms=lambda: time.time() * 1000 + self._clock_ms,
            report=self._report,
            spawn=self._spawn,
        )
        told = Told(
            deliver=lambda event: self._with(event["channel"], lambda channel: channel.deliver(event)),
            start_over=lambda name, position: self._with(name, lambda channel: channel.start_over(position)),
            resubscribe=lambda name: self._with(name, Channel.resubscribe),
        )
        self._recovery = Recovery(self._host, told)
        self._commands = Commands(self._host)
        self._outbox = Outbox(
            ask=lambda requests: self._connection.ask(requests),
            connected=lambda: self._ready,
            report=self._report,
            spawn=self._spawn,
        )
        self._prepare()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def state(self) -> ConnectionState:
        """``idle``, ``connecting``, ``connected``, ``reconnecting`` or ``closed``."""
        return self._connection.state

    @property
    def transport(self) -> str | None:
        """The way to the server that is in use, or was last; ``None`` before the first connection."""
        return self._connection.way

    @property
    def user_id(self) -> str | None:
        """Who the server says we are; ``None`` before the first connection."""
        return self._user_id

    def connect(self) -> None:
        """Connect, if it is not connected or trying to; after :meth:`close`, anew."""
        if self.state == "closed":
            self._prepare()
            for channel in list(self._channels.values()):
                channel.opened()
        self._connection.open()

    def channel(self, name: str) -> Channel:
        """Return the channel of that name: always the same object for the same name."""
        channel = self._channels.get(name)
        if channel is None:
            channel = Channel(name, self._host, self._recovery, self._publish, lambda: self._documents(name))
            self._channels[name] = channel
        if self.state == "idle":
            self.connect()
        return channel

    def on_state(self, listener: StateListener) -> Callable[[], None]:
        """Be told of each change of ``state``, or of ``transport``. Returns a function that ends it."""
        return self._states.add(listener)

    def send(
        self, to: Mapping[str, str], name: str, data: Any, *, message_id: str | None = None, receipt: bool = False
    ) -> "asyncio.Future[PublishResult]":
        """Send to a user, ``{"user_id": …}``, or to one connection, ``{"connection_id": …}``.

        Its receipts come in the channel ``user:<user_id>``: ``stored``, and ``read`` when it was.

        Returns:
            The server's answer, as of :meth:`Channel.publish`.
        """
        frame: Frame = {"type": "send", "to": dict(to), "name": name, "data": data}
        frame["message_id"] = message_id or str(uuid.uuid4())
        return self._publish(frame | ({"receipt": True} if receipt else {}), False)

    async def command(
        self, name: str, data: Any = None, *, to: Mapping[str, str] | None = None, timeout_s: float = 10.0
    ) -> Any:
        """Have the server, or a peer, do something; return the answer's data. It is not tried again.

        Args:
            to: ``{"user_id": …}``, who may answer with any connection, or ``{"connection_id": …}``; the server unless
                given.
            timeout_s: How long the peer has; at most 25.

        Raises:
            TidewireError: ``command_failed``, with the handler's or peer's ``message`` and ``details`` as ``details``;
                ``timeout``: nothing came back, and it may have been done.
        """
        await self._standing()
        return await self._commands.ask(name, data, to=to, timeout_s=timeout_s)

    def on_command(self, name: str, handler: CommandHandler) -> Callable[[], None]:
        """Do what peers ask for under this name. Returns a function that ends it."""
        return self._commands.on(name, handler)

    def wake(self) -> None:
        """The machine or the network has woken: try at once, and see what was missed."""
        self._connection.wake()
        if self.state == "connected":
            self._check()

    async def close(self) -> None:
        """End it: what waits is refused; what is kept on disk stays there for the next client."""
        tasks = self._tasks - {asyncio.current_task()}  # not those of a listener who connects anew
        self._connection.close()
        for task in tasks:
            task.cancel()
        ending = tasks | self._letting_go | self._releasing
        if ending:
            await asyncio.wait(ending)  # they end, whoever waits no more; what they raise is reported

    # What it is made of.

    def _prepare(self) -> None:
        http = self._http = http_client()
        self._deployment = Deployment(self._url, http, websocket_url=self._websocket_url)
        if self._outbox_path is not None:
            self._store = self._outbox.store = LateStore(self._outbox_path)

        async def open_session(endpoints: Endpoints, hello: Frame) -> HttpSession:
            return await HttpSession.open(endpoints.http_url, hello, http)

        self._connection = Connection(
            ConnectionOptions(
                endpoints=self._deployment.find,
                token=self._token,
                ways=self._transports if isinstance(self._transports, Mapping) else real_ways(self._transports, http),
                open_session=open_session,
                spawn=self._spawn,
                let_go=self._let_go,
                report=self._report,
                on_push=self._push,
                on_state=self._changed,
                on_connected=self._connected,
            )
        )

    def _documents(self, channel: str) -> Documents:
        return Documents(channel, self._host, lambda key: self._read_document(channel, key), lambda: self._store)

    async def _token(self, fresh: bool) -> str:
        try:
            async with asyncio.timeout(_TOKEN_S) as limit:
                asked = self._get_token(fresh)
                token = await asked if inspect.isawaitable(asked) else asked
        except TimeoutError:
            if limit.expired():
                raise uncertain("get_token took too long") from None
            raise
        if not isinstance(token, str):
            raise TypeError(f"get_token returns a str, not {type(token).__name__}")
        user_id = subject(token)
        if self._store is not None and user_id is not None:
            await self._open(self._store, user_id)  # before the network is there
        return token

    async def _open(self, store: LateStore, user_id: str) -> None:
        if self._releasing:
            await asyncio.wait(set(self._releasing))  # the file is still ours, from before we connected anew
        await store.open(user_id)

    def _ask(self, request: Frame, timeout_s: float = REQUEST_TIMEOUT_S) -> "asyncio.Future[Any]":
        return self._connection.ask([request], timeout_s)[0]

    def _publish(self, frame: Frame, offline: bool) -> "asyncio.Future[PublishResult]":
        if offline and self._store is None:
            raise ValueError("offline needs an outbox: Tidewire(..., outbox=...)")
        if self.state == "closed":
            return refused(closed("the client is closed"))
        if self.state == "idle":
            self.connect()
        return self._outbox.add(frame, offline=offline)

    async def _standing(self) -> None:
        """Return when something can be asked; raise when that takes too long, or never will be."""
        if self.state == "idle":
            self.connect()
        if self.state == "closed":
            raise closed("the client is closed")
        if self._ready:
            return
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            async with asyncio.timeout(_STANDING_S):
                await waiting
        except TimeoutError:
            raise uncertain("not connected") from None
        finally:
            self._waiting.discard(waiting)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return self._own(self._tasks, work)

    def _let_go(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return self._own(self._letting_go, work)

    def _own(self, tasks: "set[asyncio.Task[None]]", work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)

        def ended(task: "asyncio.Task[None]") -> None:
            tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                self._report(error)

        task.add_done_callback(ended)
        return task

    def _report(self, error: BaseException) -> None:
        if self._on_error is not None:
            try:
                self._on_error(error)
                return
            except Exception:
                logger.exception("on_error raised")
        # Of an error of the server's nobody needs to know where in here it came up.
        logger.error("%s", error, exc_info=None if isinstance(error, TidewireError) else error)

    # What happens.

    def _connected(self, hello: Frame) -> None:
        # However busy: API Gateway closes what is silent for 10 minutes, and a loss may show in nothing else.
        self._beat(max(_HEARTBEAT_MIN_S, hello["heartbeat_s"]))
        self._user_id = self._user_id or hello["user_id"]
        if self._user_id != hello["user_id"]:
            # What is here is one user's: documents, positions, what waits to be sent.
            self._connection.close(closed("another user's token"))
            return
        if self._way != self._connection.way:
            self._tell("connected", None)  # without a loss
        self._clock_ms = hello["server_time_ms"] - time.time() * 1000
        if self._store is None:
            self._go_on()
        else:
            self._spawn(self._restore(self._store, self._user_id))

    async def _restore(self, store: LateStore, user_id: str) -> None:
        """Take up what an earlier process has left."""
        try:
            await self._open(store, user_id)
            left = await store.left()
        except TidewireError as error:
            if store is self._store:  # or else it was closed, and connects anew
                self._connection.close(error)
            return
        for kept in left:
            try:
                self._take_up(kept)
            except Exception as error:
                self._report(error)  # no request of this client's
        if self.state == "connected":
            self._go_on()

    def _take_up(self, kept: Kept) -> None:
        if kept.request["type"] in ("publish", "send"):
            self._outbox.restore(kept)
        else:
            self.channel(kept.request["channel"]).restore(kept)

    def _go_on(self) -> None:
        for channel in list(self._channels.values()):
            channel.connected()
        self._ready = True
        for waiting in list(self._waiting):
            resolve(waiting, None)
        # When the channels have asked: who subscribes and then publishes hears it.
        asyncio.get_running_loop().call_soon(self._outbox.connected_again)

    def _beat(self, every_s: float) -> None:
        self._stop_beating()

        def beat() -> None:
            self._check()
            self._beat(every_s)

        self._heartbeat = asyncio.get_running_loop().call_later(every_s, beat)

    def _stop_beating(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()

    def _check(self) -> None:
        self._recovery.sync()
        for channel in list(self._channels.values()):
            channel.check()

    def _push(self, push: Frame) -> None:
        try:
            self._take(push)
        except Exception as error:
            self._report(error)  # a frame that makes no sense

    def _take(self, push: Frame) -> None:
        kind, channel = push["type"], push.get("channel")
        if kind == "event":
            self._recovery.event(push)
        elif kind == "system":
            self._system(push)
        elif channel is not None:
            self._with(channel, lambda found: found.push(push))
        elif kind == "command":
            self._commands.push(push)

    def _system(self, push: Frame) -> None:
        event, name = push["event"], push.get("channel")
        if name is None:
            return
        if event == "lagged" and push.get("position"):
            self._recovery.behind({name: push["position"]})
            self._with(name, Channel.check)
        elif event == "resubscribe":
            self._with(name, Channel.resubscribe)

    def _with(self, name: str, call: Callable[[Channel], None]) -> None:
        channel = self._channels.get(name)
        if channel is not None:
            call(channel)

    def _changed(self, state: ConnectionState, error: TidewireError | None) -> None:
        if state != "connected":
            self._ready = False
            self._stop_beating()
            self._recovery.disconnected()
            for channel in list(self._channels.values()):
                channel.disconnected()
        if state == "closed":
            self._ended(error or closed("the client was closed"))
        self._tell(state, error)

    def _tell(self, state: ConnectionState, error: TidewireError | None) -> None:
        self._way = self._connection.way
        self._states.call(state, error)

    async def _release(self, http: httpx.AsyncClient, store: LateStore | None) -> None:
        """Let go of the network and the file, when the transports have been."""
        try:
            if self._letting_go:
                await asyncio.wait(set(self._letting_go))
            await http.aclose()
        finally:
            if store is not None:
                await store.close()

    def _ended(self, error: TidewireError) -> None:
        self._own(self._releasing, self._release(self._http, self._store))
        for waiting in list(self._waiting):
            refuse(waiting, error)
        self._outbox.clear(error)
        for channel in list(self._channels.values()):
            channel.closed(error)

    async def _read_document(self, channel: str, key: str, *, fresh: bool = False) -> tuple[int, Any] | None:
        """Return a document's version and value as it is by HTTP: for what is too large for a frame."""
        endpoints = await self._deployment.find()
        url = f"{endpoints.http_url}/v1/channels/{quote(channel, safe='')}/state/{quote(key, safe='')}"
        headers = {"Authorization": f"Bearer {await self._token(fresh)}"}
        try:
            response = await self._http.get(url, headers=headers, timeout=_READ_TIMEOUT_S)
            if response.is_success:
                return int(response.headers["ETag"].strip('"')), response.json()
        except (httpx.HTTPError, LookupError, ValueError) as error:
            raise uncertain("the document could not be read") from error
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        if response.status_code == httpx.codes.UNAUTHORIZED and not fresh:
            return await self._read_document(channel, key, fresh=True)
        raise refusal(response)
