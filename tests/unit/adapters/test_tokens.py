"""Tokens: whose they are, and that nothing but this stage's secret makes one good."""

import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.memory import fixed_secret
from shared.adapters.tokens import Hs256Tokens
from shared.errors import UnauthenticatedError
from tests.unit.bad_tokens import CLAIMS, bad_tokens
from tests.unit.stack import SECRET


@pytest.fixture(scope="module")
def tokens() -> Hs256Tokens:
    return Hs256Tokens(fixed_secret(SECRET))


@pytest.mark.parametrize("name", bad_tokens())
def test_a_bad_token_names_nobody_and_is_not_repeated(tokens: Hs256Tokens, name: str) -> None:
    token = bad_tokens()[name]
    with pytest.raises(UnauthenticatedError) as caught:
        tokens.verify(token)
    assert token == "" or token not in str(caught.value.to_wire())
    # The library's text may quote the token.
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(token=st.text() | st.builds(".".join, st.lists(st.text(alphabet="eyJ0_-=.A"), min_size=3, max_size=3)))
def test_no_text_is_a_token(token: str) -> None:
    with pytest.raises(UnauthenticatedError):
        Hs256Tokens(fixed_secret(SECRET)).verify(token)


def test_a_token_says_who_and_what_and_until_when(tokens: Hs256Tokens) -> None:
    before_s = int(time.time())
    principal = tokens.verify(tokens.issue("ann", {"room:*": ["publish"]}, ttl_s=60))
    assert (principal.user_id, principal.capabilities, principal.server) == ("ann", {"room:*": ["publish"]}, False)
    assert principal.expires_at_s is not None
    assert before_s <= principal.issued_at_s == principal.expires_at_s - 60


def test_a_token_without_caps_allows_nothing(tokens: Hs256Tokens) -> None:
    principal = tokens.verify(jwt.encode({"sub": "ann", "exp": 4_000_000_000}, SECRET))
    assert (principal.capabilities, principal.issued_at_s) == ({}, 0)


def test_no_claim_makes_a_server(tokens: Hs256Tokens) -> None:
    assert not tokens.verify(jwt.encode(CLAIMS | {"server": True, "is_server": True}, SECRET)).server


def test_clocks_may_differ_by_five_seconds(tokens: Hs256Tokens) -> None:
    now_s = int(time.time())
    tokens.verify(jwt.encode(CLAIMS | {"exp": now_s - 1, "iat": now_s + 3}, SECRET))
    with pytest.raises(UnauthenticatedError, match="expired"):
        tokens.verify(jwt.encode(CLAIMS | {"exp": now_s - 6}, SECRET))
