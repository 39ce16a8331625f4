"""JWTs signed with the stage's shared secret (HS256)."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import jwt

from shared.adapters.rotated_secret import RotatedSecret
from shared.domain.channel import is_pattern, is_user_id
from shared.domain.principal import LEEWAY_S, PUBLIC_CLAIMS_MAX_BYTES, RESERVED_PREFIXES, Principal, fits_capabilities
from shared.errors import UnauthenticatedError
from shared.protocol.encode import to_json
from shared.protocol.limits import TOKEN_MAX_LENGTH

_ALGORITHM: Final = "HS256"

T = TypeVar("T")


class Hs256Tokens:
    """Verifies and signs."""

    def __init__(self, secret: RotatedSecret) -> None:
        self._secret = secret

    def verify(self, token: str) -> Principal:
        if len(token) > TOKEN_MAX_LENGTH:
            raise UnauthenticatedError(f"a token has at most {TOKEN_MAX_LENGTH} characters")
        claims = verified(lambda: self._secret.fitting(lambda value: _claims(token, value)))
        if claims is None:
            raise UnauthenticatedError("the token is not good")
        if claims["sub"].startswith(RESERVED_PREFIXES):
            raise UnauthenticatedError("the token's sub is a server's")
        return principal_of(claims, claims["sub"], claims.get("caps", {}))

    def issue(
        self,
        user_id: str,
        capabilities: Mapping[str, Sequence[str]],
        *,
        ttl_s: int,
        public: Mapping[str, Any] | None = None,
    ) -> str:
        now_s = int(time.time())
        claims: dict[str, Any] = {"sub": user_id, "iat": now_s, "exp": now_s + ttl_s, "caps": capabilities}
        if public:
            claims["public"] = public
        return jwt.encode(claims, self._secret.current(), algorithm=_ALGORITHM)


def _claims(token: str, secret: str) -> dict[str, Any] | None:
    """Return what the token says; ``None`` if it is signed with another secret."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            secret,
            algorithms=[_ALGORITHM],  # never what the token says: docs/security.md
            options={"require": ["exp", "sub"]},
            leeway=LEEWAY_S,
        )
    except jwt.InvalidSignatureError:
        return None
    return claims


def verified(check: Callable[[], T]) -> T:
    """Return what a check of a token says; its library's errors are told as ours, without their text.

    Raises:
        UnauthenticatedError: The check failed.
    """
    try:
        return check()
    except jwt.ExpiredSignatureError:
        raise UnauthenticatedError("the token has expired") from None
    except (jwt.PyJWTError, ValueError, RecursionError):
        # RecursionError: the header is parsed before the signature is checked, and may be nested deep.
        raise UnauthenticatedError("the token is not good") from None


def principal_of(claims: Mapping[str, Any], user_id: str, capabilities: Any) -> Principal:
    """Return whom checked claims name.

    Raises:
        UnauthenticatedError: They can't be so.
    """
    public = claims.get("public", {})
    if not is_user_id(user_id):
        raise UnauthenticatedError("the token's sub names nobody who could be addressed")
    if not _are_capabilities(capabilities):
        raise UnauthenticatedError("the token's caps are not lists of capabilities by pattern")
    if not _are_public_claims(public):
        raise UnauthenticatedError(f"the token's public is no object of at most {PUBLIC_CLAIMS_MAX_BYTES} bytes")
    return Principal(
        user_id=user_id,
        capabilities=capabilities,
        issued_at_s=int(claims.get("iat", 0)),
        expires_at_s=int(claims["exp"]) if "exp" in claims else None,
        public_claims=public,
    )


def _are_capabilities(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(map(is_pattern, value))
        and all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in value.values())
        and fits_capabilities(value)
    )


def _are_public_claims(value: Any) -> bool:
    try:
        return isinstance(value, dict) and len(to_json(value)) <= PUBLIC_CLAIMS_MAX_BYTES
    except (ValueError, RecursionError):
        return False  # NaN, or a lone surrogate: could not be sent on
