"""An issuer's public keys (RFC 7517), by key id: read from its JWKS, kept, and read anew when they change."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

from shared.adapters.bounded_http import FetchError, fetch
from shared.domain.issuer import Algorithm, Issuer, is_url
from shared.errors import UnavailableError

_FRESH_MS: Final = 600_000
_STALE_MS: Final = 86_400_000  # so long keys are good while their issuer can't be asked
_ASK_AGAIN_MS: Final = 30_000  # whatever it said, also for a key that is not there: anybody can name one
_TIMEOUT_S: Final = 3
_MAX_BYTES: Final = 65_536
_MAX_KEYS: Final = 50
_KID_MAX_LENGTH: Final = 256
_RSA_MIN_BITS: Final = 2_048  # RFC 7518 section 3.3
_PART_MAX_LENGTH: Final = 1_400  # of an RSA key of 8,192 bits; larger ones take long

# What makes a public key, by its type; nothing else of what stands there is looked at, and no private part taken.
_FORMS: Final[Mapping[Algorithm, tuple[Mapping[str, str], tuple[str, ...]]]] = {
    "RS256": ({"kty": "RSA"}, ("n", "e")),
    "ES256": ({"kty": "EC", "crv": "P-256"}, ("x", "y")),
}


class KeysError(Exception):
    """The issuer did not say its keys, or none that could be used."""


class IssuerKeys:
    """Keys of one issuer. Whoever asks waits 3 s at most, and for a broken issuer once in 30 s.

    Safe to use from many threads: one asks; others go on with the keys that are known, or wait for its answer.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, PyJWK]],
        now_ms: Callable[[], int],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._read = read
        self._now_ms = now_ms
        self._on_failure = on_failure
        self._keys: Mapping[str, PyJWK] = {}
        self._read_at_ms = 0
        self._asked_at_ms: int | None = None
        self._answered = False
        self._lock = threading.Lock()

    def find(self, kid: str) -> PyJWK | None:
        """Return the key of this id, or ``None`` if the issuer has none.

        Raises:
            UnavailableError: The issuer does not answer, and has not said this key before, or not for a day.
        """
        if self._wanted(kid) and self._lock.acquire(timeout=0 if kid in self._keys else _TIMEOUT_S):
            try:
                if self._wanted(kid):  # nobody has asked meanwhile
                    self._ask()
            finally:
                self._lock.release()
        key = self._keys.get(kid)
        # What it said before does not tell that a key is none of its own: it may be a new one.
        if (key is None and not self._answered) or self._now_ms() - self._read_at_ms >= _STALE_MS:
            raise UnavailableError("the token's issuer does not answer", retry_after_ms=_ASK_AGAIN_MS)
        return key

    def _wanted(self, kid: str) -> bool:
        now_ms = self._now_ms()
        if self._asked_at_ms is not None and now_ms - self._asked_at_ms < _ASK_AGAIN_MS:
            return False
        return kid not in self._keys or now_ms - self._read_at_ms >= _FRESH_MS

    def _ask(self) -> None:
        self._answered = False
        try:
            self._keys = self._read()
            self._read_at_ms = self._now_ms()
            self._answered = True
        except (FetchError, KeysError) as error:
            self._on_failure(error)  # the request goes by what is known
        finally:
            self._asked_at_ms = self._now_ms()


def read_keys(issuer: Issuer, *, local: bool) -> Mapping[str, PyJWK]:
    """Return what an issuer has as its keys now, within 3 s for all of it.

    Raises:
        FetchError: It did not answer, or not within bounds.
        KeysError: Nothing in its answer could be used.
    """
    until_s = time.monotonic() + _TIMEOUT_S
    url = issuer.jwks_url or _discovered(issuer, until_s, local=local)
    found = _object(fetch(url, until_s=until_s, max_bytes=_MAX_BYTES)).get("keys")
    if not isinstance(found, list) or len(found) > _MAX_KEYS:
        raise KeysError(f"keys is no list of at most {_MAX_KEYS}")
    keys = {one["kid"]: key for one in found if (key := _key(one, issuer.algorithm)) is not None}
    if not keys:
        raise KeysError(f"none of {len(found)} keys is for {issuer.algorithm}")
    return keys


def _discovered(issuer: Issuer, until_s: float, *, local: bool) -> str:
    """Ask where the keys are: openid.net/specs/openid-connect-discovery-1_0.html, sections 4.1 and 4.3."""
    url = f"{issuer.url.rstrip('/')}/.well-known/openid-configuration"
    told = _object(fetch(url, until_s=until_s, max_bytes=_MAX_BYTES))
    if told.get("issuer") != issuer.url:
        raise KeysError("the discovery document is another issuer's")
    jwks_url = told.get("jwks_uri")
    if not isinstance(jwks_url, str) or not is_url(jwks_url, local=local):
        raise KeysError("the discovery document's jwks_uri is no https URL")
    return jwks_url


def _object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise KeysError("no JSON") from error
    if not isinstance(value, dict):
        raise KeysError("no JSON object")
    return value


def _key(jwk: Any, algorithm: Algorithm) -> PyJWK | None:
    """Return the key, if it has an id and is one to verify this algorithm's signatures with."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm:
        return None
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= _KID_MAX_LENGTH:
        return None
    kind, parts = _FORMS[algorithm]
    if any(jwk.get(name) != value for name, value in kind.items()):
        return None
    if not all(isinstance(text := jwk.get(part), str) and len(text) <= _PART_MAX_LENGTH for part in parts):
        return None
    try:
        key = PyJWK({**kind, **{part: jwk[part] for part in parts}}, algorithm)
    except (PyJWTError, ValueError):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < _RSA_MIN_BITS:
        return None
    return key
