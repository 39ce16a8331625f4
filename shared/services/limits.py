"""Rate limits: what one connection, one user and one channel may send.

Where the buckets live, and what they cost, is argued in docs/adr/0006-rate-limits.md: a process lets through a tenth of
each rate by itself, at no cost; what is hotter than that is counted in the store, by several tokens at a time.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from shared.domain.principal import Principal
from shared.domain.rate import Rate
from shared.errors import RateLimitedError, UnavailableError
from shared.namespaces import Namespaces
from shared.ports import BucketStore, Metrics

# Of every rate, this part is let through by a process without asking: so few processes serve one connection at a time
# that all of them together stay near the rate.
_FREE_SHARE: Final = 0.1
_LEASE_SHARE: Final = 0.1  # of the burst, at most, is taken from the store at once
_LEASE_GROWTH: Final = 4  # the first lease, and how many times as much the next one is: a batch of 100 is soon counted
_KEYS_REMEMBERED: Final = 5_000
# Every request of a connection counts, whatever it is.
CONNECTION_RATE: Final = Rate(per_s=100, burst=300)


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
    _known: OrderedDict[str, _Local] = field(default_factory=OrderedDict)

    def request(self, connection_id: str) -> None:
        """Count a request of a connection.

        Raises:
            RateLimitedError: There were too many.
        """
        self._take(f"connection:{connection_id}", CONNECTION_RATE)

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

    def _take(self, key: str, rate: Rate) -> None:
        now_ms, local = self.now_ms(), self._local(key)
        free = Rate(rate.per_s * _FREE_SHARE, max(1.0, rate.burst * _FREE_SHARE))
        if free.wait_ms(local.free_full_at_ms, now_ms, 1) == 0:
            local.free_full_at_ms = free.full_at_ms(local.free_full_at_ms, now_ms, 1)
            return
        if not local.lease:
            self._lease(key, rate, local, now_ms)
        local.lease -= 1

    def _lease(self, key: str, rate: Rate, local: _Local, now_ms: int) -> None:
        """Take tokens from the store: four times as many as last time, and one if so many are not there."""
        if now_ms < local.refused_until_ms:
            raise self._refusal(local.refused_until_ms - now_ms)
        wanted = max(1, min(max(1, local.leased) * _LEASE_GROWTH, int(rate.burst * _LEASE_SHARE)))
        try:
            wait_ms = self.store.take(key, rate, wanted, now_ms=now_ms)
            if wait_ms and wanted > 1:
                wanted = 1
                wait_ms = self.store.take(key, rate, 1, now_ms=now_ms)
        except UnavailableError:
            # A limit that can't be counted does not stop what it should only slow down.
            self.metrics.count("LimitsNotCounted")
            local.lease = 1
            return
        if wait_ms:
            local.leased = 0
            local.refused_until_ms = now_ms + wait_ms
            raise self._refusal(wait_ms)
        local.lease = local.leased = wanted

    def _refusal(self, wait_ms: float) -> RateLimitedError:
        self.metrics.count("RateLimited")
        return RateLimitedError("too many in this time", retry_after_ms=max(1, round(wait_ms)))

    def _local(self, key: str) -> _Local:
        local = self._known.setdefault(key, _Local())
        self._known.move_to_end(key)
        if len(self._known) > _KEYS_REMEMBERED:
            self._known.popitem(last=False)
        return local
