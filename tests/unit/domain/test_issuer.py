"""Issuers as the stage file has them: what can't work, or lets users be somebody else's, is told by name."""

from typing import Any

import pytest

from shared.domain.issuer import Issuer, check_issuers, issuers_from_json, issuers_to_json
from shared.errors import ConfigError

URL = "https://tenant.eu.auth0.com/"


def issuer(**changed: Any) -> Issuer:
    return Issuer(**{"url": URL, "audiences": ("https://api.test",), **changed})


@pytest.mark.parametrize(
    "issuers",
    [
        (),
        (issuer(),),
        (issuer(user_prefix=""), issuer(url="https://other.test", algorithm="ES256", jwks_url="https://k.test/k?p=1")),
        (
            issuer(
                capabilities={"room:*": ["subscribe"]}, capabilities_claim="https://caps", audience_claim="client_id"
            ),
        ),
    ],
)
def test_good_ones_are_passed_on_as_they_are(issuers: tuple[Issuer, ...]) -> None:
    check_issuers(issuers, local=False)
    assert issuers_from_json(issuers_to_json(issuers)) == issuers


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"url": "http://tenant.test"}, "must be an https URL"),
        ({"url": "tenant.test"}, "must be an https URL"),
        ({"url": "https://"}, "must be an https URL"),
        ({"url": "https://a:b@tenant.test"}, "must be an https URL"),
        ({"url": "https://tenant.test:port"}, "must be an https URL"),
        ({"url": "https://tenant.test#x"}, "must be an https URL"),
        ({"url": "https://tenant.test/a b"}, "must be an https URL"),
        ({"jwks_url": "http://tenant.test"}, "jwks_url must be an https URL"),
        ({"audiences": ()}, "audiences: name at least one"),
        ({"audiences": "https://api.test"}, "audiences: name at least one"),
        ({"audiences": ("",)}, "audiences: name at least one"),
        ({"algorithm": "HS256"}, "algorithm must be one of RS256, ES256"),
        ({"algorithm": "none"}, "algorithm must be one of RS256, ES256"),
        ({"audience_claim": "azp"}, "audience_claim must be one of aud, client_id"),
        ({"user_prefix": "oidc"}, "user_prefix must be 1 to 32 characters"),
        ({"user_prefix": "a:b:"}, "user_prefix must be 1 to 32 characters"),
        ({"user_prefix": ":"}, "user_prefix must be 1 to 32 characters"),
        ({"user_prefix": "key:"}, "user_prefix 'key:' is another's"),
        ({"user_prefix": "iam:"}, "user_prefix 'iam:' is another's"),
        ({"user_prefix": "anonymous:"}, "user_prefix 'anonymous:' is another's"),
        ({"user_prefix": "cognito:"}, "user_prefix 'cognito:' is another's"),
        ({"capabilities_claim": ""}, "capabilities_claim must not be empty"),
        ({"capabilities": {"room": ["publish"]}}, "capabilities: 'room' is neither a channel nor"),
        ({"capabilities": {"room:*": ["write"]}}, "capabilities: 'room:*': 'write' is none of subscribe,"),
        ({"capabilities": {"room:*": "publish"}}, "capabilities: 'room:*': 'publish' is none of subscribe,"),
        ({"capabilities": {f"room:{n}": ["publish"] for n in range(500)}}, "capabilities: they have at most 6000"),
    ],
    ids=repr,
)
def test_a_bad_one_is_told_by_its_url(changed: dict[str, Any], why: str) -> None:
    one = issuer(**changed)
    with pytest.raises(ConfigError) as caught:
        check_issuers((one,), local=False, taken_prefixes=("cognito:",))
    assert str(caught.value).startswith(f"issuer {one.url!r}: {why}")


def test_two_may_not_share_their_url_or_their_users() -> None:
    with pytest.raises(ConfigError, match="stands there twice"):
        check_issuers((issuer(), issuer(user_prefix="b:")), local=False)
    for prefix in ("", "oidc:"):
        with pytest.raises(ConfigError, match="two people would have one user id"):
            check_issuers((issuer(user_prefix=prefix), issuer(url="https://b.test", user_prefix=prefix)), local=False)


def test_locally_tls_is_not_asked_for() -> None:
    check_issuers((issuer(url="http://127.0.0.1:8000/one"),), local=True)


def test_there_are_as_many_as_fit_an_environment() -> None:
    many = [issuer(url=f"https://{n}.test", user_prefix=f"u{n}:", audiences=("x" * 100,)) for n in range(10)]
    with pytest.raises(ConfigError, match="at most 800 bytes"):
        check_issuers(many, local=False)
