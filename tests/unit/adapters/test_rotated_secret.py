"""The stage's secret while it is rotated: both values are good, nobody has to start anew, nobody can cause calls."""

import json
import threading
import time
from collections.abc import Callable

import pytest

from shared.adapters.memory import fixed_secret
from shared.adapters.rotated_secret import RotatedSecret
from shared.adapters.signatures import HmacSigner
from shared.adapters.tokens import Hs256Tokens
from shared.domain.principal import Principal
from shared.errors import DependencyError, UnauthenticatedError, UnavailableError
from tests.oidc import unexpected
from tests.unit.bad_tokens import signed as signed_token
from tests.unit.stack import Clock

OLD, NEW, NEWER = ("old-" * 10, "new-" * 10, "newer-" * 10)
TOO_SHORT = "a value of the secret is shorter than 32 bytes"
CLAIMS = json.dumps({"sub": "ann", "caps": {}, "iat": int(time.time()), "exp": int(time.time()) + 60})


class Vault:
    """What Secrets Manager has, and how often it was asked."""

    def __init__(self, *values: str) -> None:
        self.values, self.asked = values, 0
        self.failure: Exception | None = None

    def read(self) -> tuple[str, ...]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return self.values

    def rotate(self, value: str) -> None:
        self.values = (value, self.values[0])


class Side:
    """A process that verifies and signs, with the failures that it has told of."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        self.failures: list[Exception] = []
        secret = RotatedSecret(vault.read, clock, self.failures.append)
        self.tokens, self.signer = Hs256Tokens(secret), HmacSigner(secret)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def vault() -> Vault:
    return Vault(OLD)


@pytest.fixture
def side(vault: Vault, clock: Clock) -> Side:
    return Side(vault, clock)


def token(secret: str, user_id: str = "ann") -> str:
    return Hs256Tokens(fixed_secret(secret)).issue(user_id, {}, ttl_s=60)


def signed(secret: str) -> str:
    return HmacSigner(fixed_secret(secret)).sign("cursor", ["s", 1])


def test_it_is_read_once_and_only_when_it_is_needed(side: Side, vault: Vault) -> None:
    assert vault.asked == 0
    side.tokens.verify(side.tokens.issue("ann", {}, ttl_s=60))
    assert side.signer.open("cursor", side.signer.sign("cursor", ["s", 1])) == ["s", 1]
    assert vault.asked == 1


def test_what_is_signed_with_the_secret_of_before_stays_good(side: Side, vault: Vault, clock: Clock) -> None:
    before, cursor = token(OLD), signed(OLD)
    vault.rotate(NEW)
    fresh = Side(vault, clock)
    for one in (side, fresh):
        assert one.tokens.verify(before).user_id == "ann"
        assert one.signer.open("cursor", cursor) == ["s", 1]


def test_a_process_learns_of_a_rotation_by_the_first_token_of_it(side: Side, vault: Vault, clock: Clock) -> None:
    side.tokens.verify(token(OLD))
    vault.rotate(NEW)
    clock.pass_s(10)
    assert side.tokens.verify(token(NEW)).user_id == "ann"
    assert side.signer.open("cursor", signed(NEW)) == ["s", 1]
    assert vault.asked == 2
    Hs256Tokens(fixed_secret(NEW)).verify(side.tokens.issue("ann", {}, ttl_s=60))  # and signs with the new one


def test_and_by_the_first_cursor_of_it(side: Side, vault: Vault, clock: Clock) -> None:
    side.signer.open("cursor", signed(OLD))
    vault.rotate(NEW)
    clock.pass_s(10)
    assert side.signer.open("cursor", signed(NEW)) == ["s", 1]


def test_tokens_that_fit_nothing_cost_a_call_in_10_s(side: Side, vault: Vault, clock: Clock) -> None:
    side.tokens.verify(token(OLD))
    for _ in range(60):
        clock.pass_s(1)
        with pytest.raises(UnauthenticatedError):
            side.tokens.verify(token(NEWER))
        assert side.signer.open("cursor", signed(NEWER)) is None
    assert vault.asked == 1 + 6


def test_what_is_no_token_of_this_algorithm_costs_none(side: Side, vault: Vault, clock: Clock) -> None:
    side.tokens.verify(token(OLD))
    clock.pass_s(60)
    for bad in ("nonsense", "a.b.c", "", token(OLD).replace(".", ".x", 1)):
        with pytest.raises(UnauthenticatedError):
            side.tokens.verify(bad)
    assert side.signer.open("cursor", "") is None
    assert vault.asked <= 2  # a changed token is one that another secret might have signed


def test_a_secret_that_was_rotated_away_twice_is_refused_within_minutes(side: Side, vault: Vault, clock: Clock) -> None:
    side.tokens.verify(token(OLD))
    vault.rotate(NEW)
    vault.rotate(NEWER)
    clock.pass_s(299)
    side.tokens.verify(token(OLD))
    clock.pass_s(1)
    with pytest.raises(UnauthenticatedError):
        side.tokens.verify(token(OLD))
    assert side.signer.open("cursor", signed(OLD)) is None


def test_what_is_known_goes_on_while_it_cannot_be_read_and_that_is_told(side: Side, vault: Vault, clock: Clock) -> None:
    side.tokens.verify(token(OLD))
    vault.failure = UnavailableError("busy")
    clock.pass_s(300)
    side.tokens.verify(token(OLD))
    side.tokens.verify(token(OLD))
    assert side.failures == [vault.failure]
    assert vault.asked == 2


def test_a_token_that_cannot_be_judged_while_it_cannot_be_read_may_be_sent_again(
    side: Side, vault: Vault, clock: Clock
) -> None:
    side.tokens.verify(token(OLD))
    vault.rotate(NEW)
    vault.failure = UnavailableError("busy")
    clock.pass_s(10)
    for _ in range(10):
        with pytest.raises(UnavailableError) as caught:
            side.tokens.verify(token(NEW))
        assert caught.value.to_wire()["retryable"]
        with pytest.raises(UnavailableError):
            side.signer.open("cursor", signed(NEW))
        side.tokens.verify(token(OLD))
        clock.pass_s(0.9)
    assert vault.asked == 2
    vault.failure = None
    clock.pass_s(1)
    side.tokens.verify(token(NEW))
    with pytest.raises(UnauthenticatedError):
        side.tokens.verify(token(NEWER))


@pytest.mark.parametrize("failure", [UnavailableError("busy"), DependencyError("denied")])
def test_nothing_is_good_before_it_could_be_read(vault: Vault, side: Side, failure: Exception) -> None:
    vault.failure = failure
    with pytest.raises(type(failure)):
        side.tokens.verify(token(OLD))
    vault.failure = None
    side.tokens.verify(token(OLD))


def test_a_secret_that_is_too_short_replaces_none(side: Side, vault: Vault, clock: Clock) -> None:
    side.tokens.verify(token(OLD))
    vault.rotate("short")
    clock.pass_s(300)
    assert side.tokens.verify(side.tokens.issue("ann", {}, ttl_s=60)).user_id == "ann"
    assert [str(failure) for failure in side.failures] == [TOO_SHORT]


def test_a_process_that_starts_with_a_short_one_signs_with_the_one_before(side: Side, vault: Vault) -> None:
    vault.rotate("short")
    assert side.tokens.verify(token(OLD)).user_id == "ann"
    Hs256Tokens(fixed_secret(OLD)).verify(side.tokens.issue("ann", {}, ttl_s=60))
    assert HmacSigner(fixed_secret(OLD)).open("cursor", side.signer.sign("cursor", ["s", 1])) == ["s", 1]
    assert [str(failure) for failure in side.failures] == [TOO_SHORT]


def test_a_short_one_verifies_nothing_though_it_is_the_one_before(side: Side, vault: Vault) -> None:
    vault.values = (NEW, "short")
    assert side.tokens.verify(token(NEW)).user_id == "ann"
    with pytest.raises(UnauthenticatedError):
        side.tokens.verify(signed_token('{"alg":"HS256"}', CLAIMS, b"short"))
    assert [str(failure) for failure in side.failures] == [TOO_SHORT]


def test_where_all_are_short_none_is_taken(side: Side, vault: Vault) -> None:
    vault.values = ("short", "x" * 31)
    with pytest.raises(DependencyError, match=TOO_SHORT):
        side.tokens.verify(signed_token('{"alg":"HS256"}', CLAIMS, b"short"))
    with pytest.raises(DependencyError, match=TOO_SHORT):
        side.tokens.issue("ann", {}, ttl_s=60)


def test_one_thread_looks_again_and_the_others_go_on(vault: Vault, clock: Clock) -> None:
    reading, go_on = threading.Event(), threading.Event()
    waited_in_vain: list[bool] = []

    def read() -> tuple[str, ...]:
        values = vault.read()
        if vault.asked > 1:
            reading.set()
            waited_in_vain.append(not go_on.wait(5))
        return values

    secret = RotatedSecret(read, clock, unexpected)
    tokens = Hs256Tokens(secret)
    tokens.verify(token(OLD))
    clock.pass_s(300)
    looker = threading.Thread(target=tokens.verify, args=(token(OLD),))
    looker.start()
    assert reading.wait(10)
    assert tokens.verify(token(OLD)).user_id == "ann"
    go_on.set()
    looker.join(10)
    assert (vault.asked, waited_in_vain) == (2, [False])


@pytest.mark.parametrize("purpose", ["session", ""])
def test_what_was_signed_for_one_purpose_is_good_for_no_other(side: Side, purpose: str) -> None:
    assert side.signer.open(purpose, side.signer.sign("cursor", ["s", 1])) is None


@pytest.mark.parametrize("prefix", ["key:", "iam:"])
def test_no_token_names_a_server(side: Side, prefix: str) -> None:
    with pytest.raises(UnauthenticatedError, match="the token's sub is a server's"):
        side.tokens.verify(token(OLD, f"{prefix}billing"))


def test_an_anonymous_user_has_a_token_of_the_stage(side: Side) -> None:
    verify: Callable[[str], Principal] = side.tokens.verify
    assert verify(token(OLD, "anonymous:x")).user_id == "anonymous:x"
