"""Centrifugo's HTTP emulation (docs/centrifugo.md): its streams, and where commands are sent beside them.

What knows its protocol is loaded with the first request: most who start this never have one.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import anyio
from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from fastapi.sse import format_sse_event

from functions.http_api.address import address_of
from functions.http_api.caller import ServicesDep
from functions.http_api.held import release
from functions.http_api.sessions import watcher_of
from functions.http_api.streams import (
    ENDS_OF_LINES,
    NDJSON,
    PING_S,
    SSE,
    Format,
    HeldStreamResponse,
    hold_stream,
    session_chunks,
)
from shared.adapters.telemetry import failure
from shared.bootstrap import Services
from shared.errors import BadFrameError
from shared.services.mailbox_reader import MailboxReader, Read, Reading

if TYPE_CHECKING:
    from shared.services.centrifugo_streams import Opened

# A longer one comes by no CloudFront: docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html
_URL_MAX_LENGTH: Final = 8_192


def _line(text: str) -> bytes:
    return text.translate(ENDS_OF_LINES).encode() + b"\n"


def _event(text: str) -> bytes:
    return format_sse_event(data_str=text.translate(ENDS_OF_LINES))


def _lines(_reader: MailboxReader, _reading: Reading, reads: Sequence[Read]) -> bytes:
    return b"".join(_line(one.text) for one in reads)


def _events(_reader: MailboxReader, _reading: Reading, reads: Sequence[Read]) -> bytes:
    return b"".join(_event(one.text) for one in reads)


# Their ping is an empty reply: a client that hears nothing for some seconds longer than it was told comes back.
_HTTP_STREAM: Final = Format(NDJSON, "stream", b"", _line("{}"), _lines)
_SSE: Final = Format(SSE, "sse", b"", _event("{}"), _events)


def add_centrifugo_streams(app: FastAPI) -> None:
    """Add the streams. They are described at centrifugal.dev, and not once more here."""
    app.post("/v1/stream/centrifugo/http_stream", include_in_schema=False, dependencies=[Depends(json_alone)])(
        http_stream
    )
    app.get("/v1/stream/centrifugo/sse", include_in_schema=False)(sse)


def add_centrifugo_emulation(app: FastAPI) -> None:
    """Add the route for commands."""
    app.post("/v1/centrifugo/emulation", include_in_schema=False, dependencies=[Depends(json_alone)])(emulation)


def json_alone(content_type: Annotated[str, Header()] = "") -> None:
    """Refuse protobuf, which they send as ``application/octet-stream``, and what pages may send without being asked.

    Raises:
        HTTPException: It is not said to be JSON.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "Centrifugo's protocol is served as application/json alone")


async def http_stream(request: Request, services: ServicesDep) -> Response:
    """Answer ``connect`` with a stream of lines."""
    try:
        body = (await request.body()).decode()
    except UnicodeDecodeError:
        raise BadFrameError("the body is not UTF-8") from None
    return await _stream(request, services, body, _HTTP_STREAM, _line)


async def sse(
    request: Request, services: ServicesDep, cf_connect: Annotated[str, Query(max_length=_URL_MAX_LENGTH)]
) -> Response:
    """Answer ``connect`` with events."""
    return await _stream(request, services, cf_connect, _SSE, _event)


async def emulation(request: Request, services: ServicesDep) -> Response:
    """Take commands; they are answered in the stream."""
    from shared.protocol.centrifugo.commands import parse_emulation

    received_at_ms = services.now_ms()
    sent = parse_emulation(await request.body())
    await run_in_threadpool(services.centrifugo_emulation.send, sent.session, sent.data, received_at_ms=received_at_ms)
    return Response(status_code=204)


async def _stream(
    request: Request, services: Services, body: str, style: Format, encode: Callable[[str], bytes]
) -> Response:
    from shared.services.centrifugo_streams import StreamRefusedError

    streams = services.centrifugo_streams
    try:
        admission = await run_in_threadpool(streams.admit, body)
    except StreamRefusedError as refused:
        await run_in_threadpool(services.limits.failed, address_of(request))
        return Response(encode(refused.text), media_type=style.media_type)
    await run_in_threadpool(services.limits.http_request, admission.user_id)
    held = await hold_stream(services, request, admission.user_id)
    try:
        opened = await run_in_threadpool(streams.open, admission, style.way, ping_s=PING_S)
    except StreamRefusedError as refused:
        await release(services, held)
        return Response(encode(refused.text), media_type=style.media_type)
    except BaseException:
        await release(services, held)
        raise
    chunks = _chunks(request, services, opened, replace(style, opening=encode(opened.text)), held)
    return HeldStreamResponse(chunks, style.media_type, services.settings.stream_max_age_s)


async def _chunks(
    request: Request, services: Services, opened: "Opened", style: Format, held: str
) -> AsyncIterator[bytes]:
    streams = services.centrifugo_streams
    max_age_s = services.settings.stream_max_age_s
    try:
        async for chunk in session_chunks(
            streams.reader, watcher_of(request), opened.reading, style, max_age_s=max_age_s
        ):
            yield chunk
    except Exception as error:  # hosts would log its text
        failure(error)  # the answer has begun: the client finds the end, and comes back
    finally:
        with anyio.CancelScope(shield=True):
            try:
                await run_in_threadpool(streams.end, opened.reading.mailbox_id)
            except Exception as error:  # the janitor finds it
                failure(error)
        await release(services, held)
