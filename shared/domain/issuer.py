"""OIDC issuers whose tokens a stage takes beside its own, as its file names them (docs/tokens.md)."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, Literal, get_args
from urllib.parse import urlsplit

from shared.domain.principal import ANONYMOUS_PREFIX, RESERVED_PREFIXES, why_no_capabilities
from shared.errors import ConfigError

Algorithm = Literal["RS256", "ES256"]
AudienceClaim = Literal["aud", "client_id"]

# One colon, at its end: then two users of different prefixes never share an id.
_PREFIX: Final = re.compile(r"([A-Za-z0-9_.-]{1,32}:)?\Z")
# Of all issuers, as JSON: they stand in functions' environments. What these have altogether: infra/environment_size.py.
_MAX_BYTES: Final = 800


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer.

    Attributes:
        url: What its tokens have as ``iss``, to the last slash.
        audiences: One of these must stand in the token.
        algorithm: What it signs with; no other is taken, whatever a token says.
        user_prefix: Stands before its ``sub`` to make the user's id; empty only where its users are the stage's own.
        capabilities: What a token allows that says nothing of it.
        capabilities_claim: Where a token says what it allows.
        audience_claim: Where it names its audience: Cognito's access tokens have the app client there instead.
        jwks_url: Where its keys are; ``None`` if its discovery document says so.
    """

    url: str
    audiences: tuple[str, ...]
    algorithm: Algorithm = "RS256"
    user_prefix: str = "oidc:"
    capabilities: Mapping[str, Sequence[str]] = field(default_factory=dict)
    capabilities_claim: str = "caps"
    audience_claim: AudienceClaim = "aud"
    jwks_url: str | None = None


def issuers_to_json(issuers: Iterable[Issuer]) -> str:
    """Write issuers out, for an environment: what is as it is by default is left out."""
    bare = asdict(Issuer("", ()))
    told = [{name: value for name, value in asdict(issuer).items() if value != bare[name]} for issuer in issuers]
    return json.dumps(told, separators=(",", ":"))


def issuers_from_json(text: str) -> tuple[Issuer, ...]:
    """Return what was written out."""
    return tuple(Issuer(**{**fields, "audiences": tuple(fields["audiences"])}) for fields in json.loads(text))


def check_issuers(issuers: Sequence[Issuer], *, local: bool, taken_prefixes: Sequence[str] = ()) -> None:
    """Check what the stage file has.

    Args:
        issuers: All of the stage.
        local: Whether they may be asked without TLS.
        taken_prefixes: What stands before the ids of users who come otherwise.

    Raises:
        ConfigError: One of them can't work, or would let its users be somebody else's.
    """
    urls, prefixes = set[str](), {*RESERVED_PREFIXES, ANONYMOUS_PREFIX, *taken_prefixes}
    for issuer in issuers:
        why = _why_not(issuer, local=local)
        if not why and issuer.url in urls:
            why = "stands there twice"
        if not why and issuer.user_prefix in prefixes:
            why = f"user_prefix {issuer.user_prefix!r} is another's: two people would have one user id"
        if why:
            raise ConfigError(f"issuer {issuer.url!r}: {why}")
        urls.add(issuer.url)
        prefixes.add(issuer.user_prefix)
    if len(issuers_to_json(issuers)) > _MAX_BYTES:
        raise ConfigError(f"issuers: as JSON they have at most {_MAX_BYTES} bytes; have tokens say what they allow")


def _why_not(issuer: Issuer, *, local: bool) -> str | None:
    if not is_url(issuer.url, local=local):
        return "must be an https URL without fragment and credentials"
    if issuer.jwks_url is not None and not is_url(issuer.jwks_url, local=local):
        return "jwks_url must be an https URL without fragment and credentials"
    if isinstance(issuer.audiences, str) or not issuer.audiences or not all(issuer.audiences):
        return "audiences: name at least one; else anybody's token of this issuer is good"
    if issuer.algorithm not in get_args(Algorithm):
        return f"algorithm must be one of {', '.join(get_args(Algorithm))}"
    if issuer.audience_claim not in get_args(AudienceClaim):
        return f"audience_claim must be one of {', '.join(get_args(AudienceClaim))}"
    if not _PREFIX.match(issuer.user_prefix):
        return "user_prefix must be 1 to 32 characters of A-Za-z0-9_.- and a colon, or empty"
    if not issuer.capabilities_claim:
        return "capabilities_claim must not be empty"
    why = why_no_capabilities(issuer.capabilities)
    return f"capabilities: {why}" if why else None


def is_url(text: str, *, local: bool) -> bool:
    """Tell whether ``text`` is where something may be fetched from."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return False
    plain = not (parts.fragment or parts.username or parts.password) and text.isprintable()
    schemes = ("https", "http") if local else ("https",)
    return plain and text.isascii() and " " not in text and parts.scheme in schemes and bool(parts.hostname)
