"""A short run of ``make torture``: every fault, every promise."""

from pathlib import Path

import pytest

from tests.torture.report import findings, table, unmet
from tests.torture.run import Plan, torture

# Half a minute where nothing else runs. It is given time: on a busy machine all of it waits for processors.
_TIMEOUT_S = 900


@pytest.mark.timeout(_TIMEOUT_S)
def test_a_short_run_keeps_every_promise(tmp_path: Path) -> None:
    plan = Plan(
        seed=1,
        publications=1_000,
        rounds=1,
        calm=100,
        subscribers=6,
        clients=3,
        publishers=3,
        channels=4,
        channels_each=3,
        rate_per_s=60,
        calm_rate_per_s=20,
        ahead_max=500,
        workers=4,
        warm_after=100,
        fault_one_in=60,
        publications_per_kill=150,
        publications_per_cut=60,
        publications_per_worker_records=100,
        drain_s=_TIMEOUT_S / 3,
    )
    lines: list[str] = []
    outcome = torture(plan, tmp_path, lines.append)
    told = "\n".join([*lines, table(plan, outcome), *map(str, findings(outcome))])
    assert unmet(plan, outcome) == [], told
