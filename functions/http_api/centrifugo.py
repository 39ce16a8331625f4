"""Centrifugo's HTTP API for servers: its libraries are given ``…/v1/centrifugo`` as its URL (docs/centrifugo.md)."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Request
from fastapi.responses import JSONResponse, Response

from functions.http_api.caller import Caller, ServicesDep
from shared.protocol.decode import parse_json
from shared.protocol.limits import HTTP_FRAME_MAX_BYTES


def add_centrifugo(app: FastAPI) -> None:
    """Add the route. It is described at centrifugal.dev/docs/server/server_api, and not once more here."""
    app.post("/v1/centrifugo/{method}", include_in_schema=False)(call)


async def body_of(request: Request) -> Any:
    """Return the body: theirs does not ask whether it is said to be JSON, and its manual's examples don't say so."""
    return parse_json(await request.body(), max_bytes=HTTP_FRAME_MAX_BYTES)


def call(
    services: ServicesDep,
    principal: Caller,
    method: Annotated[str, Path(max_length=64)],
    body: Annotated[Any, Depends(body_of)],
) -> Response:
    """Answer as theirs does: 200 whatever fails, but for a body that is no JSON and who is not known."""
    return JSONResponse(services.centrifugo_server.call(principal, method, body))
