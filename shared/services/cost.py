"""What this month's use comes to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from shared.domain.prices import NOT_COUNTED, NOT_COUNTED_LOCALLY, PRICES, Price
from shared.domain.principal import Principal
from shared.ports import Measure, MetricSource
from shared.services.admin import check_admin

_DAY_S: Final = 86_400
_FRESH_S: Final = 60  # each time, CloudWatch is paid for as many metrics as there are prices


@dataclass(frozen=True, slots=True)
class Used:
    """How much was used of something."""

    price: Price
    quantity: float

    @property
    def usd(self) -> float:
        """What it costs."""
        return self.price.usd(self.quantity)


@dataclass(frozen=True, slots=True)
class Bill:
    """What was used since then, and what was not counted."""

    since_s: int
    used: Sequence[Used]
    not_counted: Sequence[str]

    @property
    def usd(self) -> float:
        """What all of it costs."""
        return sum(one.usd for one in self.used)


@dataclass(frozen=True, slots=True)
class Cost:
    """Sums up what was counted, by the day.

    Attributes:
        local: HTTP is served where nothing counts it.
    """

    source: MetricSource
    now_ms: Callable[[], int]
    local: bool
    _kept: dict[int, Bill] = field(default_factory=dict)

    def month(self, principal: Principal) -> Bill:
        """Return what this month's use comes to (UTC): as it was a minute ago at most.

        Raises:
            ForbiddenError: The principal is no admin.
        """
        check_admin(principal)
        now_s = self.now_ms() // 1000
        fresh = now_s // _FRESH_S
        bill = self._kept.get(fresh)
        if bill is None:
            bill = self._read(now_s)
            self._kept.clear()
            self._kept[fresh] = bill
        return bill

    def _read(self, now_s: int) -> Bill:
        begun = datetime.fromtimestamp(now_s, UTC).replace(day=1, hour=0, minute=0, second=0)
        since_s, until_s = int(begun.timestamp()), (now_s // _DAY_S + 1) * _DAY_S
        measures = [Measure(price.metric) for price in PRICES]
        found = self.source.read(measures, from_s=since_s, until_s=until_s, period_s=_DAY_S)
        used = [Used(price, sum(days.values())) for price, days in zip(PRICES, found, strict=True)]
        return Bill(since_s, used, [*NOT_COUNTED, *([NOT_COUNTED_LOCALLY] if self.local else [])])
