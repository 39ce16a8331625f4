"""Sessions over HTTP (docs/protocol.md 4.3): begin one, send frames, poll for what has come, end it."""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Header, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from functions.http_api.caller import ServicesDep, bearer
from functions.http_api.held import hold, release
from functions.http_api.waiting import Watcher
from shared.domain.mailbox import Way
from shared.errors import SessionUnknownError, UnauthenticatedError
from shared.protocol.limits import HTTP_FRAME_MAX_BYTES, POLL_MAX_WAIT_S
from shared.protocol.rest import FramesAnswer, SessionAnswer, SessionBody
from shared.services.mailbox_reader import MailboxReader, Read, Reading
from shared.services.session_end import REVOKED
from shared.services.sessions import HelloRequest, check_protocol
from shared.services.subscribe import subscription

# HTTP APIs wait 30 s for their function, cold start included:
# docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
_ANSWER_WITHIN_S: Final = 27


def add_polls(app: FastAPI) -> None:
    """Add the route that is also there where streams are: a function that waits is paid by its memory."""
    app.get("/v1/sessions/{session_id}/frames", response_model=FramesAnswer)(poll)


def add_sessions(app: FastAPI) -> None:
    """Add the other routes."""
    app.post("/v1/sessions", response_model=SessionAnswer)(open_session)
    app.post("/v1/sessions/{session_id}/frames")(send_frames)
    app.delete("/v1/sessions/{session_id}", status_code=204)(end_session)


SessionId = Annotated[str, Path(max_length=64)]


def session_user(
    services: ServicesDep, session_id: SessionId, authorization: Annotated[str | None, Header()] = None
) -> str:
    """Return whose session it is, by the session's token.

    Raises:
        UnauthenticatedError: There is no token, or it is not this session's.
        RateLimitedError: Its user asks too often.
    """
    user_id = services.http_sessions.user_of(_token_of(authorization), session_id)
    services.limits.http_request(user_id)
    return user_id


def _token_of(authorization: str | None) -> str:
    """Return a session's token.

    Raises:
        UnauthenticatedError: There is none.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        raise UnauthenticatedError("send Authorization: Bearer with the session's token")
    return token.strip()


SessionUser = Annotated[str, Depends(session_user)]


async def _body(request: Request) -> bytes:
    return await request.body()


def open_session(
    services: ServicesDep, body: SessionBody, authorization: Annotated[str | None, Header()] = None
) -> Response:
    """Begin a session, or take one up again. Its token is for the calls below; this one needs a user's."""
    check_protocol(body.protocol)
    principal = bearer(services, authorization if body.token is None else f"Bearer {body.token}")
    hello = HelloRequest(session_id=body.session_id, subscribe=[subscription(one) for one in body.subscribe])
    return JSONResponse(services.http_sessions.open(principal, hello))


def send_frames(
    services: ServicesDep, user_id: SessionUser, session_id: SessionId, body: Annotated[bytes, Depends(_body)]
) -> Response:
    """Send a frame or a batch; the answer is the replies, in order."""
    received_at_ms = services.now_ms()
    connection = services.http_sessions.connection(session_id, user_id)
    replies = services.dispatcher.handle(
        connection.connection_id, body, max_bytes=HTTP_FRAME_MAX_BYTES, received_at_ms=received_at_ms
    )
    with suppress(SessionUnknownError):  # where it has ended meanwhile, nobody needs its channels
        # If it has moved while they were handled.
        services.http_sessions.follow(connection.connection_id, session_id, user_id)
    return JSONResponse(replies)


async def poll(
    request: Request,
    services: ServicesDep,
    user_id: SessionUser,
    session_id: SessionId,
    wait_s: Annotated[int, Query(ge=0, le=POLL_MAX_WAIT_S)] = 0,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
    authorization: Annotated[str | None, Header()] = None,
) -> Response:
    """Return what has come; with ``wait_s``, wait for it if there is nothing yet."""
    answer_at_s = _received_s(request) + min(wait_s, _ANSWER_WITHIN_S)
    reader = services.mailbox_reader
    way: Way = "long_poll" if wait_s else "short_poll"
    try:
        reading = await run_in_threadpool(reader.begin, session_id, user_id, cursor or None, way)
    except (SessionUnknownError, UnauthenticatedError):
        # Nobody waited when its user was thrown out. All that is left of the session is this.
        if not await run_in_threadpool(services.http_sessions.revoked, _token_of(authorization)):
            raise
        return JSONResponse({"cursor": cursor or "", "frames": [REVOKED]})
    reads: Sequence[Read] = await run_in_threadpool(reader.read, reading)
    held = None if reads or not wait_s else await hold(services, request, user_id, at_most_s=wait_s)
    if held is not None:  # else it is a short poll: where no more can be held, too
        try:
            reads = await _awaited(reader, watcher_of(request), reading, answer_at_s)
        finally:
            await release(services, held)
    return Response(batch(reader, reading, reads), media_type="application/json")


async def _awaited(reader: MailboxReader, watcher: Watcher, reading: Reading, answer_at_s: float) -> Sequence[Read]:
    """Return what comes until then: as soon as something does, nothing if nothing does."""
    silent_since_s = asyncio.get_running_loop().time()
    while (left_s := answer_at_s - time.time()) > 0 and not watcher.closed:
        outcome = await watcher.wait(reading, silent_since_s=silent_since_s, timeout_s=left_s)
        if outcome == "another reader":
            await run_in_threadpool(reader.stay, reading)
        if not reading.ended and (reads := await run_in_threadpool(reader.read, reading)):
            return reads
        if reading.hole:
            silent_since_s = asyncio.get_running_loop().time()  # it is on its way
        if reading.ended:
            return await run_in_threadpool(reader.last_words, reading)
    return ()


def end_session(services: ServicesDep, user_id: SessionUser, session_id: SessionId) -> None:
    """End the session: its channels are left, what waits is dropped."""
    services.session_end.end(session_id, user_id)


def batch(reader: MailboxReader, reading: Reading, reads: Iterable[Read]) -> str:
    """Return what was read as ``{"cursor", "frames"}``, which is put together without being parsed."""
    frames = ",".join(one.text[1:-1] if one.text.startswith("[") else one.text for one in reads)
    return f'{{"cursor":{json.dumps(reader.cursor(reading))},"frames":[{frames}]}}'


def watcher_of(request: Request) -> Watcher:
    """Return the process's watcher."""
    watcher: Watcher = request.app.state.watcher
    return watcher


def _received_s(request: Request) -> float:
    """Return when API Gateway got the request: a function may have had to start first. Elsewhere it is now."""
    event: dict[str, Any] = request.scope.get("aws.event", {})
    at_ms = event.get("requestContext", {}).get("timeEpoch")
    return time.time() if at_ms is None else float(at_ms) / 1000
