"""What was measured: periods, gaps, and that several who look cost no more than one."""

import pytest

from shared.adapters.memory import MemoryMetricSource
from shared.domain.principal import Principal
from shared.errors import ForbiddenError
from shared.ports import Measure
from shared.services.measurements import MEASURES, Measurements
from tests.unit.stack import Clock

ROOT = Principal("root", {"*": ["admin"]}, issued_at_s=0, expires_at_s=None)
NOW_S = 1_800_000_007


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW_S * 1000)


@pytest.fixture
def source() -> MemoryMetricSource:
    return MemoryMetricSource()


@pytest.fixture
def measurements(source: MemoryMetricSource, clock: Clock) -> Measurements:
    return Measurements(source, clock)


@pytest.mark.parametrize(
    ("minutes", "period_s", "periods"),
    [(5, 10, 30), (15, 10, 90), (16, 60, 16), (180, 60, 180), (181, 900, 13), (1_440, 900, 96)],
)
def test_periods_are_as_long_as_cloudwatch_and_a_chart_can_do_with(
    measurements: Measurements, minutes: int, period_s: int, periods: int
) -> None:
    measured = measurements.last(ROOT, minutes)
    assert measured.period_s == period_s
    assert measured.from_s % period_s == 0
    until_s = measured.from_s + periods * period_s
    assert until_s - period_s <= NOW_S < until_s
    assert {len(series.values) for series in measured.series} == {periods}


def test_each_value_stands_in_its_period_and_gaps_are_none(
    measurements: Measurements, source: MemoryMetricSource
) -> None:
    source.values[Measure("Publishes")] = {NOW_S - 7 - 280: 2, NOW_S - 7: 3, NOW_S - 7 - 300: 99}
    source.values[Measure("PublishToDeliverLatency", "p90")] = {NOW_S - 7 - 10: 41.5}
    measured = measurements.last(ROOT, 5)
    by_name = {(series.name, series.statistic): series.values for series in measured.series}
    assert len(by_name) == len(MEASURES) == 24
    assert by_name["Publishes", "Sum"] == [None, 2, *[None] * 27, 3]
    assert by_name["PublishToDeliverLatency", "p90"] == [*[None] * 28, 41.5, None]
    assert set(by_name["PublishToDeliverLatency", "p50"]) == {None}


@pytest.mark.parametrize(("minutes", "fresh_s"), [(15, 10), (60, 60), (1_440, 60)])
def test_cloudwatch_is_asked_once_a_period_and_at_least_once_a_minute(
    measurements: Measurements, source: MemoryMetricSource, clock: Clock, minutes: int, fresh_s: int
) -> None:
    first = measurements.last(ROOT, minutes)
    clock.now_ms = (NOW_S // fresh_s + 1) * fresh_s * 1000 - 1
    assert measurements.last(ROOT, minutes) is first
    clock.now_ms += 1
    assert measurements.last(ROOT, minutes) is not first
    assert len(source.asked) == 2


def test_who_asks_for_something_else_is_not_given_what_is_remembered(
    measurements: Measurements, source: MemoryMetricSource
) -> None:
    for minutes in range(5, 30):
        periods = len(measurements.last(ROOT, minutes).series[0].values)
        assert periods == (minutes * 6 if minutes <= 15 else minutes)
    assert len(source.asked) == 25


@pytest.mark.parametrize("capabilities", [{}, {"*": ["publish"]}, {"room:*": ["admin"]}])
def test_nobody_but_an_admin_may_also_of_what_is_remembered(
    measurements: Measurements, source: MemoryMetricSource, capabilities: dict[str, list[str]]
) -> None:
    measurements.last(ROOT, 15)
    with pytest.raises(ForbiddenError):
        measurements.last(Principal("ann", capabilities, issued_at_s=0, expires_at_s=None), 15)
