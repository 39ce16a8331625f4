"""The tables of docs/quotas.md, in Markdown."""

from collections.abc import Sequence
from typing import Final

from bench.quotas.account import QUOTAS, SIZES, Load, first
from bench.quotas.schedule import Scenario, Schedule
from infra.stage import StageConfig

SCENARIOS: Final = (
    Scenario(1, 10_000),
    Scenario(1, 100_000),
    Scenario(1, 100_000, inbound_per_s=4_000),
    Scenario(10, 10_000),
    Scenario(5_000, 20),
)


def share_table() -> str:
    """Return what each quota has to give at each size, and what to ask for."""
    heads = ["quota (default)", *(f"{size:,}" for size in SIZES), f"ask for, at {SIZES[-1]:,}", "source"]
    rows = [heads, ["---", *(["---:"] * (len(SIZES) + 1)), "---"]]
    loads = [Load(size) for size in SIZES]
    for quota in QUOTAS:
        cells = []
        for load in loads:
            cell = f"{quota.takes(load):,.1f} ({quota.share(load):.1%})"
            cells.append(f"**{cell}**" if quota is first(load) else cell)
        ask = quota.ask(loads[-1])
        rows.append([f"{quota.name} ({quota.limit:,})", *cells, "no more" if ask is None else f"{ask:,}", quota.source])
    return _table(rows)


def schedule_row(scenario: Scenario) -> list[str]:
    """Simulate one, and return its row."""
    seen = Schedule(StageConfig("prod"), scenario).run()
    return [
        f"{scenario.channels:,} x {scenario.subscribers:,}",
        f"{scenario.inbound_per_s:,}",
        f"{seen.delivered_s:.1f} s",
        f"{seen.peak_per_s:,}",
        f"{seen.functions:,}",
        f"{seen.throttled:,}",
        f"{seen.lagged:,}",
        f"{seen.given_up:,}",
    ]


def schedule_table() -> str:
    """Return what becomes of each scenario."""
    heads = [
        "channels x subscribers",
        "inbound/s",
        "all told after",
        "peak calls/s",
        "functions at a time",
        "429",
        "told `lagged`",
        "given up",
    ]
    return _table([heads, ["---", *(["---:"] * 7)], *map(schedule_row, SCENARIOS)])


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
