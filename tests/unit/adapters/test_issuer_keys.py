"""Issuers' keys: which are taken, how long they are kept, and what a broken issuer costs."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
from jwt import PyJWK

from shared.adapters.bounded_http import FetchError
from shared.adapters.issuer_keys import IssuerKeys, KeysError, read_keys
from shared.domain.issuer import Issuer
from shared.errors import UnavailableError
from tests.oidc import OidcServer, SigningKey, issuer, json_answer, unexpected
from tests.unit.adapters.http_server import answer
from tests.unit.stack import Clock

RSA, EC = SigningKey("rsa"), SigningKey("ec", "ES256")
DISCOVERY = "/one/.well-known/openid-configuration"


@pytest.fixture
def server() -> Iterator[OidcServer]:
    with OidcServer("one") as server:
        server.keys["one"] = [RSA, EC]
        yield server


@pytest.fixture
def one(server: OidcServer) -> Issuer:
    return issuer(server.url("one"))


def read(issuer: Issuer) -> list[str]:
    return sorted(read_keys(issuer, local=True))


class TestReading:
    def test_discovery_says_where_they_are(self, server: OidcServer, one: Issuer) -> None:
        assert read(one) == ["rsa"]
        assert server.asked() == [DISCOVERY, "/one/jwks"]

    def test_unless_the_stage_file_does(self, server: OidcServer) -> None:
        assert read(issuer("https://elsewhere.test", jwks_url=server.jwks_url("one"))) == ["rsa"]
        assert server.asked() == ["/one/jwks"]

    def test_a_slash_at_the_issuers_end_is_no_second_one(self, server: OidcServer) -> None:
        url = server.url("one") + "/"
        server.answers[DISCOVERY] = json_answer({"issuer": url, "jwks_uri": server.jwks_url("one")})
        assert read(issuer(url)) == ["rsa"]

    @pytest.mark.parametrize(
        "told",
        [
            {},
            [],
            "text",
            {"issuer": "https://other.test", "jwks_uri": "{jwks}"},
            {"issuer": "{url}/", "jwks_uri": "{jwks}"},
            {"issuer": "{url}"},
            {"issuer": "{url}", "jwks_uri": 5},
            {"issuer": "{url}", "jwks_uri": "file:///etc/passwd"},
            {"issuer": "{url}", "jwks_uri": "http://user:word@127.0.0.1/"},
            {"issuer": "{url}", "jwks_uri": "http://127.0.0.1/a b\r\nX: y"},
        ],
    )
    def test_a_discovery_document_must_be_the_issuers_own(self, server: OidcServer, one: Issuer, told: Any) -> None:
        text = json.dumps(told).replace("{url}", server.url("one")).replace("{jwks}", server.jwks_url("one"))
        server.answers[DISCOVERY] = answer(200, text.encode())
        with pytest.raises(KeysError):
            read_keys(one, local=True)
        assert server.asked() == [DISCOVERY]

    def test_on_aws_nothing_is_read_without_tls(self, server: OidcServer, one: Issuer) -> None:
        with pytest.raises(KeysError, match="jwks_uri is no https URL"):
            read_keys(one, local=False)

    @pytest.mark.parametrize(
        "said",
        [
            answer(200),
            answer(200, b"<html>"),
            answer(200, b"\xff\xfe"),
            answer(200, b"[" * 60_000),
            json_answer([]),
            json_answer({}),
            json_answer({"keys": {}}),
            json_answer({"keys": []}),
            json_answer({"keys": [None, 1, "x", [], {}]}),
            json_answer({"keys": [RSA.jwk(kid=f"k{n}") for n in range(51)]}),
            json_answer({"keys": [EC.jwk()]}),
        ],
    )
    def test_what_has_no_key_to_use_is_told(self, server: OidcServer, one: Issuer, said: bytes) -> None:
        server.answers["/one/jwks"] = said
        with pytest.raises(KeysError):
            read_keys(one, local=True)

    @pytest.mark.parametrize("said", [answer(302, Location="/one/keys"), answer(500), answer(200, b" " * 70_000)])
    def test_what_is_out_of_bounds_is_no_answer(self, server: OidcServer, one: Issuer, said: bytes) -> None:
        server.answers["/one/jwks"] = said
        with pytest.raises(FetchError):
            read_keys(one, local=True)
        assert server.asked() == [DISCOVERY, "/one/jwks"]

    @pytest.mark.parametrize(
        "jwk",
        [
            RSA.jwk(kid=None),
            RSA.jwk(kid=5),
            RSA.jwk(kid=""),
            RSA.jwk(kid="k" * 257),
            RSA.jwk(use="enc"),
            RSA.jwk(alg="RS512"),
            RSA.jwk(alg="HS256"),
            RSA.jwk(n=None),
            RSA.jwk(n=5),
            RSA.jwk(e=["AQAB"]),
            RSA.jwk(n="A"),
            RSA.jwk(n="-" * 1_401),
            RSA.jwk(n="\x00ü!"),
            RSA.jwk(e="AA"),
            RSA.jwk(kty="oct", k="c2VjcmV0"),
            {"kty": "oct", "kid": "rsa", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
            {"kty": "OKP", "crv": "Ed25519", "kid": "rsa", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
            SigningKey("weak", bits=1024).jwk(),
            EC.jwk(alg="RS256"),
        ],
    )
    def test_a_key_that_is_not_of_the_algorithm_or_weak_is_none(
        self, server: OidcServer, one: Issuer, jwk: dict[str, Any]
    ) -> None:
        server.answers["/one/jwks"] = json_answer({"keys": [jwk, RSA.jwk(kid="good", alg=None, use=None)]})
        assert read(one) == ["good"]

    @pytest.mark.parametrize(
        "jwk",
        [EC.jwk(crv="P-384"), EC.jwk(x=EC.jwk()["y"]), EC.jwk(x="AA"), EC.jwk(crv=None), RSA.jwk(alg="ES256")],
    )
    def test_nor_is_a_point_that_is_not_on_the_curve(
        self, server: OidcServer, one: Issuer, jwk: dict[str, Any]
    ) -> None:
        server.answers["/one/jwks"] = json_answer({"keys": [jwk, EC.jwk(kid="good")]})
        assert read(issuer(one.url, algorithm="ES256")) == ["good"]

    def test_a_private_part_is_not_taken(self, server: OidcServer, one: Issuer) -> None:
        private = json.loads(RSA.private_jwk())
        server.answers["/one/jwks"] = json_answer({"keys": [{**private, "kid": "rsa"}]})
        assert not hasattr(read_keys(one, local=True)["rsa"].key, "private_numbers")


class Source:
    """What an issuer says, and how often it was asked."""

    def __init__(self) -> None:
        self.keys: dict[str, PyJWK] = {"a": PyJWK(RSA.jwk())}
        self.asked = 0
        self.failure: Exception | None = None

    def read(self) -> dict[str, PyJWK]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return self.keys


class TestKeeping:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def source(self) -> Source:
        return Source()

    @pytest.fixture
    def failures(self) -> list[Exception]:
        return []

    @pytest.fixture
    def keys(self, source: Source, clock: Clock, failures: list[Exception]) -> IssuerKeys:
        return IssuerKeys(source.read, clock, failures.append)

    def test_they_are_read_when_first_needed_and_every_10_minutes(
        self, keys: IssuerKeys, source: Source, clock: Clock
    ) -> None:
        assert source.asked == 0
        for _ in range(20):
            assert keys.find("a") is source.keys["a"]
            clock.pass_s(60)
        assert source.asked == 2

    def test_a_key_that_is_new_is_found_and_one_that_has_gone_is_gone(
        self, keys: IssuerKeys, source: Source, clock: Clock
    ) -> None:
        keys.find("a")
        clock.pass_s(30)
        source.keys = {"b": source.keys["a"]}
        assert keys.find("b") is source.keys["b"]
        assert keys.find("a") is None

    def test_keys_that_are_not_there_cost_a_call_in_30_s(self, keys: IssuerKeys, source: Source, clock: Clock) -> None:
        keys.find("a")
        for number in range(60):
            clock.pass_s(1)
            assert keys.find(f"../{number}") is None
        assert source.asked == 1 + 2

    @pytest.mark.parametrize("failure", [FetchError("TimeoutError"), KeysError("no JSON")])
    def test_a_broken_issuer_is_asked_once_in_30_s_and_who_comes_may_come_again(
        self, keys: IssuerKeys, source: Source, clock: Clock, failures: list[Exception], failure: Exception
    ) -> None:
        source.failure = failure
        for _ in range(60):
            with pytest.raises(UnavailableError) as caught:
                keys.find("a")
            clock.pass_s(1)
        assert source.asked == 2
        assert failures == [failure, failure]
        assert caught.value.to_wire()["retryable"]
        source.failure = None
        assert keys.find("a") is source.keys["a"]

    def test_known_keys_go_on_for_a_day_while_their_issuer_is_down(
        self, keys: IssuerKeys, source: Source, clock: Clock
    ) -> None:
        keys.find("a")
        source.failure = FetchError("status 500")
        clock.pass_s(86_399)
        assert keys.find("a") is source.keys["a"]
        clock.pass_s(1)
        with pytest.raises(UnavailableError):
            keys.find("a")

    def test_a_key_that_is_not_known_may_be_a_new_one_while_their_issuer_is_down(
        self, keys: IssuerKeys, source: Source, clock: Clock
    ) -> None:
        keys.find("a")
        source.failure = FetchError("status 500")
        clock.pass_s(30)
        for _ in range(30):
            with pytest.raises(UnavailableError) as caught:
                keys.find("b")
            assert caught.value.to_wire()["retryable"]
            assert keys.find("a") is source.keys["a"]
            clock.pass_s(0.9)
        assert source.asked == 2
        source.failure = None
        clock.pass_s(3)
        assert keys.find("b") is None

    def test_who_has_a_known_key_does_not_wait_for_who_asks(self, source: Source, clock: Clock) -> None:
        asking, go_on = threading.Event(), threading.Event()
        waited_in_vain: list[bool] = []

        def slow() -> dict[str, PyJWK]:
            found = source.read()
            if source.asked > 1:
                asking.set()
                waited_in_vain.append(not go_on.wait(2))
            return found

        keys = IssuerKeys(slow, clock, unexpected)
        keys.find("a")
        clock.pass_s(600)
        asker = threading.Thread(target=keys.find, args=("a",))
        asker.start()
        assert asking.wait(10)
        assert keys.find("a") is source.keys["a"]
        go_on.set()
        asker.join(10)
        assert (source.asked, waited_in_vain) == (2, [False])

    def test_who_has_none_waits_for_who_asks(self, source: Source, clock: Clock) -> None:
        asking, go_on = threading.Event(), threading.Event()

        def slow() -> dict[str, PyJWK]:
            asking.set()
            assert go_on.wait(2)
            return source.read()

        keys = IssuerKeys(slow, clock, unexpected)
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(keys.find, "a")
            assert asking.wait(10)
            second = threads.submit(keys.find, "a")
            assert not wait([second], timeout=0.2).done  # nor has it given up
            go_on.set()
            assert first.result(10) is second.result(10) is source.keys["a"]
        assert source.asked == 1
