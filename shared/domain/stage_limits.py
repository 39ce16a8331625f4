"""What clients of a stage may do at most. Set in infra/stage.py; docs/limits.md lists them, and all others.

What a channel takes is in channels.toml, and what a frame may be is the protocol's (shared/protocol/limits.py).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Self

from shared.domain.connection import AUTHENTICATION_DEADLINE_S
from shared.domain.rate import Rate
from shared.errors import ConfigError


@dataclass(frozen=True, slots=True)
class StageLimits:
    """Rates are in the long run, bursts at once. An address is an IPv4 address, or an IPv6 network of 64 bits.

    Attributes:
        request_rate_per_s: Frames of one connection, in batches or not, good or not.
        bytes_rate_per_s: Of frames of one connection. The burst holds the largest that HTTP takes.
        hello_rate_per_s: ``hello`` and ``refresh`` of one connection; how often one session is taken up by HTTP. Each
            may write two items a subscription.
        user_http_rate_per_s: HTTP requests of one user, to begin or read a session too.
        server_http_rate_per_s: The same of an API key's or an IAM role's name.
        ticket_rate_per_s: Tickets that one user is given.
        user_connections: Live connections and HTTP sessions of one user; 0: no limit, and nothing to pay for counting.
        subscriptions: Of one connection, without the personal and the broadcast channel.
        held_streams: Streams and long polls that are held at a time, each by an environment of its own; whoever comes
            then is answered as by a short poll.
        user_held_streams: Those of one user. So many does a browser open to one origin by itself.
        address_held_streams: Those of one address, which may be an office: else a few guests would hold all there are.
        connect_rate_per_s: WebSockets that one address opens.
        address_pending: Of these, those that have not said who they are, within the 10 s that they have.
        pending: The same of everybody together.
        anonymous_rate_per_s: HTTP calls of one address that nobody has to be known for: tokens for guests, readiness.
        failure_rate_per_s: HTTP calls of one address that are refused since nobody knows who it is (401).
    """

    request_rate_per_s: float = 100
    request_burst: int = 300
    bytes_rate_per_s: float = 1_000_000
    bytes_burst: int = 4_000_000
    hello_rate_per_s: float = 0.2
    hello_burst: int = 10
    user_http_rate_per_s: float = 100
    user_http_burst: int = 300
    server_http_rate_per_s: float = 1_000
    server_http_burst: int = 5_000
    ticket_rate_per_s: float = 1
    ticket_burst: int = 60
    user_connections: int = 0
    subscriptions: int = 128
    held_streams: int = 100
    user_held_streams: int = 6
    address_held_streams: int = 30
    connect_rate_per_s: float = 50
    connect_burst: int = 500
    address_pending: int = 200
    pending: int = 5_000
    anonymous_rate_per_s: float = 5
    anonymous_burst: int = 50
    failure_rate_per_s: float = 5
    failure_burst: int = 100

    def check(self) -> None:
        """Refuse what can't work, before it is deployed.

        Raises:
            ConfigError: A limit is out of its range.
        """
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            whole = not name.endswith("_per_s")
            number = isinstance(value, int) or (isinstance(value, float) and not whole)
            if not number or isinstance(value, bool) or not low <= value <= high:
                raise ConfigError(f"limits.{name}: must be a {'whole ' * whole}number from {low:,} to {high:,}")

    def rate(self, what: str) -> Rate:
        """Return the rate of ``request``, ``hello``, ``user_http`` and so on, by the names of its two attributes."""
        return Rate(getattr(self, f"{what}_rate_per_s"), getattr(self, f"{what}_burst"))

    @staticmethod
    def rate_of_pending(at_most: int) -> Rate:
        """Return the rate at which so many are pending at a time: each is for 10 s, or for less."""
        return Rate(at_most / AUTHENTICATION_DEADLINE_S, at_most)

    def to_json(self) -> str:
        """Return what differs from the defaults."""
        return json.dumps(
            {name: value for name, value in asdict(self).items() if value != getattr(DEFAULT_LIMITS, name)}
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the limits that :meth:`to_json` told of."""
        told: dict[str, Any] = json.loads(text)
        return cls(**told)


RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "request_rate_per_s": (1, 10_000),
    "request_burst": (100, 100_000),  # a batch
    "bytes_rate_per_s": (10_000, 100_000_000),
    "bytes_burst": (256_000, 1_000_000_000),  # a frame by HTTP
    "hello_rate_per_s": (0.01, 10_000),
    "hello_burst": (1, 100_000),
    "user_http_rate_per_s": (0.1, 10_000),
    "user_http_burst": (1, 100_000),
    "server_http_rate_per_s": (0.1, 10_000),
    "server_http_burst": (1, 100_000),
    "ticket_rate_per_s": (0.01, 10_000),
    "ticket_burst": (1, 100_000),
    "user_connections": (0, 1_000),  # each hello counts those that are there
    "subscriptions": (1, 128),
    "held_streams": (0, 10_000),
    "user_held_streams": (0, 10_000),
    "address_held_streams": (0, 10_000),
    "connect_rate_per_s": (0.1, 10_000),
    "connect_burst": (1, 100_000),
    "address_pending": (1, 100_000),
    "pending": (1, 100_000),
    "anonymous_rate_per_s": (0.01, 10_000),
    "anonymous_burst": (1, 100_000),
    "failure_rate_per_s": (0.01, 10_000),
    "failure_burst": (1, 100_000),
}
DEFAULT_LIMITS: Final = StageLimits()
assert RANGES.keys() == {field.name for field in fields(StageLimits)}
