"""JWTs of OIDC issuers, by the issuer that each names; what names none is held to be the stage's own."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jwt

from shared.adapters.tokens import Hs256Tokens, principal_of, verified
from shared.domain.issuer import Issuer
from shared.domain.principal import ANONYMOUS_PREFIX, LEEWAY_S, RESERVED_PREFIXES, Principal
from shared.errors import UnauthenticatedError
from shared.protocol.limits import TOKEN_MAX_LENGTH


class _Keys(Protocol):
    def find(self, kid: str) -> jwt.PyJWK | None: ...


class IssuerTokens:
    """Verifies the tokens of one issuer. The issuer's settings say how, not the token.

    Args:
        issuer: Its settings.
        keys: Its keys.
        issuers: All of the stage. Where one has no prefix before its users' ids, a ``sub`` could begin with another's.
    """

    def __init__(self, issuer: Issuer, keys: _Keys, issuers: Sequence[Issuer]) -> None:
        self._issuer = issuer
        self._keys = keys
        others = (other.user_prefix for other in issuers if other.user_prefix not in ("", issuer.user_prefix))
        self._others = (*RESERVED_PREFIXES, ANONYMOUS_PREFIX, *others)

    def verify(self, token: str) -> Principal:
        """Return whom the token names; see :class:`shared.ports.TokenVerifier`."""
        claims = verified(lambda: self._claims(token))
        issuer = self._issuer
        user_id = f"{issuer.user_prefix}{claims['sub']}"
        if not claims["sub"]:
            raise UnauthenticatedError("the token's sub is empty")
        if user_id.startswith(self._others):
            raise UnauthenticatedError("the token's sub is another's to have")
        return principal_of(claims, user_id, claims.get(issuer.capabilities_claim, issuer.capabilities))

    def _claims(self, token: str) -> dict[str, Any]:
        issuer = self._issuer
        header = jwt.get_unverified_header(token)
        if header.get("alg") != issuer.algorithm or "kid" not in header:
            raise UnauthenticatedError("the token's alg is not its issuer's, or it names no key")
        key = self._keys.find(header["kid"])
        if key is None:
            raise UnauthenticatedError("the token's issuer has no such key")
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[issuer.algorithm],
            issuer=issuer.url,
            audience=issuer.audiences,
            options={
                "require": ["exp", "iat", "iss", "sub", issuer.audience_claim],
                "verify_aud": issuer.audience_claim == "aud",
            },
            leeway=LEEWAY_S,
        )
        if issuer.audience_claim == "client_id" and not self._is_for_client(claims):
            raise UnauthenticatedError("the token is no access token of a client that may come here")
        return claims

    def _is_for_client(self, claims: Mapping[str, Any]) -> bool:
        """Judge a Cognito access token.

        docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
        """
        return claims["client_id"] in self._issuer.audiences and claims.get("token_use") == "access"


class TokensByIssuer:
    """Verifies tokens of issuers and the stage's own; signs the latter."""

    def __init__(self, own: Hs256Tokens, issuers: Mapping[str, IssuerTokens]) -> None:
        self._issuers = issuers
        self._own = own
        self.issue = own.issue

    def verify(self, token: str) -> Principal:
        """Return whom the token names; see :class:`shared.ports.TokenVerifier`."""
        issuer = verified(lambda: _unverified_issuer(token))
        return (self._issuers.get(issuer, self._own) if isinstance(issuer, str) else self._own).verify(token)


def _unverified_issuer(token: str) -> Any:
    parts = token.split(".", 3)
    if len(parts) != 3 or len(token) > TOKEN_MAX_LENGTH:
        return None  # nobody's: refused as any other
    claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    return claims.get("iss") if isinstance(claims, dict) else None
