"""What was measured, for whoever looks in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.domain.principal import Principal
from shared.ports import Measure, MetricSource, Statistic
from shared.services.admin import check_admin

MINUTES_MIN: Final = 5
MINUTES_MAX: Final = 1_440
MEASURES: Final = (
    *map(
        Measure,
        (
            *("Publishes", "PublicationsAppended", "Deliveries", "Requests", "Connects", "Disconnects"),
            *("Recovered", "RecoveryRefused", "GapsFilled", "DuplicatesDropped"),
            *("RequestErrors", "RateLimited", "PublicationsRefused", "ProcessorFailures", "ResolverFailures"),
            *("CommandFailures", "CommandTimeouts", "RecordsBuried"),
            *("DeliveriesGivenUp", "DeliveriesDelayed", "StaleConnectionsRemoved"),
        ),
    ),
    *(Measure("PublishToDeliverLatency", statistic) for statistic in ("p50", "p90", "p99")),
)
# Up to so many minutes, in periods of so many seconds; so an answer has 180 periods at most.
_PERIODS_S: Final = ((15, 10), (180, 60), (MINUTES_MAX, 900))
# CloudWatch is asked again when a new period has begun, and at the latest after this.
_FRESH_S: Final = 60
_REMEMBERED: Final = 8


@dataclass(frozen=True, slots=True)
class Series:
    """One measure over the time asked for; ``None`` where nothing was measured."""

    name: str
    statistic: Statistic
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Measured:
    """All measures; value ``i`` of each is of the period that begins at ``from_s + i * period_s``."""

    from_s: int
    period_s: int
    series: Sequence[Series]


@dataclass(frozen=True, slots=True)
class Measurements:
    """Reads what was measured. Each answer is kept for a while, so that several who look in cost no more than one."""

    source: MetricSource
    now_ms: Callable[[], int]
    _kept: dict[int, tuple[int, Measured]] = field(default_factory=dict)

    def last(self, principal: Principal, minutes: int) -> Measured:
        """Return what was measured in the last so many minutes, the period that has just begun included.

        Raises:
            ForbiddenError: The principal is no admin.
        """
        check_admin(principal)
        now_s = self.now_ms() // 1000
        period_s = next(period_s for at_most, period_s in _PERIODS_S if minutes <= at_most)
        fresh = now_s // min(period_s, _FRESH_S)
        kept = self._kept.get(minutes)
        if kept is not None and kept[0] == fresh:
            return kept[1]
        measured = self._read(now_s, minutes, period_s)
        if len(self._kept) >= _REMEMBERED:
            self._kept.clear()
        self._kept[minutes] = fresh, measured
        return measured

    def _read(self, now_s: int, minutes: int, period_s: int) -> Measured:
        until_s = (now_s // period_s + 1) * period_s
        periods = -(-minutes * 60 // period_s)
        from_s = until_s - periods * period_s
        found = self.source.read(MEASURES, from_s=from_s, until_s=until_s, period_s=period_s)
        starts = range(from_s, until_s, period_s)
        series = [
            Series(measure.name, measure.statistic, [values.get(start_s) for start_s in starts])
            for measure, values in zip(MEASURES, found, strict=True)
        ]
        return Measured(from_s, period_s, series)
