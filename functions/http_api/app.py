"""The HTTP side (docs/protocol.md 4.4): one FastAPI app. Here: tickets, history, commands, configuration, health.

Hosted by Mangum behind the HTTP API, and by uvicorn in the local stack. Endpoints are plain functions, run in threads:
what they call blocks.
"""

from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query
from fastapi.responses import JSONResponse, Response
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from functions.http_api.anonymous import add_anonymous
from functions.http_api.answer_headers import AnswerHeaders
from functions.http_api.caller import Bearer, Caller, ServicesDep, anonymous
from functions.http_api.centrifugo import add_centrifugo
from functions.http_api.centrifugo_streams import add_centrifugo_emulation, add_centrifugo_streams
from functions.http_api.channel import ChannelPath
from functions.http_api.console import add_console
from functions.http_api.dead_letters import add_dead_letters
from functions.http_api.documents import add_documents
from functions.http_api.front import ByFrontDoor
from functions.http_api.iam import Iam
from functions.http_api.keys import add_keys
from functions.http_api.pages import add_pages
from functions.http_api.presence import add_presence
from functions.http_api.problems import add_handlers
from functions.http_api.publish import add_publish
from functions.http_api.purge import add_purge
from functions.http_api.revocation import add_revocation
from functions.http_api.route import Route
from functions.http_api.sessions import add_polls, add_sessions
from functions.http_api.streams import add_streams
from functions.http_api.waiting import Watcher
from shared.adapters.telemetry import failure
from shared.bootstrap import Services
from shared.contract import LOCAL_STAGE
from shared.domain.channel import is_user_id
from shared.domain.publication import StreamPosition
from shared.errors import ForbiddenError, InvalidFieldError
from shared.protocol.limits import HISTORY_DEFAULT_LIMIT, HISTORY_MAX_LIMIT
from shared.protocol.rest import (
    CommandDescription,
    CommandsAnswer,
    ConfigAnswer,
    DemoTokenBody,
    DevTokenBody,
    Health,
    TicketAnswer,
    TokenAnswer,
)
from shared.services.sessions import TICKET_TTL_S
from shared.settings import Settings

VERSION = "0.1.0"
# Everything but admin, for every channel: what a token for development allows unless it says otherwise.
DEV_CAPABILITIES = {
    "*": ["subscribe", "publish", "history", "presence", "state.read", "state.write", "send", "command"],
}
# What a guest of the demo may: talk, draw and be seen in rooms. Whoever asks for a token gets one.
DEMO_CAPABILITIES = {"room:*": ["subscribe", "publish", "history", "presence", "state.read", "state.write"]}
DEMO_TOKEN_TTL_S = 3600
# Less fits a packet as it is. Higher levels take longer and save nothing (docs/adr/0017-what-costs.md).
_COMPRESSED_FROM_BYTES = 1_000
_COMPRESSION_LEVEL = 6
# Streams: whoever waits for a line waits for what is still to be compressed with it.
_NEVER_COMPRESSED = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/x-ndjson")
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "The request is at fault, or has to wait"},
    "5XX": {"description": "It may succeed later"},
}


def create_app(services: Services, *, calls: bool = True, streams: bool = True, pages: Path | None = None) -> FastAPI:
    """Return the app over these services.

    Args:
        services: What the endpoints use.
        calls: With all that is answered whole, not polls alone. Where it only holds, there is less that it may do.
        streams: With the streams. Where answers are passed on whole, nobody would see one before its end.
        pages: The folder of the built pages, if they are to be served.
    """
    app = FastAPI(
        title="Tidewire",
        version=VERSION,
        description="Channels, history and recovery over WebSocket and HTTP. docs/protocol.md is normative.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would lead to whatever host the client has named
        responses=_PROBLEMS,
    )
    app.router.route_class = Route
    use(app, services)
    add_handlers(app)
    # Only REST APIs compress by themselves:
    # docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-gzip-compression-decompression.html
    app.add_middleware(
        GZipMiddleware,
        minimum_size=_COMPRESSED_FROM_BYTES,
        compresslevel=_COMPRESSION_LEVEL,
        exclude_content_types=_NEVER_COMPRESSED,
    )
    app.add_middleware(Iam)
    app.add_middleware(ByFrontDoor)
    app.add_middleware(AnswerHeaders)  # the outermost: refusals have them, too
    app.get("/healthz")(healthz)
    add_polls(app)
    if streams:
        add_streams(app)
        add_centrifugo_streams(app)
    if calls:
        _add_calls(app, services.settings)
    if pages is not None:
        add_pages(app, pages, services.settings)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """Have it tell of itself what FastAPI does not find out."""
    plain = app.openapi

    def whole() -> dict[str, Any]:
        if app.openapi_schema is None:
            from functions.http_api.description import describe  # models that nothing else here needs

            app.openapi_schema = describe(plain())
        return app.openapi_schema

    app.openapi = whole  # type: ignore[method-assign]  # fastapi.tiangolo.com/how-to/extending-openapi/


def _add_calls(app: FastAPI, settings: Settings) -> None:
    add_sessions(app)
    add_documents(app)
    add_presence(app)
    add_publish(app)
    add_purge(app)
    add_revocation(app)
    add_keys(app)
    add_dead_letters(app)
    add_console(app)
    add_centrifugo_emulation(app)  # first: the other takes whatever method there is
    add_centrifugo(app)
    app.post("/v1/tickets")(issue_ticket)
    app.get("/v1/channels/{channel}/history")(history)
    app.get("/v1/commands")(commands)
    app.get("/v1/config")(config)
    app.get("/readyz", dependencies=[Depends(anonymous)], responses={503: {"model": Health}})(readyz)
    if settings.stage == LOCAL_STAGE:
        app.post("/v1/dev/token", dependencies=[Depends(anonymous)])(dev_token)
    if settings.demo:
        app.post("/v1/demo/token", dependencies=[Depends(anonymous)])(demo_token)
    if settings.anonymous is not None:
        add_anonymous(app)


def use(app: FastAPI, services: Services) -> None:
    """Have the app work with these services."""
    app.state.services = services
    app.state.watcher = Watcher(lambda awaited: services.mailbox_store.look(awaited), failure)


def issue_ticket(services: ServicesDep, principal: Bearer) -> TicketAnswer:
    """Give a ticket for one connection, to be used within 30 s."""
    services.limits.ticket(principal.user_id)
    return TicketAnswer(ticket=services.sessions.issue_ticket(principal), expires_in_s=TICKET_TTL_S)


def history(
    services: ServicesDep,
    principal: Caller,
    channel: ChannelPath,
    since_epoch: Annotated[str | None, Query(max_length=64)] = None,
    since_offset: Annotated[int | None, Query(ge=0, le=2**53 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=HISTORY_MAX_LIMIT)] = HISTORY_DEFAULT_LIMIT,
    reverse: bool = False,
) -> Response:
    """Read what is kept of a channel: ascending after ``since``, or with ``reverse`` descending before it."""
    if not principal.may_receive("history", channel):
        raise ForbiddenError("this channel's history may not be read")
    if (since_epoch is None) != (since_offset is None):
        raise InvalidFieldError("since_epoch and since_offset go together")
    since = None if since_epoch is None or since_offset is None else StreamPosition(since_epoch, since_offset)
    position, page = services.history.read(channel, since, limit=limit, reverse=reverse)
    return JSONResponse({"publications": page.publications, "position": position.to_wire(), "more": page.more})


def commands(services: ServicesDep, principal: Caller) -> CommandsAnswer:
    """List the commands that the caller may use, with the JSON Schemas of what goes in and what comes out."""
    return CommandsAnswer(commands=[CommandDescription(**one) for one in services.commands.offered(principal)])


def config(services: ServicesDep) -> ConfigAnswer:
    """Say where clients connect."""
    settings = services.settings
    return ConfigAnswer(
        websocket_url=settings.websocket_url,
        http_url=settings.http_url,
        stream_url=settings.stream_url,
        transports=["websocket", "sse", "stream", "long_poll", "short_poll"],
    )


def healthz() -> Health:
    """Say that the process is alive."""
    return Health(status="ok")


def readyz(services: ServicesDep) -> Response:
    """Reach what requests depend on; 503 says what can't be."""
    checks = services.reach()
    ready = all(result == "ok" for result in checks.values())
    body = Health(status="ok" if ready else "unavailable", checks=checks)
    return JSONResponse(body.model_dump(exclude_none=True), 200 if ready else 503)


def dev_token(services: ServicesDep, body: DevTokenBody) -> TokenAnswer:
    """Sign a token for anybody: in stage ``local`` alone."""
    if not is_user_id(body.user_id):
        raise InvalidFieldError("user_id: too long once percent-encoded", details={"fields": [{"field": "user_id"}]})
    capabilities = DEV_CAPABILITIES if body.caps is None else body.caps
    token = services.tokens.issue(body.user_id, capabilities, ttl_s=body.ttl_s, public=body.public)
    return TokenAnswer(token=token)


def demo_token(services: ServicesDep, body: DemoTokenBody) -> TokenAnswer:
    """Sign a token for a guest of the demo, whoever it is: in stages with the demo alone."""
    return TokenAnswer(token=services.tokens.issue(body.user_id, DEMO_CAPABILITIES, ttl_s=DEMO_TOKEN_TTL_S))
