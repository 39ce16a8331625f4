"""Tokens for anonymous users (docs/protocol.md 4.4): there only in stages that say what these may."""

import secrets
from typing import Annotated

from fastapi import Depends, FastAPI, Header

from functions.http_api.caller import ServicesDep, anonymous, bearer
from shared.domain.principal import ANONYMOUS_PREFIX
from shared.errors import ForbiddenError, UnauthenticatedError
from shared.protocol.rest import TokenAnswer

_TTL_S = 3600
_ID_BYTES = 16  # nobody guesses another's, nor is given it


def add_anonymous(app: FastAPI) -> None:
    """Add the route."""
    app.post("/v1/anonymous/token", dependencies=[Depends(anonymous)])(anonymous_token)


def anonymous_token(services: ServicesDep, authorization: Annotated[str | None, Header()] = None) -> TokenAnswer:
    """Sign a token for an hour: for a new anonymous user, or for the one whose good token is sent."""
    known = None if authorization is None else bearer(services, authorization)
    if known is not None and not known.user_id.startswith(ANONYMOUS_PREFIX):
        raise ForbiddenError("this token's user is not anonymous: whoever gave it gives the next")
    user_id = f"{ANONYMOUS_PREFIX}{secrets.token_urlsafe(_ID_BYTES)}" if known is None else known.user_id
    token = services.tokens.issue(user_id, services.settings.anonymous or {}, ttl_s=_TTL_S)
    # Again: of a user who was revoked between the two, this one would be from after that, and so be good.
    if known is not None and services.authentication.revoked(user_id, known.issued_at_s):
        raise UnauthenticatedError("the token was revoked")
    return TokenAnswer(token=token)
