"""The bill: units, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from tidewire.cli.cost.tables import PRICES
from tidewire.cli.cost.units import quantities
from tidewire.cli.cost.workload import Workload


@dataclass(frozen=True, slots=True)
class Line:
    """One thing, and what it costs in the month."""

    service: str
    what: str
    quantity: float
    usd: float

    @property
    def usd_per_million(self) -> float:
        """On average: some things become cheaper by their number."""
        return self.usd / self.quantity * 1_000_000


@dataclass(frozen=True, slots=True)
class Bill:
    """All of it, dearest services first, and in each the dearest lines."""

    lines: Sequence[Line]

    @property
    def usd(self) -> float:
        """What all of it costs."""
        return sum(line.usd for line in self.lines)

    @property
    def services(self) -> dict[str, float]:
        """What each service costs."""
        services: dict[str, float] = {}
        for line in self.lines:
            services[line.service] = services.get(line.service, 0.0) + line.usd
        return services

    @property
    def largest(self) -> Sequence[Line]:
        """The three that cost most."""
        return sorted(self.lines, key=lambda line: line.usd, reverse=True)[:3]


def bill(workload: Workload) -> Bill:
    """Return what AWS takes for the workload in a month."""
    used = quantities(workload)
    lines = [
        Line(one.service, one.what, used[one.metric], one.usd(used[one.metric]))
        for one in PRICES
        if used.get(one.metric)
    ]
    services = Bill(lines).services
    return Bill(sorted(lines, key=lambda line: (-services[line.service], line.service, -line.usd)))
