"""Tokens that a test makes by hand: issued and ending when it says, by the test's clock."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.domain.principal import Principal
from shared.errors import UnauthenticatedError
from tests.unit.stack import ALL

NOW_S = 1_800_000_000  # where the stack's clock begins


class KnownTokens:
    """Verifies what it has made."""

    def __init__(self) -> None:
        self.principals: dict[str, Principal] = {}

    def make(
        self, user_id: str = "ann", caps: Any = None, *, issued_at_s: int = NOW_S, expires_at_s: int = NOW_S + 3600
    ) -> str:
        """Return a token."""
        token = f"token {len(self.principals)}"
        self.principals[token] = Principal(
            user_id, ALL if caps is None else caps, issued_at_s=issued_at_s, expires_at_s=expires_at_s
        )
        return token

    def verify(self, token: str) -> Principal:
        if token not in self.principals:
            raise UnauthenticatedError("the token is not good")
        return self.principals[token]

    def issue(
        self,
        user_id: str,
        capabilities: Mapping[str, Sequence[str]],
        *,
        ttl_s: int,
        public: Mapping[str, Any] | None = None,
    ) -> str:
        assert public is None
        return self.make(user_id, capabilities, expires_at_s=NOW_S + ttl_s)
