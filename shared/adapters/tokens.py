"""JWTs signed with the stage's shared secret (HS256)."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import jwt

from shared.domain.channel import is_user_id
from shared.domain.principal import PUBLIC_CLAIMS_MAX_BYTES, Principal, fits_capabilities
from shared.errors import UnauthenticatedError
from shared.protocol.encode import to_json

_ALGORITHM: Final = "HS256"
_LEEWAY_S: Final = 5  # clocks of issuers differ


class Hs256Tokens:
    """Verifies and signs. The secret is read when it is first needed."""

    def __init__(self, read_secret: Callable[[], str]) -> None:
        self._read_secret = read_secret

    @cached_property
    def _secret(self) -> str:
        return self._read_secret()

    def verify(self, token: str) -> Principal:
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],  # never what the token says: docs/security.md
                options={"require": ["exp", "sub"]},
                leeway=_LEEWAY_S,
            )
        except jwt.ExpiredSignatureError:
            raise UnauthenticatedError("the token has expired") from None
        except (jwt.PyJWTError, ValueError, RecursionError):
            # RecursionError: the header is parsed before the signature is checked, and may be nested deep.
            raise UnauthenticatedError("the token is not good") from None
        return _principal(claims)

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
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM)


def _principal(claims: dict[str, Any]) -> Principal:
    user_id, capabilities, public = claims["sub"], claims.get("caps", {}), claims.get("public", {})
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
        expires_at_s=int(claims["exp"]),
        public_claims=public,
    )


def _are_capabilities(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in value.values())
        and fits_capabilities(value)
    )


def _are_public_claims(value: Any) -> bool:
    try:
        return isinstance(value, dict) and len(to_json(value)) <= PUBLIC_CLAIMS_MAX_BYTES
    except (ValueError, RecursionError):
        return False  # NaN, or a lone surrogate: could not be sent on
