"""Throwing out by HTTP (docs/protocol.md 4.4): a connection, or a user with all tokens until now. For admins."""

from typing import Annotated

from fastapi import FastAPI, Path

from functions.http_api.caller import Caller, ServicesDep
from functions.http_api.purge import UserIdPath
from shared.domain.principal import RESERVED_PREFIXES
from shared.errors import InvalidFieldError


def add_revocation(app: FastAPI) -> None:
    """Add the routes."""
    app.delete("/v1/connections/{connection_id}", status_code=204)(revoke_connection)
    app.delete("/v1/users/{user_id:any_text}/connections", status_code=204)(revoke_user)


def revoke_connection(
    services: ServicesDep, principal: Caller, connection_id: Annotated[str, Path(max_length=128)]
) -> None:
    """End a connection and its session. Its user's tokens stay good. For admins."""
    services.revocation.revoke_connection(principal, connection_id)


def revoke_user(services: ServicesDep, principal: Caller, user_id: UserIdPath) -> None:
    """End all of a user's connections, and refuse every token of theirs that was issued until now. For admins."""
    if user_id.startswith(RESERVED_PREFIXES):
        raise InvalidFieldError(
            "user_id: no token names it; revoke the API key, or take the role's permission away",
            details={"fields": [{"field": "user_id"}]},
        )
    services.revocation.revoke_user(principal, user_id)
