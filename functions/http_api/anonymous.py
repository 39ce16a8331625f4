"""Tokens for anonymous users (docs/protocol.md 4.4): there only in stages that say what these may."""

import secrets
from typing import Annotated

from fastapi import Depends, FastAPI, Header

from functions.http_api.caller import ServicesDep, anonymous, bearer
from shared.domain.principal import ANONYMOUS_PREFIX
from shared.errors import ForbiddenError
from shared.protocol.rest import TokenAnswer

_TTL_S = 3600
_ID_BYTES = 16  # nobody guesses another's, nor is given it


def add_anonymous(app: FastAPI) -> None:
    """Add the route."""
    app.post("/v1/anonymous/token", dependencies=[Depends(anonymous)])(anonymous_token)


def anonymous_token(services: ServicesDep, authorization: Annotated[str | None, Header()] = None) -> TokenAnswer:
    """Sign a token for an hour: for a new anonymous user, or for the one whose good token is sent."""
    if authorization is None:
        user_id = f"{ANONYMOUS_PREFIX}{secrets.token_urlsafe(_ID_BYTES)}"
    else:
        user_id = bearer(services, authorization).user_id
        if not user_id.startswith(ANONYMOUS_PREFIX):
            raise ForbiddenError("this token's user is not anonymous: whoever gave it gives the next")
    return TokenAnswer(token=services.tokens.issue(user_id, services.settings.anonymous or {}, ttl_s=_TTL_S))
