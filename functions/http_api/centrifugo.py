"""Centrifugo's HTTP API for servers: its libraries are given ``…/v1/centrifugo`` as its URL (docs/centrifugo.md)."""

from typing import Annotated, Any

from fastapi import Body, FastAPI, Path
from fastapi.responses import JSONResponse, Response

from functions.http_api.caller import Caller, ServicesDep


def add_centrifugo(app: FastAPI) -> None:
    """Add the route. It is described at centrifugal.dev/docs/server/server_api, and not once more here."""
    app.post("/v1/centrifugo/{method}", include_in_schema=False)(call)


def call(
    services: ServicesDep,
    principal: Caller,
    method: Annotated[str, Path(max_length=64)],
    body: Annotated[dict[str, Any], Body()],
) -> Response:
    """Answer as theirs does: 200 whatever fails, but for who is not known."""
    return JSONResponse(services.centrifugo_server.call(principal, method, body))
