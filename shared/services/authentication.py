"""Whom a token from outside names: the one place where it is verified, and where what was revoked is refused."""

from dataclasses import dataclass

from shared.domain.principal import LEEWAY_S, Principal
from shared.errors import UnauthenticatedError
from shared.ports import RevocationStore, TokenVerifier


@dataclass(frozen=True, slots=True)
class Authentication:
    """A good signature, and issued after whatever was revoked of its user's: one read of the store."""

    tokens: TokenVerifier
    revocations: RevocationStore

    def of_token(self, token: str) -> Principal:
        """Return whom the token names.

        Raises:
            UnauthenticatedError: It is forged, expired, malformed or revoked, or names nobody.
        """
        principal = self.tokens.verify(token)
        self.check(principal.user_id, principal.issued_at_s)
        return principal

    def check(self, user_id: str, issued_at_s: int) -> None:
        """As :meth:`revoked`.

        Raises:
            UnauthenticatedError: It has.
        """
        if self.revoked(user_id, issued_at_s):
            raise UnauthenticatedError("the token was revoked")

    def revoked(self, user_id: str, issued_at_s: int) -> bool:
        """Tell whether a token of that second has been revoked. One that does not say when it was issued has 0."""
        revoked_at_ms = self.revocations.revoked_at_ms(user_id)
        # Tokens tell whole seconds: one of the very second may be older. So may one that is from a moment later by its
        # issuer's clock, as far ahead as that may be: when it was really issued, nobody knows.
        return revoked_at_ms is not None and issued_at_s <= revoked_at_ms // 1000 + LEEWAY_S
