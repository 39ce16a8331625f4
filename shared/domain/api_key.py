"""Keys of servers: what is known of one beside its secret."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.domain.channel import is_user_id
from shared.domain.principal import Principal

KEY_NAME_MAX_LENGTH: Final = 100
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, as it may be shown: ``<key_id>.<secret>`` is what its server sends.

    Attributes:
        name: What it is for. Keys may share one: a server that is given a new key stays the same sender.
        capabilities: As a :class:`Principal` has them.
    """

    key_id: str
    name: str
    capabilities: Mapping[str, Sequence[str]]
    created_at_ms: int

    @property
    def principal(self) -> Principal:
        """Who calls with it."""
        return Principal(_user_id(self.name), self.capabilities, server=True)


def is_key_id(text: str) -> bool:
    """Tell whether ``text`` may be a key's id."""
    return _KEY_ID.match(text) is not None


def is_key_name(name: str) -> bool:
    """Tell whether a key may have this name: 1 to 100 characters that can be shown, and a user id can be made of it."""
    return 0 < len(name) <= KEY_NAME_MAX_LENGTH and name.isprintable() and is_user_id(_user_id(name))


def _user_id(name: str) -> str:
    return f"key:{name}"
