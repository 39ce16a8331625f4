"""The edge's faults: each as often as asked, by seed, and refusals now and then in rows."""

from itertools import groupby

import pytest

from localstack.edge.faults import Fault, Operation
from tests.torture.faults import EdgeFaults


def fates(
    seed: int, operation: Operation, *, count: int = 8_000, one_in: int = 80
) -> tuple[EdgeFaults, list[Fault | None]]:
    faults = EdgeFaults(seed)
    faults.one_in = one_in
    return faults, [faults.next(operation) for _ in range(count)]


@pytest.mark.parametrize("operation", ["post", "invoke"])
def test_each_fault_hits_one_in_so_many_calls_at_least(operation: Operation) -> None:
    faults, _ = fates(1, operation)
    shares = [(name, share) for name, _hits, share in faults.shares() if name.startswith(operation)]
    assert len(shares) == {"post": 5, "invoke": 2}[operation]
    assert all(share >= 0.0115 for _name, share in shares), shares


def test_some_refusals_come_in_rows_that_outlast_three_tries() -> None:
    _, outcomes = fates(1, "post")
    rows = [len(list(row)) for status, row in groupby(outcomes, lambda fault: fault and fault.status) if status == 429]
    assert max(rows) > 20
    assert rows.count(1) > 50


def test_the_same_seed_gives_the_same_fates() -> None:
    assert fates(1, "post")[1] == fates(1, "post")[1]
    assert fates(1, "post")[1] != fates(2, "post")[1]


def test_nothing_goes_wrong_unless_asked() -> None:
    faults, outcomes = fates(1, "post", one_in=0)
    assert set(outcomes) == {None}
    assert not faults.calls
