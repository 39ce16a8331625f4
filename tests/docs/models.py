"""What JSON on pages is, and what checks it."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from shared.domain.centrifugo_capabilities import capabilities_of
from shared.domain.principal import why_no_capabilities


def _token(code: str) -> None:
    claims = json.loads(code)
    assert {"sub", "iat", "exp", "caps"} <= claims.keys()
    assert (why := why_no_capabilities(claims["caps"])) is None, why


def _policy(code: str) -> None:
    policy = json.loads(code)
    assert policy["Version"] == "2012-10-17"
    for statement in policy["Statement"]:
        assert statement.keys() == {"Effect", "Action", "Resource"}


def _centrifugo_capabilities(code: str) -> None:
    assert why_no_capabilities(capabilities_of(json.loads(code))) is None


MODELS: Final[Mapping[str, Callable[[str], Any]]] = {
    "a token": _token,
    "an IAM policy": _policy,
    "capabilities of Centrifugo's": _centrifugo_capabilities,
}
