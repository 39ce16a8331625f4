"""Purging by HTTP (docs/protocol.md 4.4): a channel, or what is kept for a user. For admins."""

from typing import Annotated

from fastapi import Depends, FastAPI
from starlette.convertors import StringConvertor, register_url_convertor

from functions.http_api.caller import Caller, ServicesDep
from functions.http_api.channel import ChannelPath
from shared.domain.channel import is_user_id
from shared.errors import InvalidFieldError


class _AnyText(StringConvertor):
    """Whatever stands there: paths come here decoded, and user ids may have slashes and line ends."""

    regex = r"[\s\S]*"


register_url_convertor("any_text", _AnyText())


def add_purge(app: FastAPI) -> None:
    """Add the routes."""
    app.delete("/v1/channels/{channel}", status_code=204)(purge)
    app.delete("/v1/users/{user_id:any_text}/data", status_code=204)(purge_user)


def _user_id(user_id: str) -> str:
    if not is_user_id(user_id):
        problem = "a user id has 1 to 128 characters, and fits a channel percent-encoded"
        raise InvalidFieldError(f"user_id: {problem}", details={"fields": [{"field": "user_id"}]})
    return user_id


UserIdPath = Annotated[str, Depends(_user_id)]


def purge(services: ServicesDep, principal: Caller, channel: ChannelPath) -> None:
    """End a channel's stream: what was in it is gone, and a new epoch begins. For admins."""
    services.purge.purge(principal, channel)


def purge_user(services: ServicesDep, principal: Caller, user_id: UserIdPath) -> None:
    """End the stream of a user's personal channel: what was sent to them is gone. For admins."""
    services.purge.purge_user(principal, user_id)
