"""Streams (docs/protocol.md 4.3): what comes for a session, or into one channel, as SSE or as lines of JSON."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import FastAPI, Header, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.types import Send

from functions.http_api.address import address_of
from functions.http_api.caller import ServicesDep, bearer
from functions.http_api.held import hold, release
from functions.http_api.sessions import SessionId, batch, session_user, watcher_of
from functions.http_api.waiting import Watcher, look_again_s, too_late
from shared.adapters.telemetry import failure
from shared.bootstrap import Services
from shared.domain.channel import is_channel
from shared.domain.mailbox import Way
from shared.errors import InvalidFieldError, UnauthenticatedError, UnavailableError
from shared.services.channel_tail import Onlooker
from shared.services.mailbox_reader import MailboxReader, Read, Reading

SSE: Final = "text/event-stream"
NDJSON: Final = "application/x-ndjson"
_RETRY_MS: Final = 1_000  # after how long an EventSource comes back by itself
PING_S: Final = 15  # proxies close what is silent for 30 s and more
_STAY_S: Final = 20  # well below what a session may be silent for
_STAY_MESSAGES: Final = 250  # well below what a mailbox holds
_SLOW_READER_S: Final = 10
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx's way of being told not to wait


@dataclass(frozen=True, slots=True)
class Format:
    """How a stream looks.

    Attributes:
        opening: What it begins with; if that is nothing, it begins with a ping.
    """

    media_type: str
    way: Way
    opening: bytes
    ping: bytes
    encode: Callable[[MailboxReader, Reading, Sequence[Read]], bytes]


# JSON escapes all that ends a line but these, which some readers of lines (Python's ``splitlines``, and so httpx) take
# for ends as well.
ENDS_OF_LINES: Final = str.maketrans({"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def _events(reads: Iterable[Read]) -> bytes:
    return b"".join(format_sse_event(data_str=one.text.translate(ENDS_OF_LINES), id=one.cursor) for one in reads)


def _sse(_reader: MailboxReader, _reading: Reading, reads: Sequence[Read]) -> bytes:
    return _events(reads)


def _ndjson(reader: MailboxReader, reading: Reading, reads: Sequence[Read]) -> bytes:
    return batch(reader, reading, reads).translate(ENDS_OF_LINES).encode() + b"\n"


_FORMATS: Final = {
    SSE: Format(SSE, "sse", format_sse_event(retry=_RETRY_MS), KEEPALIVE_COMMENT, _sse),
    NDJSON: Format(NDJSON, "stream", b"", b"\n", _ndjson),
}


class HeldStreamResponse(StreamingResponse):
    """A stream that ends a little after its age also where its reader takes nothing any more."""

    def __init__(self, content: AsyncIterator[bytes], media_type: str, max_age_s: int) -> None:
        super().__init__(content, headers=_HEADERS, media_type=media_type)
        self._at_most_s = max_age_s + _SLOW_READER_S

    async def stream_response(self, send: Send) -> None:
        """Send it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._at_most_s):
                await super().stream_response(send)


def add_streams(app: FastAPI) -> None:
    """Add the routes."""
    app.get("/v1/stream/sessions/{session_id}", response_class=StreamingResponse)(session_stream)
    app.get("/v1/stream/events", response_class=StreamingResponse)(channel_stream)


async def session_stream(
    request: Request,
    services: ServicesDep,
    session_id: SessionId,
    authorization: Annotated[str | None, Header()] = None,
    accept: Annotated[str, Header()] = SSE,
    ticket: Annotated[str | None, Query(max_length=100)] = None,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
    last_event_id: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """Stream what comes for a session, from the cursor on, for some minutes; then the client comes back."""
    style = _negotiated(accept)
    # An EventSource that comes back by itself asks for the same address once more: the header is newer.
    cursor = last_event_id or cursor or None
    if ticket is not None:
        services.limits.check_failures(address_of(request))
    user_id = await run_in_threadpool(_reader_of, services, session_id, authorization, ticket, cursor)
    held = await hold_stream(services, request, user_id)
    try:
        reading = await run_in_threadpool(services.mailbox_reader.begin, session_id, user_id, cursor, style.way)
    except BaseException:
        await release(services, held)
        raise

    async def stream() -> AsyncIterator[bytes]:
        try:
            async for chunk in session_chunks(
                services.mailbox_reader,
                watcher_of(request),
                reading,
                style,
                max_age_s=services.settings.stream_max_age_s,
            ):
                yield chunk
        except Exception as error:  # hosts would log its text
            failure(error)  # the answer has begun: the client finds the end, and comes back
        finally:
            await release(services, held)

    return HeldStreamResponse(stream(), style.media_type, services.settings.stream_max_age_s)


async def session_chunks(
    reader: MailboxReader, watcher: Watcher, reading: Reading, style: Format, *, max_age_s: int
) -> AsyncIterator[bytes]:
    """Yield what a reader is given, until it is that old, or may not go on."""
    loop = asyncio.get_running_loop()
    silent_since_s = stayed_s = pinged_s = loop.time()
    ends_s = silent_since_s + max_age_s
    stayed_at, arrived = reading.after, True
    yield style.opening or style.ping
    while (now_s := loop.time()) < ends_s and not watcher.closed:
        reads = await run_in_threadpool(reader.read, reading) if arrived else []
        if reads:
            yield style.encode(reader, reading, reads)
            silent_since_s = pinged_s = loop.time()
        else:
            if arrived and reading.hole:
                silent_since_s = now_s  # it is on its way
            until_s = min(ends_s, pinged_s + PING_S, stayed_s + _STAY_S)
            outcome = await watcher.wait(reading, silent_since_s=silent_since_s, timeout_s=until_s - now_s)
            arrived = outcome == "arrived"
            if outcome == "another reader":
                stayed_s = -math.inf
            if loop.time() >= pinged_s + PING_S:
                yield style.ping
                pinged_s = loop.time()
        if loop.time() >= stayed_s + _STAY_S or reading.after - stayed_at >= _STAY_MESSAGES:
            if not await run_in_threadpool(reader.stay, reading) and not reading.ended:
                return  # its token has ended
            stayed_s, stayed_at = loop.time(), reading.after
        if reading.ended:
            # Said aloud, so that two that read one session do not take it from one another for ever.
            if last := await run_in_threadpool(reader.last_words, reading):
                yield style.encode(reader, reading, last)
            return


async def channel_stream(
    request: Request,
    services: ServicesDep,
    channel: Annotated[str, Query(max_length=200)],
    authorization: Annotated[str | None, Header()] = None,
    accept: Annotated[str, Header()] = SSE,
    ticket: Annotated[str | None, Query(max_length=100)] = None,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
    last_event_id: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """Stream a channel's events from now on, for a quick look: no session, and nothing of what is not kept."""
    if _negotiated(accept).media_type != SSE:
        raise HTTPException(406)
    if not is_channel(channel):
        raise InvalidFieldError("channel: a channel is namespace:name", details={"fields": [{"field": "channel"}]})
    tail, watcher, cursor = services.channel_tail, watcher_of(request), last_event_id or cursor or None
    if ticket is not None:
        services.limits.check_failures(address_of(request))
    onlooker = await run_in_threadpool(_onlooker, services, channel, authorization, ticket, cursor)
    # Before the answer begins: who sees it begin may count on all that is published from then on.
    begin = await run_in_threadpool(tail.begin, onlooker, cursor)
    held = await hold_stream(services, request, onlooker.user_id)

    async def stream() -> AsyncIterator[bytes]:
        loop, position = asyncio.get_running_loop(), begin
        silent_since_s = pinged_s = checked_s = loop.time()
        ends_s = silent_since_s + services.settings.stream_max_age_s
        try:
            yield format_sse_event(retry=_RETRY_MS)
            while loop.time() < ends_s and not watcher.closed:
                pause_s = look_again_s(loop.time() - silent_since_s)
                if too_late(loop.time() + pause_s - checked_s):
                    await run_in_threadpool(tail.check, onlooker)
                    checked_s = loop.time()
                position, reads = await run_in_threadpool(tail.read, onlooker, position)
                if reads:
                    yield _events(reads)
                    silent_since_s = pinged_s = loop.time()
                    continue
                await asyncio.sleep(pause_s)
                if loop.time() >= pinged_s + PING_S:
                    yield KEEPALIVE_COMMENT
                    pinged_s = loop.time()
        except UnauthenticatedError:
            return  # its token has ended, or was revoked
        except Exception as error:
            failure(error)
        finally:
            await release(services, held)

    return HeldStreamResponse(stream(), SSE, services.settings.stream_max_age_s)


def _negotiated(accept: str) -> Format:
    """Return the first format of those that the client takes.

    Raises:
        HTTPException: It takes none of them.
    """
    for wanted in accept.split(","):
        media_range = wanted.partition(";")[0].strip().lower()
        for name, style in _FORMATS.items():
            if media_range in ("*/*", name, f"{name.partition('/')[0]}/*"):
                return style
    raise HTTPException(406)


def _reader_of(
    services: Services, session_id: str, authorization: str | None, ticket: str | None, cursor: str | None
) -> str:
    """Return who reads a session: by its token, by a ticket, or by a used ticket and a cursor that was given for it."""
    if authorization is not None or ticket is None:
        return session_user(services, session_id, authorization)
    principal = services.sessions.redeem_ticket(ticket)
    if principal is not None:
        user_id: str | None = principal.user_id
    else:
        user_id = services.mailbox_reader.user_of(cursor, session_id) if cursor is not None else None
    if user_id is None:
        raise UnauthenticatedError("the ticket is unknown, used or too old")
    services.limits.http_request(user_id)
    return user_id


def _onlooker(
    services: Services, channel: str, authorization: str | None, ticket: str | None, cursor: str | None
) -> Onlooker:
    """Return who follows a channel: by a token, by a ticket, or by a used ticket and a cursor that was given for it."""
    tail = services.channel_tail
    if authorization is not None or ticket is None:
        return tail.admit(bearer(services, authorization), channel)
    principal = services.sessions.redeem_ticket(ticket)
    if principal is not None:
        known: Onlooker | None = tail.admit(principal, channel)
    else:
        known = tail.known(cursor, channel) if cursor is not None else None
    if known is None:
        raise UnauthenticatedError("the ticket is unknown, used or too old")
    services.limits.http_request(known.user_id)
    return known


async def hold_stream(services: Services, request: Request, user_id: str) -> str:
    """Count one more stream of the user's.

    Raises:
        UnavailableError: No more can be held. Whoever gets this can still poll.
    """
    held = await hold(services, request, user_id, at_most_s=services.settings.stream_max_age_s)
    if held is None:
        raise UnavailableError("no more streams can be held: poll", retry_after_ms=5_000)
    return held
