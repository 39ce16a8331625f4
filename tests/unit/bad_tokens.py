"""Tokens that name nobody, by what is wrong with them."""

import base64
import hmac
import json
from typing import Any

import jwt

from tests.unit.stack import SECRET

CLAIMS = {"sub": "ann", "exp": 4_000_000_000, "caps": {"*": ["admin"]}}


def signed(header: str, claims: str, secret: bytes = SECRET.encode(), alg: str = "HS256") -> str:
    """Sign what a JWT library would not: any text as header and claims, by any secret."""
    parts = b".".join(_encoded(part.encode()) for part in (header, claims))
    return (parts + b"." + _encoded(hmac.digest(secret, parts, f"sha{alg[2:]}"))).decode()


def bad_tokens() -> dict[str, str]:
    """Return one of each kind. All but the forged ones have a good signature."""
    none = jwt.encode(CLAIMS, "", algorithm="none")
    signature = jwt.encode(CLAIMS, SECRET).rpartition(".")[2]
    return {
        "alg none": none,
        "alg none with a signature": none + signature,
        "alg none in capitals": signed('{"alg":"NONE"}', json.dumps(CLAIMS)),
        "no alg": signed("{}", json.dumps(CLAIMS)),
        "a list of algs": signed('{"alg":["HS256","none"]}', json.dumps(CLAIMS)),
        "a critical extension": signed('{"alg":"HS256","crit":["exp"]}', json.dumps(CLAIMS)),
        "another key": jwt.encode(CLAIMS, "another-secret-that-is-also-long-enough-for-hs256"),
        "another algorithm": jwt.encode(CLAIMS, SECRET, algorithm="HS384"),
        "other claims": _other_claims(),
        "expired": jwt.encode(CLAIMS | {"exp": 1_000_000_000}, SECRET),
        "not yet": jwt.encode(CLAIMS | {"nbf": 3_900_000_000}, SECRET),
        "from the future": jwt.encode(CLAIMS | {"iat": 3_900_000_000}, SECRET),
        "no expiry": jwt.encode({"sub": "ann"}, SECRET),
        "an endless expiry": signed('{"alg":"HS256"}', '{"sub":"ann","exp":1e999}'),
        "an endless issue": signed('{"alg":"HS256"}', '{"sub":"ann","exp":4000000000,"iat":-1e999}'),
        "no number as expiry": signed('{"alg":"HS256"}', '{"sub":"ann","exp":NaN}'),
        "no user": jwt.encode({"exp": 4_000_000_000}, SECRET),
        "an empty user": jwt.encode(CLAIMS | {"sub": ""}, SECRET),
        "a user that is a number": signed('{"alg":"HS256"}', '{"sub":5,"exp":4000000000}'),
        "half a surrogate pair as user": signed('{"alg":"HS256"}', '{"sub":"\\ud800","exp":4000000000}'),
        "a long user": jwt.encode(CLAIMS | {"sub": "ü" * 100}, SECRET),
        "caps of another shape": jwt.encode(CLAIMS | {"caps": ["publish"]}, SECRET),
        "caps that are no lists": jwt.encode(CLAIMS | {"caps": {"*": "publish"}}, SECRET),
        "a pattern that no channel fits": jwt.encode(CLAIMS | {"caps": {"**": ["admin"]}}, SECRET),
        "caps of numbers": jwt.encode(CLAIMS | {"caps": {"*": [1]}}, SECRET),
        "many caps": jwt.encode(CLAIMS | {"caps": {f"room:{n}": ["publish"] for n in range(500)}}, SECRET),
        "claims that are no object": signed('{"alg":"HS256"}', "[]"),
        "no token": "nonsense",
        "empty": "",
        "dots": "..",
        "not ascii": "é.é.é",
        "deep header": signed('{"alg":"HS256","a":' + "[" * 1500 + "]" * 1500 + "}", json.dumps(CLAIMS)),
        "deep claims": signed('{"alg":"HS256"}', '{"sub":' + "[" * 1500 + "]" * 1500 + "}"),
    }


def _other_claims() -> str:
    header, _, signature = jwt.encode(CLAIMS, SECRET).split(".")
    claims: dict[str, Any] = CLAIMS | {"sub": "root"}
    return ".".join((header, _encoded(json.dumps(claims).encode()).decode(), signature))


def _encoded(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")
