"""The four ways over HTTP: a session that is posted to, and read as SSE, as lines of JSON, or by polling."""

import asyncio
import json
from contextlib import suppress
from typing import Final, Literal

import httpx

from tidewire.errors import TidewireError
from tidewire.frames import Frame
from tidewire.transports.reads import Lines, NdjsonParser, Read, SseParser, read_of
from tidewire.transports.session import HttpSession, StrangerError
from tidewire.transports.teller import Teller
from tidewire.transports.transport import Endpoints, Handlers, OpenTransport, Transport

HttpWay = Literal["sse", "stream", "long_poll", "short_poll"]

# The server says something every 15 s, and answers a poll within 25.
_SILENT_S: Final = 40.0
_STREAM_AGAIN_S: Final = 1.0
# What a poll without news is followed by, twice as long each time; and when it was held as long as asked.
_POLL_MIN_S: Final = 0.2
_POLL_MAX_S: Final = 2.0
_POLL_WAIT_S: Final = 25
_FIRST_WAIT_S: Final = 1  # whether it comes back at all has to show before hello is answered
_HELD_S: Final = 1.0
# When it is closed: for what was posted just before, and for the session's end.
_POSTS_S: Final = 1.0
_END_S: Final = 2.0

_SSE: Final = "text/event-stream"
_NDJSON: Final = "application/x-ndjson"


def http_transport(way: HttpWay, http: httpx.AsyncClient) -> OpenTransport:
    """Return a transport that reads in this way. ``http`` is the caller's to close, after ``wait_closed``."""

    def start(endpoints: Endpoints, handlers: Handlers) -> Transport:
        return _Http(way, http, endpoints, handlers)

    return start


class _Http:
    max_bytes: int | None = None

    def __init__(self, way: HttpWay, http: httpx.AsyncClient, endpoints: Endpoints, handlers: Handlers) -> None:
        self._way, self._http, self._endpoints = way, http, endpoints
        self._loop = asyncio.get_running_loop()
        self._teller = Teller(handlers)
        self._opening: asyncio.Task[HttpSession] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._posts: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None
        self._session: HttpSession | None = None
        self._greeting: Frame | None = None  # the reply to hello, until it is told
        self._cursor: str | None = None
        self._closed = False
        self._for_good = False
        self._teller.open()

    def send(self, text: str) -> None:
        if self._closed:
            return
        if self._opening is None:
            hello = json.loads(text)
            request_id, _ = hello.pop("id"), hello.pop("type")
            self._opening = asyncio.create_task(HttpSession.open(self._endpoints.http_url, hello, self._http))
            self._opening.add_done_callback(_looked_at)
            self._reading = asyncio.create_task(self._begin(self._opening, request_id))
        elif self._session is not None:
            post = asyncio.create_task(self._post(self._session, text))
            self._posts.add(post)
            post.add_done_callback(self._posts.discard)

    def retire(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    def close(self, *, for_good: bool = False) -> None:
        self._teller.mute()
        self.retire()
        if self._ending is None or (for_good and not self._for_good):
            self._for_good = for_good
            self._ending = asyncio.create_task(self._end(self._ending))
        self._closed = True

    async def wait_closed(self) -> None:
        while tasks := {task for task in (self._opening, self._reading, self._ending) if task and not task.done()}:
            await asyncio.wait(tasks)

    async def _begin(self, opening: asyncio.Task[HttpSession], request_id: int) -> None:
        """Say hello. It is answered when the reading side stands: a proxy that holds streams back must show by then."""
        await asyncio.wait({opening})
        try:
            self._session = opening.result()
        except TidewireError as error:
            self._say({"type": "reply", "id": request_id, "error": error.to_wire()})
        except Exception:  # the network has gone, or a stranger answered, in whatever way
            self._teller.close()
        else:
            self._greeting = {"type": "reply", "id": request_id, "result": self._session.hello}
            await self._read(self._session)

    async def _read(self, session: HttpSession) -> None:
        try:
            if self._way in ("sse", "stream"):
                await self._stream(session)
            else:
                await self._poll(session)
        except Exception:  # as above; and what comes may be anything
            self._teller.close()

    async def _stream(self, session: HttpSession) -> None:
        # It ends after some minutes, as every stream does, and is asked for again: once a second at most.
        while True:
            again_s = self._loop.time() + _STREAM_AGAIN_S
            await self._read_stream(session)
            await asyncio.sleep(again_s - self._loop.time())

    async def _read_stream(self, session: HttpSession) -> None:
        url, silent = session.stream_url(self._endpoints.stream_url), True
        accept = _SSE if self._way == "sse" else _NDJSON
        lines, parser = Lines(), SseParser() if self._way == "sse" else NdjsonParser()
        async with asyncio.timeout(_SILENT_S) as patience, session.read(url, accept, self._from()) as response:
            if not (response.is_success and response.headers.get("Content-Type", "").startswith(accept)):
                raise StrangerError
            async for chunk in response.aiter_bytes():
                patience.reschedule(self._loop.time() + _SILENT_S)
                silent = False
                self._stands()
                for line in lines.feed(chunk):
                    if read := parser.line(line):
                        self._take(read)
        if silent:
            raise StrangerError

    async def _poll(self, session: HttpSession) -> None:
        long, pause_s = self._way == "long_poll", _POLL_MIN_S
        wait_s = _FIRST_WAIT_S if long else 0
        origin = self._endpoints.stream_url if long else self._endpoints.http_url  # to be held costs less there
        while True:
            began_s = self._loop.time()
            read = await self._ask(session, origin, wait_s)
            self._stands()
            self._take(read)
            if wait_s == _FIRST_WAIT_S:
                wait_s = _POLL_WAIT_S
                continue
            # A long poll comes back with nothing at once where the server can't hold it.
            fruitful = read.frames is not None or self._loop.time() - began_s > _HELD_S
            pause_s = _POLL_MIN_S if fruitful else min(_POLL_MAX_S, pause_s * 2)
            if wait_s == 0 or not fruitful:
                await asyncio.sleep(pause_s)

    async def _ask(self, session: HttpSession, origin: str, wait_s: int) -> Read:
        url, params = session.poll_url(origin), {"wait_s": str(wait_s), **self._from()}
        async with asyncio.timeout(_SILENT_S), session.read(url, "application/json", params) as response:
            if not response.is_success:
                raise StrangerError
            return read_of((await response.aread()).decode())

    async def _post(self, session: HttpSession, text: str) -> None:
        replies = await session.post(text)
        if replies != "[]":
            self._teller.message(replies)

    async def _end(self, before: asyncio.Task[None] | None) -> None:
        """Let go. What was sent last still goes out, and before the session's end if there is one."""
        if before is not None:
            await asyncio.wait({before})
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                if self._posts:
                    await asyncio.wait(self._posts, timeout=_POSTS_S)
                if self._for_good and self._opening is not None:
                    await asyncio.wait({self._opening})
                    if not (self._opening.cancelled() or self._opening.exception()):
                        with suppress(Exception):  # a session that nobody reads ends by itself
                            await self._opening.result().end()
        left = {*self._posts, *([self._opening] if self._opening else [])}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    def _stands(self) -> None:
        if self._greeting is not None:
            self._say(self._greeting)
            self._greeting = None

    def _take(self, read: Read) -> None:
        if read.cursor is not None:
            self._cursor = read.cursor
        if read.frames is not None:
            self._teller.message(read.frames)

    def _say(self, frame: Frame) -> None:
        self._teller.message(json.dumps(frame))

    def _from(self) -> dict[str, str]:
        return {} if self._cursor is None else {"cursor": self._cursor}


def _looked_at(opening: asyncio.Task[HttpSession]) -> None:
    """Have nobody complain of its error: where it is not told, the transport was closed meanwhile."""
    if not opening.cancelled():
        opening.exception()
