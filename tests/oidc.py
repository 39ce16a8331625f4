"""An OIDC issuer for tests: keys that come and go, tokens signed with them, and the server that says its keys."""

import json
import time
from collections.abc import Mapping
from typing import Any, Final, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from shared.domain.issuer import Algorithm, Issuer
from tests.unit.adapters.http_server import HttpServer, Peer, Request, answer

AUDIENCE: Final = "https://tidewire.test"


class SigningKey:
    """A key pair with its id."""

    def __init__(self, kid: str, algorithm: Algorithm = "RS256", *, bits: int = 2048) -> None:
        self.kid, self.algorithm = kid, algorithm
        self.private: Any = (
            rsa.generate_private_key(65_537, bits) if algorithm == "RS256" else ec.generate_private_key(ec.SECP256R1())
        )

    @property
    def public(self) -> Any:
        return self.private.public_key()

    def jwk(self, **fields: Any) -> dict[str, Any]:
        """Return it as it stands in a JWKS; a field that is ``None`` is left out."""
        to_jwk = RSAAlgorithm.to_jwk if self.algorithm == "RS256" else ECAlgorithm.to_jwk
        form = to_jwk(self.public, as_dict=True)
        form.pop("key_ops", None)
        whole = {**form, "kid": self.kid, "use": "sig", "alg": self.algorithm, **fields}
        return {name: value for name, value in whole.items() if value is not None}

    def private_jwk(self) -> str:
        form: str = RSAAlgorithm.to_jwk(self.private)
        return form

    def sign(self, claims: Mapping[str, Any], **header: Any) -> str:
        return jwt.encode(dict(claims), self.private, self.algorithm, headers={"kid": self.kid, **header})


class OidcServer:
    """Issuers of one server, each at a path; what is not set is as it should be.

    Attributes:
        keys: What stands in each issuer's JWKS.
        answers: What is said at a path instead: bytes of a whole HTTP answer.
        down: Paths of issuers that hang up on whoever asks.
    """

    def __init__(self, *names: str) -> None:
        self.keys: dict[str, list[SigningKey]] = {name: [] for name in names}
        self.answers: dict[str, bytes] = {}
        self.down: set[str] = set()
        self._http = HttpServer(self._serve)

    def __enter__(self) -> Self:
        self._http.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.__exit__(*error)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._http.port}/{name}"

    def jwks_url(self, name: str) -> str:
        return f"{self.url(name)}/jwks"

    def asked(self) -> list[str]:
        """Return the paths that were asked for, in order."""
        return [request.path for request in self._http.requests]

    def claims(self, name: str, **changed: Any) -> dict[str, Any]:
        """Return the claims of a good token; one that is ``None`` is left out."""
        now_s = int(time.time())
        whole = {"iss": self.url(name), "aud": AUDIENCE, "sub": "ann", "iat": now_s, "exp": now_s + 60, **changed}
        return {claim: value for claim, value in whole.items() if value is not None}

    def token(self, name: str, **changed: Any) -> str:
        """Return a good token, signed with the newest key, or what ``changed`` makes of it."""
        return self.keys[name][-1].sign(self.claims(name, **changed))

    def _serve(self, peer: Peer) -> None:
        if request := peer.read():
            peer.answer(self._answer(request))

    def _answer(self, request: Request) -> bytes:
        name, _, what = request.path.removeprefix("/").partition("/")
        if name in self.down:
            raise ConnectionAbortedError
        if request.path in self.answers:
            return self.answers[request.path]
        if name in self.keys and what == "jwks":
            return json_answer({"keys": [key.jwk() for key in self.keys[name]]})
        if name in self.keys and what == ".well-known/openid-configuration":
            return json_answer({"issuer": self.url(name), "jwks_uri": self.jwks_url(name)})
        return answer(404)


def issuer(url: str, **settings: Any) -> Issuer:
    """Return an issuer's settings as most tests want them."""
    return Issuer(url, (AUDIENCE,), **settings)


def json_answer(value: Any) -> bytes:
    return answer(200, json.dumps(value).encode())


def unexpected(error: Exception) -> None:
    """Stand in for who is told of failures, where there is to be none."""
    raise error
