"""What a token says of its user in public."""

from typing import Any

import jwt
import pytest

from shared.adapters.dynamodb_connections import principal_attributes, to_principal
from shared.adapters.memory import fixed_secret
from shared.adapters.tokens import Hs256Tokens
from shared.domain.principal import Principal
from shared.errors import UnauthenticatedError
from tests.unit.stack import SECRET

TOKENS = Hs256Tokens(fixed_secret(SECRET))
FITS = {"name": "x" * (1_000 - len('{"name":""}'))}


def signed(public: Any) -> str:
    return jwt.encode({"sub": "ann", "exp": 4_000_000_000, "public": public}, SECRET, algorithm="HS256")


@pytest.mark.parametrize("public", [{}, {"name": "Ann", "roles": ["chair"]}, {"name": "Ä\ue000"}, FITS])
def test_they_are_the_principals(public: dict[str, Any]) -> None:
    assert TOKENS.verify(signed(public)).public_claims == public
    assert TOKENS.verify(TOKENS.issue("ann", {}, ttl_s=60, public=public)).public_claims == public


def test_a_token_needs_none() -> None:
    assert TOKENS.verify(TOKENS.issue("ann", {}, ttl_s=60)).public_claims == {}


@pytest.mark.parametrize(
    "public", [None, [], "Ann", 5, {"name": FITS["name"] + "x"}, {"x": float("nan")}, {"x": "\ud800"}]
)
def test_what_is_no_small_object_makes_a_token_bad(public: Any) -> None:
    with pytest.raises(UnauthenticatedError, match="public"):
        TOKENS.verify(signed(public))


@pytest.mark.parametrize("public", [{}, {"name": "Änn", "nested": {"deep": [1, 2.5, None, True]}}])
def test_they_are_kept_with_the_connection(public: dict[str, Any]) -> None:
    principal = Principal("ann", {"room:*": ["publish"]}, public_claims=public)
    assert to_principal(principal_attributes(principal)) == principal
