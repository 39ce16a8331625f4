"""Who is in a channel, by HTTP (docs/protocol.md 4.4)."""

from typing import Annotated

from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse, Response

from functions.http_api.caller import Caller, ServicesDep
from functions.http_api.channel import ChannelPath
from shared.domain.channel import USER_ID_MAX_LENGTH, is_user_id
from shared.errors import InvalidFieldError


def add_presence(app: FastAPI) -> None:
    """Add the route."""
    app.get("/v1/channels/{channel}/presence")(presence)


def presence(
    services: ServicesDep,
    principal: Caller,
    channel: ChannelPath,
    after: Annotated[str, Query(max_length=USER_ID_MAX_LENGTH)] = "",
) -> Response:
    """Tell who is there, by user; with ``more``, go on ``after`` the last."""
    if after and not is_user_id(after):
        raise InvalidFieldError("after: no user is called that", details={"fields": [{"field": "after"}]})
    return JSONResponse(services.presence.get(principal, channel, after))
