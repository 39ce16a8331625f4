"""Rate limits: what one connection, user, channel and address may send. How much: docs/limits.md.

Where the buckets live, and what they cost, is argued in docs/adr/0006-rate-limits.md: a process lets through a tenth of
each rate by itself, at no cost; what is hotter than that is counted in the store, by several tokens at a time.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from shared.domain.principal import Principal
from shared.domain.rate import Rate
from shared.domain.stage_limits import DEFAULT_LIMITS, StageLimits
from shared.errors import RateLimitedError, UnavailableError
from shared.namespaces import Namespaces
from shared.ports import BucketStore, Metrics

# Of every rate, this part is let through by a process without asking: so few processes serve one connection at a time
# that all of them together stay near the rate.
_FREE_SHARE: Final = 0.1
_LEASE_SHARE: Final = 0.1  # of the burst, at most, is taken from the store at once
_LEASE_GROWTH: Final = 4  # the first lease, and how many times as much the next one is: a batch of 100 is soon counted
_KEYS_REMEMBERED: Final = 5_000


@dataclass(slots=True)
class _Local:
    """What a process knows of one bucket.

    Attributes:
        free_full_at_ms: When the process's own part is whole again.
        lease: Tokens taken from the store and not used yet.
        leased: How many were taken last.
        refused_until_ms: Nothing will be had before.
    """

    free_full_at_ms: float = 0
    lease: int = 0
    leased: int = 0
    refused_until_ms: float = 0


@dataclass(frozen=True, slots=True)
class RateLimits:
    """One object per process."""

    store: BucketStore
    namespaces: Namespaces
    metrics: Metrics
    now_ms: Callable[[], int]
    stage: StageLimits = DEFAULT_LIMITS
    _known: OrderedDict[str, _Local] = field(default_factory=OrderedDict)

    def request(self, connection_id: str) -> None:
        """Count a request of a connection.

        Raises:
            RateLimitedError: There were too many.
        """
        self._take(f"connection:{connection_id}", self.stage.rate("request"))

    def received(self, connection_id: str, size_bytes: int) -> None:
        """Count what a connection sent, whatever it is.

        Raises:
            RateLimitedError: There was too much.
        """
        # What is larger than a frame may be is refused whole, so it need not fit the bucket.
        self._take(f"bytes:{connection_id}", self.stage.rate("bytes"), min(size_bytes, self.stage.bytes_burst))

    def hello(self, identifier: str) -> None:
        """Count a ``hello`` or ``refresh`` of a connection, or that a session is taken up by HTTP.

        Raises:
            RateLimitedError: There were too many.
        """
        self._take(f"hello:{identifier}", self.stage.rate("hello"))

    def http_request(self, user_id: str, *, server: bool = False) -> None:
        """Count an HTTP request of a user, or of a server.

        Raises:
            RateLimitedError: There were too many.
        """
        kind = "server_http" if server else "user_http"
        self._take(f"{kind}:{user_id}", self.stage.rate(kind))

    def ticket(self, user_id: str) -> None:
        """Count a ticket that a user is to be given.

        Raises:
            RateLimitedError: There were too many.
        """
        self._take(f"ticket:{user_id}", self.stage.rate("ticket"))

    def connect(self, address: str, *, pending: bool) -> None:
        """Count a WebSocket that is being opened: of its address, then of the stage while it is nobody's.

        Raises:
            RateLimitedError: There are too many.
        """
        if address:
            self._take(f"connect:{address}", self.stage.rate("connect"))
            if pending:
                self._take(f"pending:{address}", self.stage.rate_of_pending(self.stage.address_pending))
        if pending:  # last: what an address is refused takes nothing from everybody
            self._take("pending", self.stage.rate_of_pending(self.stage.pending))

    def anonymous(self, address: str) -> None:
        """Count a call that nobody has to be known for.

        Raises:
            RateLimitedError: There were too many.
        """
        if address:
            self._take(f"anonymous:{address}", self.stage.rate("anonymous"))

    def failed(self, address: str) -> None:
        """Count a call that was refused since nobody knows who it is.

        Raises:
            RateLimitedError: There were too many.
        """
        if address:
            self._take(f"failure:{address}", self.stage.rate("failure"))

    def check_failures(self, address: str) -> None:
        """See whether :meth:`failed` has just said no, before something is looked up that costs a read or a write.

        Raises:
            RateLimitedError: It has, in this process.
        """
        left_ms = self._local(f"failure:{address}").refused_until_ms - self.now_ms()
        if left_ms > 0:
            raise self._refusal(left_ms)

    def publish(self, principal: Principal, channel: str) -> None:
        """Count a publication: of its user in the channel (servers have no such limit), and of the channel.

        Raises:
            RateLimitedError: There were too many.
        """
        settings = self.namespaces.of(channel)
        if not principal.server:
            rate = Rate(settings.publish_rate_per_s, settings.publish_burst)
            # No channel has a space: where the first one is, the user begins, whatever they are called.
            self._take(f"user:{channel} {principal.user_id}", rate)
        self._take(f"channel:{channel}", Rate(settings.channel_rate_per_s, settings.channel_burst))

    def _take(self, key: str, rate: Rate, tokens: int = 1) -> None:
        now_ms, local = self.now_ms(), self._local(key)
        free = Rate(rate.per_s * _FREE_SHARE, max(1.0, rate.burst * _FREE_SHARE))
        if free.wait_ms(local.free_full_at_ms, now_ms, tokens) == 0:
            local.free_full_at_ms = free.full_at_ms(local.free_full_at_ms, now_ms, tokens)
            return
        if local.lease < tokens:
            self._lease(key, rate, local, now_ms, tokens - local.lease)
        local.lease -= tokens

    def _lease(self, key: str, rate: Rate, local: _Local, now_ms: int, missing: int) -> None:
        """Take tokens from the store: four times as many as last time; those missing if so many are not there."""
        if now_ms < local.refused_until_ms:
            raise self._refusal(local.refused_until_ms - now_ms)
        wanted = max(missing, min(max(missing, local.leased) * _LEASE_GROWTH, int(rate.burst * _LEASE_SHARE)))
        try:
            wait_ms = self.store.take(key, rate, wanted, now_ms=now_ms)
            if wait_ms and wanted > missing:
                wanted = missing
                wait_ms = self.store.take(key, rate, missing, now_ms=now_ms)
        except UnavailableError:
            # A limit that can't be counted does not stop what it should only slow down.
            self.metrics.count("LimitsNotCounted")
            local.lease += missing
            return
        if wait_ms:
            local.leased = 0
            local.refused_until_ms = now_ms + wait_ms
            raise self._refusal(wait_ms)
        local.lease += wanted
        local.leased = wanted

    def _refusal(self, wait_ms: float) -> RateLimitedError:
        self.metrics.count("RateLimited")
        return RateLimitedError("too many in this time", retry_after_ms=max(1, round(wait_ms)))

    def _local(self, key: str) -> _Local:
        local = self._known.setdefault(key, _Local())
        self._known.move_to_end(key)
        if len(self._known) > _KEYS_REMEMBERED:
            self._known.popitem(last=False)
        return local
