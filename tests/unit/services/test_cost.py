"""What this month comes to."""

from datetime import UTC, datetime

import pytest

from shared.adapters.memory import MemoryMetricSource
from shared.domain.prices import NOT_COUNTED_LOCALLY, PRICES
from shared.domain.principal import Principal
from shared.errors import ForbiddenError
from shared.ports import Measure
from shared.services.cost import Cost
from tests.unit.stack import Clock

ROOT = Principal("root", {"*": ["admin"]})
NOW = datetime(2027, 2, 28, 23, 59, 30, tzinfo=UTC)
DAY_S = 86_400


@pytest.fixture
def clock() -> Clock:
    return Clock(int(NOW.timestamp() * 1000))


@pytest.fixture
def source() -> MemoryMetricSource:
    return MemoryMetricSource()


@pytest.fixture
def cost(source: MemoryMetricSource, clock: Clock) -> Cost:
    return Cost(source, clock, local=False)


def test_all_days_of_the_month_are_summed_up_and_priced(cost: Cost, source: MemoryMetricSource) -> None:
    first_s = int(datetime(2027, 2, 1, tzinfo=UTC).timestamp())
    days = {first_s - DAY_S: 9e9, first_s: 1_000_000.0, first_s + 27 * DAY_S: 500_000.0}
    source.values[Measure("DynamoDbWriteUnits")] = days
    source.values[Measure("LambdaGbSeconds")] = {first_s + DAY_S: 1_000.0}
    bill = cost.month(ROOT)
    assert bill.since_s == first_s
    used = {one.price.metric: one for one in bill.used}
    assert list(used) == [price.metric for price in PRICES]
    assert used["DynamoDbWriteUnits"].quantity == 1_500_000
    assert used["DynamoDbWriteUnits"].usd == pytest.approx(0.9375)
    assert used["LambdaGbSeconds"].usd == pytest.approx(0.0133334)
    assert used["SqsRequests"].usd == 0
    assert bill.usd == pytest.approx(0.9375 + 0.0133334)


def test_the_next_month_begins_with_nothing(cost: Cost, source: MemoryMetricSource, clock: Clock) -> None:
    source.values[Measure("SqsRequests")] = {int(NOW.timestamp()) // DAY_S * DAY_S: 1_000_000.0}
    assert cost.month(ROOT).usd == pytest.approx(0.4)
    clock.pass_s(30)
    bill = cost.month(ROOT)
    assert (bill.usd, bill.since_s) == (0, int(datetime(2027, 3, 1, tzinfo=UTC).timestamp()))


def test_cloudwatch_is_asked_once_a_minute(cost: Cost, source: MemoryMetricSource, clock: Clock) -> None:
    first = cost.month(ROOT)
    clock.pass_s(29)
    assert cost.month(ROOT) is first
    clock.pass_s(1)
    assert cost.month(ROOT) is not first
    assert len(source.asked) == 2


def test_what_is_not_counted_is_told(source: MemoryMetricSource, clock: Clock) -> None:
    assert NOT_COUNTED_LOCALLY in Cost(source, clock, local=True).month(ROOT).not_counted
    assert NOT_COUNTED_LOCALLY not in Cost(source, clock, local=False).month(ROOT).not_counted


@pytest.mark.parametrize("capabilities", [{}, {"*": ["publish"]}, {"room:*": ["admin"]}])
def test_it_is_for_admins_alone(cost: Cost, capabilities: dict[str, list[str]]) -> None:
    cost.month(ROOT)
    with pytest.raises(ForbiddenError):
        cost.month(Principal("ann", capabilities))
