"""API keys: made, listed, revoked, by admins."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.domain.api_key import ApiKey
from shared.domain.principal import Principal
from shared.errors import LimitReachedError, NotFoundError
from shared.ports import ApiKeyStore
from shared.services.admin import check_admin

KEYS_MAX: Final = 1_000
KEYS_PAGE: Final = 100
_ID_BYTES: Final = 8
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Keys:
    """Whoever has a key is what it says until it is revoked, and then nobody."""

    store: ApiKeyStore
    now_ms: Callable[[], int]

    def create(self, principal: Principal, name: str, capabilities: Mapping[str, Sequence[str]]) -> tuple[ApiKey, str]:
        """Make a key; return it with what its server is to send, which nobody is told again.

        Raises:
            ForbiddenError: The principal is no admin.
            LimitReachedError: There are as many as there may be.
        """
        check_admin(principal)
        key = ApiKey(secrets.token_hex(_ID_BYTES), name, capabilities, self.now_ms())
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        if not self.store.add(key, secret, at_most=KEYS_MAX):
            raise LimitReachedError(f"there are {KEYS_MAX} keys already: revoke one that is not used any more")
        return key, f"{key.key_id}.{secret}"

    def page(self, principal: Principal, after: str) -> tuple[Sequence[ApiKey], bool]:
        """Return the next 100 keys behind ``after``, by id, and whether there are more.

        Raises:
            ForbiddenError: The principal is no admin.
        """
        check_admin(principal)
        keys = self.store.page(after, limit=KEYS_PAGE + 1)
        return keys[:KEYS_PAGE], len(keys) > KEYS_PAGE

    def revoke(self, principal: Principal, key_id: str) -> None:
        """Have a key be good for nothing from now on.

        Raises:
            ForbiddenError: The principal is no admin.
            NotFoundError: There is no such key (any more).
        """
        check_admin(principal)
        if not self.store.remove(key_id):
            raise NotFoundError("there is no such key")
