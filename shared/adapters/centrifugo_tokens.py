"""Centrifugo's JWTs, signed with the stage's secret (HS256)."""

import time
from collections.abc import Sequence
from typing import Any

import jwt

from shared.adapters.rotated_secret import RotatedSecret
from shared.adapters.tokens import principal_of, verified
from shared.domain.centrifugo_capabilities import capabilities_of
from shared.domain.principal import LEEWAY_S, RESERVED_PREFIXES
from shared.errors import UnauthenticatedError
from shared.ports import CentrifugoSubscription, CentrifugoToken, TokenExpiredError, TokenNotServedError
from shared.protocol.limits import HELLO_MAX_SUBSCRIPTIONS, TOKEN_MAX_LENGTH


class HmacCentrifugoTokens:
    """Verifies. Unlike ours, their tokens need not end."""

    def __init__(self, secret: RotatedSecret) -> None:
        self._secret = secret

    def connection(self, token: str) -> CentrifugoToken:
        claims = self._claims(token, "sub")
        if "channel" in claims:
            raise UnauthenticatedError("the token is for a subscription alone")
        user_id, capabilities, info = claims["sub"], claims.get("caps"), claims.get("info")
        if user_id.startswith(RESERVED_PREFIXES):
            raise UnauthenticatedError("the token's sub is a server's")
        if isinstance(capabilities, list):  # as Centrifugo PRO has it
            try:
                capabilities = capabilities_of(capabilities)
            except ValueError as error:
                raise TokenNotServedError(str(error)) from None
        allowed = capabilities if isinstance(capabilities, dict) else {}
        public = info if isinstance(info, dict) else {}
        principal = principal_of(claims | {"public": public}, user_id, allowed)
        return CentrifugoToken(principal, _channels(claims))

    def subscription(self, token: str) -> CentrifugoSubscription:
        claims = self._claims(token, "sub", "channel")
        if not isinstance(claims["channel"], str):
            raise UnauthenticatedError("the token's channel is no text")
        ends_s = claims.get("exp")
        return CentrifugoSubscription(claims["sub"], claims["channel"], None if ends_s is None else int(ends_s))

    def _claims(self, token: str, *required: str) -> dict[str, Any]:
        if len(token) > TOKEN_MAX_LENGTH:
            raise UnauthenticatedError(f"a token has at most {TOKEN_MAX_LENGTH} characters")
        claims = verified(lambda: self._secret.fitting(lambda secret: _decoded(token, secret, required)))
        if claims is None:
            raise UnauthenticatedError("the token is not good")
        return claims


def _decoded(token: str, secret: str, required: Sequence[str]) -> dict[str, Any] | None:
    """Return what the token says; ``None`` if it is signed with another secret."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            secret,
            algorithms=["HS256"],  # never what the token says: docs/security.md
            options={"require": list(required), "verify_aud": False},
            leeway=LEEWAY_S,
        )
    except jwt.InvalidSignatureError:
        return None
    except jwt.ExpiredSignatureError:
        raise TokenExpiredError("the token has expired") from None
    if "exp" in claims and int(claims["exp"]) <= time.time():
        raise TokenExpiredError("the token has expired")  # no leeway: what it gave would be over at once
    return claims


def _channels(claims: dict[str, Any]) -> Sequence[str]:
    """Return what the server subscribes to: ``channels``, and ``subs``, whose options are Centrifugo's own affair."""
    channels, subs = claims.get("channels", []), claims.get("subs", {})
    listed = [*(channels if isinstance(channels, list) else []), *(subs if isinstance(subs, dict) else {})]
    if len(listed) > HELLO_MAX_SUBSCRIPTIONS or not all(isinstance(one, str) for one in listed):
        raise UnauthenticatedError(
            f"the token's channels and subs are no names, or more than {HELLO_MAX_SUBSCRIPTIONS}"
        )
    return list(dict.fromkeys(listed))
