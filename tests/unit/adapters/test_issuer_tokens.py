"""Tokens of OIDC issuers: whom they name, and that nothing but a key of the issuer's own makes one good."""

import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.issuer_keys import IssuerKeys, read_keys
from shared.adapters.issuer_tokens import IssuerTokens, TokensByIssuer
from shared.adapters.memory import fixed_secret
from shared.adapters.tokens import Hs256Tokens
from shared.domain.issuer import Issuer
from shared.errors import UnauthenticatedError, UnavailableError
from shared.protocol.limits import TOKEN_MAX_LENGTH
from tests.oidc import AUDIENCE, OidcServer, SigningKey, issuer, json_answer, unexpected
from tests.unit.adapters.http_server import answer
from tests.unit.bad_tokens import bad_tokens, signed
from tests.unit.stack import SECRET, Clock

RSA, EC, STRANGER = SigningKey("rsa"), SigningKey("ec", "ES256"), SigningKey("stranger")
CAPS: Final = {"room:*": ["subscribe"]}


class Tokens:
    """A stage with two issuers, and their server."""

    def __init__(self, server: OidcServer, **settings: Any) -> None:
        self.server, self.clock = server, Clock()
        self.failures: list[Exception] = []
        self.issuers = (
            issuer(server.url("rsa"), user_prefix="rsa:", capabilities=CAPS, **settings),
            Issuer(
                server.url("ec"), (AUDIENCE, "other"), "ES256", user_prefix="ec:", capabilities_claim="https://caps"
            ),
        )
        keys = {one.url: IssuerKeys(self._reader(one), self.clock, self.failures.append) for one in self.issuers}
        by_url = {one.url: IssuerTokens(one, keys[one.url], self.issuers) for one in self.issuers}
        self.own = Hs256Tokens(fixed_secret(SECRET))
        self.verify = TokensByIssuer(self.own, by_url).verify

    def _reader(self, one: Issuer) -> Callable[[], Mapping[str, jwt.PyJWK]]:
        return lambda: read_keys(one, local=True)

    def refused(self, token: str) -> str:
        """Return how a token is refused; that says nothing of it."""
        with pytest.raises(UnauthenticatedError) as caught:
            self.verify(token)
        assert token == "" or token not in str(caught.value.to_wire())
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        return str(caught.value)


@pytest.fixture
def server() -> Iterator[OidcServer]:
    with OidcServer("rsa", "ec") as server:
        server.keys |= {"rsa": [RSA], "ec": [EC]}
        yield server


@pytest.fixture
def tokens(server: OidcServer) -> Tokens:
    return Tokens(server)


def of_parts(header: Mapping[str, Any] | str, claims: Mapping[str, Any] | str, signature: bytes = b"x") -> str:
    texts = [part if isinstance(part, str) else json.dumps(part) for part in (header, claims)]
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*map(str.encode, texts), signature)
    )


class TestGoodOnes:
    def test_one_names_a_user_of_its_issuer(self, tokens: Tokens) -> None:
        iat = int(time.time()) - 7
        principal = tokens.verify(tokens.server.token("rsa", iat=iat, exp=iat + 600, public={"name": "Ann"}))
        assert (principal.user_id, principal.capabilities, principal.server) == ("rsa:ann", CAPS, False)
        assert (principal.issued_at_s, principal.expires_at_s) == (iat, iat + 600)
        assert principal.public_claims == {"name": "Ann"}

    def test_its_caps_stand_for_those_of_the_stage_file(self, tokens: Tokens) -> None:
        caps = {"room:1": ["publish"]}
        assert tokens.verify(tokens.server.token("rsa", caps=caps)).capabilities == caps
        assert tokens.verify(tokens.server.token("ec", **{"https://caps": caps})).capabilities == caps
        assert tokens.verify(tokens.server.token("ec", caps=caps)).capabilities == {}

    @pytest.mark.parametrize("aud", [AUDIENCE, "other", ["x", AUDIENCE], ["other", AUDIENCE]])
    def test_one_audience_of_many_is_enough(self, tokens: Tokens, aud: Any) -> None:
        assert tokens.verify(tokens.server.token("ec", aud=aud)).user_id == "ec:ann"

    def test_the_stages_own_are_good_beside_them(self, tokens: Tokens) -> None:
        assert tokens.verify(tokens.own.issue("ann", CAPS, ttl_s=60)).user_id == "ann"
        other = jwt.encode({"sub": "ann", "exp": 4_000_000_000, "iss": "https://my.backend"}, SECRET)
        assert tokens.verify(other).user_id == "ann"
        assert tokens.server.asked() == []

    def test_keys_roll_over(self, tokens: Tokens, server: OidcServer) -> None:
        old = server.token("rsa")
        tokens.verify(old)
        server.keys["rsa"] = [RSA, SigningKey("next")]
        tokens.clock.pass_s(30)
        assert tokens.verify(server.token("rsa")).user_id == "rsa:ann"
        assert tokens.verify(old).user_id == "rsa:ann"
        server.keys["rsa"] = server.keys["rsa"][1:]
        tokens.clock.pass_s(600)
        assert "no such key" in tokens.refused(old)

    @pytest.mark.parametrize("changed", [{"exp": -1}, {"iat": 4}, {"nbf": 4}])
    def test_clocks_may_differ_by_five_seconds(self, tokens: Tokens, changed: dict[str, int]) -> None:
        now_s = int(time.time())
        tokens.verify(tokens.server.token("rsa", **{claim: now_s + by for claim, by in changed.items()}))

    def test_headers_that_bring_a_key_are_not_looked_at(self, tokens: Tokens, server: OidcServer) -> None:
        elsewhere = server.url("evil") + "/jwks"
        header = {"jku": elsewhere, "x5u": elsewhere, "jwk": STRANGER.jwk(), "x5c": ["x"]}
        tokens.verify(RSA.sign(server.claims("rsa"), **header))
        tokens.refused(STRANGER.sign(server.claims("rsa"), kid="rsa", **header))
        tokens.refused(STRANGER.sign(server.claims("rsa"), **header))
        assert elsewhere not in [f"http://127.0.0.1{path}" for path in server.asked()]
        assert not any("evil" in path for path in server.asked())


NONES: Final = ["none", "None", "NONE", "nOnE", "none ", "", None, ["none"], 0, {"a": 1}]
CONFUSED: Final = ["HS256", "HS384", "HS512", "ES256", "RS384", "RS512", "PS256", "EdDSA", "rs256", "ES256K"]


class TestAlgorithms:
    @pytest.mark.parametrize("alg", NONES, ids=repr)
    @pytest.mark.parametrize("signature", [b"", b"x"])
    def test_none_is_no_algorithm(self, tokens: Tokens, alg: Any, signature: bytes) -> None:
        for name in ("rsa", "ec", "nobody"):
            claims = tokens.server.claims(name) | {"caps": {"*": ["admin"]}}
            tokens.refused(of_parts({"alg": alg, "kid": "rsa"}, claims, signature))
        tokens.refused(of_parts({"kid": "rsa"}, tokens.server.claims("rsa"), signature))

    @pytest.mark.parametrize("alg", CONFUSED)
    def test_the_token_does_not_choose(self, tokens: Tokens, alg: str) -> None:
        good = tokens.server.token("rsa").split(".")
        header = base64.urlsafe_b64encode(json.dumps({"alg": alg, "kid": "rsa"}).encode()).rstrip(b"=").decode()
        tokens.refused(f"{header}.{good[1]}.{good[2]}")

    @pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
    def test_a_public_key_is_no_secret(self, tokens: Tokens, alg: str) -> None:
        """Whoever has only public keys can sign nothing, by whatever algorithm and form of the key."""
        forms = [
            RSA.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            RSA.public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
            RSA.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            RSA.public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
            json.dumps(RSA.jwk()).encode(),
            RSA.jwk()["n"].encode(),
            b"",
        ]
        for form in forms:
            for iss in (tokens.server.url("rsa"), None, "https://nobody.test"):
                claims = json.dumps(tokens.server.claims("rsa", iss=iss))
                tokens.refused(signed(json.dumps({"alg": alg, "kid": "rsa"}), claims, form, alg))

    def test_an_issuers_token_is_not_good_as_the_stages_own_nor_the_other_way_round(self, tokens: Tokens) -> None:
        claims = tokens.server.claims("rsa")
        tokens.refused(jwt.encode(claims, SECRET, headers={"kid": "rsa"}))
        tokens.refused(RSA.sign({**claims, "iss": "https://nobody.test"}))
        tokens.refused(RSA.sign(tokens.server.claims("rsa", iss=None, aud=None)))

    def test_a_key_is_good_for_its_own_issuer_alone(self, tokens: Tokens, server: OidcServer) -> None:
        server.keys["ec"] = [EC, RSA]
        tokens.refused(RSA.sign(server.claims("ec")))
        tokens.refused(EC.sign(server.claims("rsa"), kid="rsa"))

    @pytest.mark.parametrize("crit", [["exp"], ["b64"], [], "exp", None, [5]])
    def test_a_critical_extension_that_is_not_known_is_refused(self, tokens: Tokens, crit: Any) -> None:
        good = RSA.sign(tokens.server.claims("rsa"))
        tokens.verify(good)
        header = json.dumps({"alg": "RS256", "kid": "rsa", "crit": crit})
        unsigned = of_parts(header, tokens.server.claims("rsa")).rpartition(".")[0]
        tokens.refused(f"{unsigned}.{_signature(unsigned)}")


class TestKeyIds:
    @pytest.mark.parametrize(
        "kid",
        [
            "stranger",
            "RSA",
            "rsa ",
            "rsa\x00",
            "../rsa",
            "/dev/null",
            "http://evil.test/",
            "' OR 1=1 --",
            "k" * 9_000,
            "",
        ],
    )
    def test_a_key_that_is_not_there_signs_nothing(self, tokens: Tokens, kid: str) -> None:
        tokens.refused(RSA.sign(tokens.server.claims("rsa"), kid=kid))

    @pytest.mark.parametrize("kid", [None, 5, ["rsa"], {"rsa": 1}, True])
    def test_nor_does_what_is_no_id(self, tokens: Tokens, kid: Any) -> None:
        unsigned = of_parts({"alg": "RS256", "kid": kid}, tokens.server.claims("rsa")).rpartition(".")[0]
        tokens.refused(f"{unsigned}.{_signature(unsigned)}")
        assert tokens.server.asked() == []

    def test_one_must_be_named_even_where_there_is_only_one(self, tokens: Tokens) -> None:
        token = jwt.encode(tokens.server.claims("rsa"), RSA.private, "RS256")
        assert "names no key" in tokens.refused(token)

    def test_named_twice_the_last_counts_for_both_who_choose_and_who_verify(self, tokens: Tokens) -> None:
        for first, last, good in (("stranger", "rsa", True), ("rsa", "stranger", False)):
            header = f'{{"alg":"RS256","kid":"{first}","kid":"{last}"}}'
            unsigned = of_parts(header, tokens.server.claims("rsa")).rpartition(".")[0]
            token = f"{unsigned}.{_signature(unsigned)}"
            assert tokens.verify(token) if good else tokens.refused(token)


class TestClaims:
    @pytest.mark.parametrize(
        "changed",
        [
            {"exp": 1_000_000_000},
            {"exp": None},
            {"exp": "soon"},
            {"nbf": 4_000_000_000},
            {"nbf": "x"},
            {"iat": 3_999_999_999, "exp": 4_000_000_000},
            {"iat": None},
            {"iat": "x"},
            {"iat": {}},
            {"aud": None},
            {"aud": ""},
            {"aud": []},
            {"aud": "https://tidewire.test/"},
            {"aud": "HTTPS://tidewire.test"},
            {"aud": ["x", "y"]},
            {"aud": [[AUDIENCE]]},
            {"aud": {AUDIENCE: 1}},
            {"aud": [AUDIENCE, 5]},
            {"aud": 5},
            {"sub": None},
            {"sub": ""},
            {"sub": 5},
            {"sub": "ü" * 100},
            {"sub": "\ud800"},
            {"public": []},
            {"caps": "admin"},
            {"caps": {"*": "admin"}},
            {"caps": {f"room:{n}": ["publish"] for n in range(500)}},
            {"public": {"name": "x" * 1_000}},
        ],
        ids=repr,
    )
    def test_what_is_missing_or_wrong_is_refused(self, tokens: Tokens, changed: dict[str, Any]) -> None:
        tokens.refused(tokens.server.token("rsa", **changed))

    @pytest.mark.parametrize("end", ["/", "/x", "?", "#", " ", "\x00"])
    def test_an_issuer_is_its_url_to_the_last_character(self, tokens: Tokens, end: str) -> None:
        tokens.refused(tokens.server.token("rsa", iss=tokens.server.url("rsa") + end))
        tokens.refused(tokens.server.token("rsa", iss=tokens.server.url("rsa").upper()))
        tokens.refused(of_parts({"alg": "RS256", "kid": "rsa"}, {"iss": [tokens.server.url("rsa")]}))
        assert tokens.server.asked() == []

    def test_who_verifies_for_one_issuer_takes_no_other_ones(self, server: OidcServer) -> None:
        one = Tokens(server).issuers[0]
        tokens = IssuerTokens(one, IssuerKeys(lambda: read_keys(one, local=True), Clock(), unexpected), (one,))
        with pytest.raises(UnauthenticatedError):
            tokens.verify(server.token("rsa", iss=server.url("ec")))

    def test_two_issuers_in_one_token_are_the_last(self, tokens: Tokens, server: OidcServer) -> None:
        one, other = json.dumps(server.claims("ec"))[:-1], json.dumps(server.claims("rsa"))[1:]
        unsigned = of_parts({"alg": "RS256", "kid": "rsa"}, f"{one},{other}").rpartition(".")[0]
        assert tokens.verify(f"{unsigned}.{_signature(unsigned)}").user_id == "rsa:ann"

    @pytest.mark.parametrize("sub", ["key:billing", "iam:role", "anonymous:x", "ec:ann"])
    def test_without_a_prefix_no_user_is_a_servers_or_another_issuers(self, server: OidcServer, sub: str) -> None:
        first, second = Tokens(server).issuers
        bare = Issuer(first.url, first.audiences, user_prefix="")
        keys = IssuerKeys(lambda: read_keys(bare, local=True), Clock(), unexpected)
        tokens = IssuerTokens(bare, keys, (bare, second))
        assert tokens.verify(server.token("rsa")).user_id == "ann"
        with pytest.raises(UnauthenticatedError, match="another's"):
            tokens.verify(server.token("rsa", sub=sub))

    def test_with_a_prefix_such_a_name_is_any_other(self, tokens: Tokens) -> None:
        assert tokens.verify(tokens.server.token("rsa", sub="key:billing")).user_id == "rsa:key:billing"


class TestCognito:
    GOOD: Final = {"aud": None, "client_id": AUDIENCE, "token_use": "access"}

    @pytest.fixture
    def tokens(self, server: OidcServer) -> Tokens:
        return Tokens(server, audience_claim="client_id")

    def test_an_access_token_has_its_client_where_others_have_an_audience(self, tokens: Tokens) -> None:
        assert tokens.verify(tokens.server.token("rsa", **self.GOOD)).user_id == "rsa:ann"

    @pytest.mark.parametrize(
        "changed",
        [{"client_id": "x"}, {"client_id": None}, {"client_id": [AUDIENCE]}, {"token_use": "id"}, {"token_use": None}],
        ids=repr,
    )
    def test_no_other_client_and_no_id_token(self, tokens: Tokens, changed: dict[str, Any]) -> None:
        tokens.refused(tokens.server.token("rsa", **{**self.GOOD, **changed}))

    def test_an_audience_is_not_enough(self, tokens: Tokens) -> None:
        tokens.refused(tokens.server.token("rsa", token_use="access"))


class TestSizes:
    def test_a_huge_one_is_not_even_read(self, tokens: Tokens) -> None:
        tokens.refused("a" * (TOKEN_MAX_LENGTH + 1))
        tokens.refused(tokens.server.token("rsa", padding="x" * TOKEN_MAX_LENGTH))
        tokens.refused(jwt.encode({"sub": "ann", "exp": 4_000_000_000, "x": "x" * TOKEN_MAX_LENGTH}, SECRET))
        assert tokens.server.asked() == []

    def test_nor_is_one_of_many_parts(self, tokens: Tokens) -> None:
        tokens.refused("." * TOKEN_MAX_LENGTH)

    @pytest.mark.parametrize("deep", ["[" * 5_000, '{"a":' * 1_000, "[" * 2_500 + "]" * 2_500])
    def test_one_that_is_nested_deep_is_refused(self, tokens: Tokens, deep: str) -> None:
        tokens.refused(of_parts({"alg": "RS256", "kid": "rsa"}, deep))
        tokens.refused(of_parts(deep, tokens.server.claims("rsa")))
        text = json.dumps(tokens.server.claims("rsa"))[:-1]
        tokens.refused(of_parts({"alg": "RS256", "kid": "rsa"}, f'{text},"x":{deep}}}'))


class TestBrokenIssuers:
    BROKEN: Final = {
        "no answer": b"",
        "an error": answer(500),
        "a redirect": answer(302, Location="/other"),
        "huge": answer(200, b"[" + b"1," * 40_000 + b"1]"),
        "no JSON": answer(200, b"<html>"),
        "something else": json_answer({"keys": "none"}),
        "no keys": json_answer({"keys": []}),
        "keys without ids": json_answer({"keys": [RSA.jwk(kid=None)]}),
        "a secret": json_answer({"keys": [{"kty": "oct", "kid": "rsa", "k": "c2VjcmV0", "alg": "HS256"}]}),
        "keys of another kind": json_answer({"keys": [EC.jwk(kid="rsa")]}),
    }

    @pytest.mark.parametrize("name", BROKEN)
    def test_nobody_of_it_comes_in_and_all_may_try_again(self, tokens: Tokens, server: OidcServer, name: str) -> None:
        server.answers["/rsa/jwks"] = self.BROKEN[name]
        for _ in range(5):
            with pytest.raises(UnavailableError):
                tokens.verify(server.token("rsa"))
            secret_of_jwks = signed('{"alg":"HS256","kid":"rsa"}', json.dumps(server.claims("rsa")), b"secret", "HS256")
            tokens.refused(secret_of_jwks)
        assert server.asked().count("/rsa/jwks") == 1
        assert len(tokens.failures) == 1
        assert tokens.verify(server.token("ec")).user_id == "ec:ann"
        assert tokens.verify(tokens.own.issue("ann", {}, ttl_s=60)).user_id == "ann"

    @pytest.mark.parametrize("name", BROKEN)
    def test_who_has_a_known_key_notices_nothing(self, tokens: Tokens, server: OidcServer, name: str) -> None:
        tokens.verify(server.token("rsa"))
        server.answers["/rsa/jwks"] = self.BROKEN[name]
        tokens.clock.pass_s(3_600)
        assert tokens.verify(server.token("rsa")).user_id == "rsa:ann"
        with pytest.raises(UnavailableError):  # it may be a new key
            tokens.verify(STRANGER.sign(server.claims("rsa")))


@pytest.mark.parametrize("name", bad_tokens())
def test_what_is_bad_alone_is_bad_beside_issuers(tokens: Tokens, name: str) -> None:
    tokens.refused(bad_tokens()[name])


@given(token=st.text() | st.builds(".".join, st.lists(st.text(alphabet="eyJ0_-=.A"), min_size=3, max_size=3)))
def test_no_text_is_a_token(token: str) -> None:
    own = Hs256Tokens(fixed_secret(SECRET))
    with pytest.raises(UnauthenticatedError):
        TokensByIssuer(own, {"https://issuer.test": IssuerTokens(issuer("https://issuer.test"), _NoKeys(), ())}).verify(
            token
        )


class _NoKeys:
    def find(self, kid: str) -> None:
        raise AssertionError(kid)


def _signature(unsigned: str) -> str:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    raw = RSA.private.sign(unsigned.encode(), padding.PKCS1v15(), hashes.SHA256())
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
