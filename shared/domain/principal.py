"""Who asks, and what they may: capabilities per channel pattern."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from shared.domain.channel import BROADCAST_CHANNEL, is_pattern, matches, personal_channel

PUBLIC_CLAIMS_MAX_BYTES: Final = 1_000  # of JSON; they are kept with the connection, and may travel with every event
CAPABILITIES_MAX_LENGTH: Final = 6_000  # of all patterns and names together; they are kept with connections and keys
# Ids that begin so are of servers, by their API key or their IAM role: no token names one.
RESERVED_PREFIXES: Final = ("key:", "iam:")
LEEWAY_S: Final = 5  # clocks of whoever issues tokens differ
ANONYMOUS_PREFIX: Final = "anonymous:"  # of users that the stage itself has made up

Capability = Literal[
    "subscribe", "publish", "history", "presence", "state.read", "state.write", "send", "command", "admin"
]


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated user or server.

    Attributes:
        capabilities: Pattern to what it allows. A pattern is a channel, or a prefix and ``*``.
        server: Came with an API key or IAM: may publish where only servers may.
        issued_at_s: When its token was issued; revocation compares with it.
        expires_at_s: When its token ends; ``None`` for API keys.
        public_claims: What others may know of it, such as a name to show: its token's ``public``.
    """

    user_id: str
    capabilities: Mapping[str, Sequence[str]] = field(default_factory=dict)
    server: bool = False
    issued_at_s: int = 0
    expires_at_s: int | None = None
    public_claims: Mapping[str, Any] = field(default_factory=dict)

    def may(self, capability: Capability, target: str) -> bool:
        """Tell whether some pattern that matches ``target`` lists ``capability``.

        Only a trailing ``*`` of the *pattern* is special: the target's characters never are, so no name widens a right.
        """
        return any(capability in allowed and matches(pattern, target) for pattern, allowed in self.capabilities.items())

    def may_receive(self, capability: Literal["subscribe", "history"], channel: str) -> bool:
        """As :meth:`may`, and always for the user's personal channel and the broadcast channel."""
        return channel in (BROADCAST_CHANNEL, personal_channel(self.user_id)) or self.may(capability, channel)

    def expired(self, now_s: float) -> bool:
        """Tell whether the token has ended."""
        return self.expires_at_s is not None and self.expires_at_s <= now_s


def fits_capabilities(capabilities: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether they are short enough to be kept."""
    length = sum(len(pattern) + sum(map(len, names)) for pattern, names in capabilities.items())
    return length <= CAPABILITIES_MAX_LENGTH


def why_no_capabilities(capabilities: Mapping[str, Sequence[str]]) -> str | None:
    """Return what is wrong with capabilities that somebody has written down; ``None`` if nothing is."""
    for pattern, names in capabilities.items():
        if not is_pattern(pattern):
            return f"{pattern!r} is neither a channel nor the beginning of some and *"
        for name in [names] if isinstance(names, str) else names:
            if isinstance(names, str) or name not in get_args(Capability):
                return f"{pattern!r}: {name!r} is none of {', '.join(get_args(Capability))}, in a list"
    return None if fits_capabilities(capabilities) else f"they have at most {CAPABILITIES_MAX_LENGTH} characters"
