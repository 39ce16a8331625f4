"""docs/quotas.md has the tables as they are counted, and a fan-out keeps to the account's quota."""

from typing import Final

import pytest

from bench.quotas.account import QUOTAS, READ_ON, REQUESTS_PER_S, SIZES, Load, first
from bench.quotas.schedule import Scenario, Schedule
from bench.quotas.tables import SCENARIOS, schedule_row, share_table
from bench.quotas.virtual_time import VirtualTime
from infra.stage import StageConfig
from localstack.deploy import ROOT

_STAGE: Final = StageConfig("prod")
_FUNCTION_PER_S: Final = _STAGE.push_rate_per_s // _STAGE.push_concurrency
_SUBSCRIBERS: Final = 5_000
_PAGE: Final = (ROOT / "docs" / "quotas.md").read_text()


def test_the_page_has_the_table_as_it_is_counted() -> None:
    assert share_table() in _PAGE
    assert READ_ON in _PAGE


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_the_page_has_each_scenario_as_it_is_simulated(scenario: Scenario) -> None:
    assert f"| {' | '.join(schedule_row(scenario))} |" in _PAGE


def test_what_is_asked_for_has_room() -> None:
    load = Load(SIZES[-1])
    asked = {quota.name: quota.ask(load) for quota in QUOTAS}
    for quota in QUOTAS:
        limit = asked[quota.name] or quota.limit
        assert quota.takes(load) <= 0.61 * limit
    assert asked[first(load).name] is not None
    assert all(quota.ask(Load(SIZES[0])) is None for quota in QUOTAS)


def test_a_fan_out_that_has_the_account_for_itself_is_never_refused_and_reaches_all() -> None:
    seen = Schedule(_STAGE, Scenario(1, _SUBSCRIBERS)).run()
    assert (seen.delivered, seen.throttled, seen.given_up) == (_SUBSCRIBERS, 0, 0)
    # The event's own function pushes beside those of the queue. 10 ms late is not too late: a pacer's few more.
    functions = _STAGE.push_concurrency + 1
    assert seen.functions == functions
    assert seen.peak_per_s <= 1.02 * functions * _FUNCTION_PER_S < REQUESTS_PER_S


@pytest.mark.parametrize("scenario", [Scenario(1, _SUBSCRIBERS, inbound_per_s=8_000), Scenario(600, 20)])
def test_what_the_account_refuses_comes_later_to_all(scenario: Scenario) -> None:
    seen = Schedule(_STAGE, scenario).run()
    assert seen.throttled > 0
    assert seen.peak_per_s <= REQUESTS_PER_S - scenario.inbound_per_s
    assert seen.delivered + seen.lagged == scenario.channels * scenario.subscribers
    assert seen.given_up == 0


def test_a_stage_that_allows_more_is_refused_more() -> None:
    seen = Schedule(StageConfig("prod", push_rate_per_s=30_000, push_concurrency=30), Scenario(1, 40_000)).run()
    assert seen.throttled > 0


def test_virtual_time_goes_from_one_event_to_the_next() -> None:
    time, seen = VirtualTime(), []

    def task(name: str, steps_s: list[float]) -> None:
        for step_s in steps_s:
            time.sleep_until(step_s)
            seen.append((name, time.now_s()))

    time.at(0, lambda: task("a", [1, 3]))
    time.at(2, lambda: task("b", [2.5, 4]))
    time.run(tasks_max=2)
    assert seen == [("a", 1), ("b", 2.5), ("a", 3), ("b", 4)]


def test_what_a_task_raises_is_raised() -> None:
    time = VirtualTime()

    def fail() -> None:
        raise ZeroDivisionError

    time.at(0, fail)
    with pytest.raises(ZeroDivisionError):
        time.run(tasks_max=1)
