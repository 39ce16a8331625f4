"""A run's figures as a table, and what of them falls short of what was promised."""

from collections.abc import Iterator
from typing import Final, get_args

from tests.torture.checker import Finding, Kind, Report
from tests.torture.run import Outcome, Plan

_ACKNOWLEDGED_MIN: Final = 0.99
_PUSHED_MIN: Final = 0.95
_HIT_MIN: Final = 0.01
# Publications in places that everybody was excused from reading can't be checked.
_DARK_MAX: Final = 0.001
# 50 kills and 200 cuts in a long run of 50,000 publications.
_PUBLICATIONS_PER_KILL: Final = 1_000
_PUBLICATIONS_PER_CUT: Final = 250
_FINDINGS_SHOWN: Final = 20
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


def table(plan: Plan, outcome: Outcome) -> str:
    """Return the figures, one a line."""
    phases = outcome.faulty, outcome.calm
    rows: list[tuple[str, ...]] = [("", "with faults", "calm"), ("seed", str(plan.seed), "")]

    def row(name: str, *values: object) -> None:
        rows.append((name, *map(str, values), *[""] * (2 - len(values))))

    row("seconds", *(f"{phase.seconds:.0f}" for phase in phases))
    row("publications", *(phase.report.publications for phase in phases))
    row("... a second", *(f"{phase.report.publications / phase.seconds:.0f}" for phase in phases))
    row("... acknowledged", *(f"{_acknowledged(phase.report):.2%}" for phase in phases))
    row("... sent again", *(phase.retries for phase in phases))
    row("... over 1,000 later", *(phase.late_repeats for phase in phases))
    row("subscribers", *(phase.report.subscribers for phase in phases))
    row("handed over", *(phase.report.handed.total() for phase in phases))
    row("... that came by push", *(f"{phase.report.pushed_share:.2%}" for phase in phases))
    row("connections anew", *(phase.reconnects for phase in phases))
    row("recovered whole", *(phase.report.recovered for phase in phases))
    row("too far behind for it", *(phase.report.too_far_behind for phase in phases))
    row("member lists wrong", *(phase.wrong_lists for phase in phases))
    row("places nobody could read", *(phase.report.dark for phase in phases))
    row("sockets cut", outcome.cuts)
    row("workers killed", outcome.kills)
    row("... while at work", outcome.interrupted)
    row("workers invoked by hand", outcome.faulty.worker_invocations)
    row("... records stored before", outcome.faulty.records_again)
    row("dead letters", outcome.dead_letters)
    for name, hits, share in outcome.faults:
        row(f"fault: {name}", f"{share:.2%} ({hits})")
    for kind in _KINDS:
        row(kind.replace("_", " "), *(phase.report.count(kind) for phase in phases))
    return "\n".join(f"{name:<28}{faulty:>16}{calm:>12}" for name, faulty, calm in rows)


def unmet(plan: Plan, outcome: Outcome) -> list[str]:
    """Return what was promised and is not so."""
    return list(_unmet(plan, outcome))


def findings(outcome: Outcome) -> list[Finding]:
    """Return some of what the checker found."""
    return [*outcome.faulty.report.findings, *outcome.calm.report.findings][:_FINDINGS_SHOWN]


def _unmet(plan: Plan, outcome: Outcome) -> Iterator[str]:
    for name, phase, count in (("faults", outcome.faulty, plan.publications), ("calm", outcome.calm, plan.calm)):
        report = phase.report
        for kind in _KINDS:
            if report.count(kind):
                yield f"{name}: {report.count(kind)} {kind.replace('_', ' ')}"
        if phase.wrong_lists:
            yield f"{name}: {phase.wrong_lists} lists of members were not right in the end"
        if not phase.drained:
            yield f"{name}: not everybody had everything in time"
        if report.publications < count:
            yield f"{name}: {report.publications} publications of {count}"
        if report.subscribers < plan.subscribers * (plan.rounds if phase is outcome.faulty else 1):
            yield f"{name}: {report.subscribers} subscribers, not {plan.subscribers} a round"
        if report.dark > _DARK_MAX * report.publications:
            yield f"{name}: {report.dark} places that nobody could read"
        if _acknowledged(report) < _ACKNOWLEDGED_MIN:
            yield f"{name}: {_acknowledged(report):.2%} acknowledged, not {_ACKNOWLEDGED_MIN:.0%}"
    if outcome.calm.report.pushed_share < _PUSHED_MIN:
        yield f"{outcome.calm.report.pushed_share:.2%} came by push, not {_PUSHED_MIN:.0%}"
    for fault, hits, share in outcome.faults:
        if share < _HIT_MIN:
            yield f"fault {fault} hit {share:.2%} of its calls ({hits}), not {_HIT_MIN:.0%}"
    if outcome.dead_letters:
        yield f"{outcome.dead_letters} dead letters"
    if outcome.kills < plan.publications // _PUBLICATIONS_PER_KILL:
        yield f"only {outcome.kills} workers were killed"
    if outcome.cuts < plan.publications // _PUBLICATIONS_PER_CUT:
        yield f"only {outcome.cuts} sockets were cut"


def _acknowledged(report: Report) -> float:
    return report.acknowledged / max(1, report.publications)
