"""What others take, reckoned by hand from what they publish (docs/cost.md)."""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given

from tests.unit.client.cli.test_cost_model import workloads
from tidewire.cli.cost.others import Quote, quotes
from tidewire.cli.cost.workload import Workload

# 100 connections for a month of 730 hours, of which ten hear each publication; one a second in all.
SMALL: Final = Workload(
    connections=100,
    publishes_per_s=1,
    subscribers=10,
    channels=10,
    message_bytes=250,
    priority="normal",
    by="websocket",
    connection_minutes=30,
    lambda_ms=30,
    pace_ms=0,
    hours=730,
    users=100,
)
PUBLICATIONS: Final = 730 * 3600  # 2.628 million: 28.9 million messages with those that are delivered
MINUTES: Final = 100 * 730 * 60  # 4.38 million; of channels 0.438
CONNECTS: Final = MINUTES / 30


def quoted(who: str, workload: Workload) -> Quote:
    [quote] = [one for one in quotes(workload) if one.who == who]
    return quote


def test_ably_by_use_counts_whole_millions() -> None:
    quote = quoted("Ably, by use", SMALL)
    assert (quote.plan, quote.usd) == ("Standard", 29 + 29 * 2.5 + 5 + 1)


def test_ably_by_user_takes_more_for_who_uses_more() -> None:
    quote = quoted("Ably, by user", SMALL)
    beyond = (PUBLICATIONS * 11 - 100 * 20_000) / 1e6 * 2.5 + (MINUTES - 100 * 2_000) / 1e6
    assert quote.plan == "Standard"
    assert quote.usd == pytest.approx(29 + 5 + beyond)
    short = replace(SMALL, users=100_000)
    assert quoted("Ably, by user", short).usd == pytest.approx(29 + 5_000)


@pytest.mark.parametrize(
    ("workload", "plan"),
    [
        (replace(SMALL, publishes_per_s=0.2), "Free"),  # 5.8 million messages
        (replace(SMALL, publishes_per_s=0.21), "Standard"),
        (replace(SMALL, publishes_per_s=0.2, connections=201), "Standard"),
        (replace(SMALL, publishes_per_s=0.2, channels=201), "Standard"),
        (replace(SMALL, connections=10_000, publishes_per_s=220), "Standard"),
        (replace(SMALL, connections=10_001), "Pro"),
        (replace(SMALL, channels=10_001), "Pro"),
        (replace(SMALL, publishes_per_s=230), "Pro"),  # 2,530 messages a second
        (replace(SMALL, connections=50_001), "Enterprise"),
        (replace(SMALL, publishes_per_s=1_000), "Enterprise"),
    ],
)
def test_ablys_packages_end_somewhere(workload: Workload, plan: str) -> None:
    quote = quoted("Ably, by use", workload)
    assert (quote.plan, quote.usd is None, quote.usd == 0) == (plan, plan == "Enterprise", plan == "Free")
    if plan != "Free":
        assert quoted("Ably, by user", workload).plan == plan


@pytest.mark.parametrize(
    ("connections", "publishes_per_s", "plan", "usd"),
    [
        (100, 0.2, "Sandbox", 0),  # 190,080 messages a day
        (100, 0.3, "Startup", 49),
        (101, 0.2, "Startup", 49),
        (2_000, 1, "Pro", 99),
        (5_000, 1, "Business", 299),
        (10_000, 1, "Premium", 499),
        (15_000, 1, "Growth", 699),
        (20_000, 1, "Plus", 899),
        (30_000, 1, "Growth Plus", 1_199),
        (30_001, 1, "Enterprise", None),
        (100, 95, "Enterprise", None),  # 90.3 million a day
    ],
)
def test_pushers_plans(connections: int, publishes_per_s: float, plan: str, usd: float | None) -> None:
    quote = quoted("Pusher Channels", replace(SMALL, connections=connections, publishes_per_s=publishes_per_s))
    assert (quote.plan, quote.usd) == (plan, usd)


def test_pusher_takes_no_large_events() -> None:
    assert quoted("Pusher Channels", replace(SMALL, message_bytes=10_241)).usd is None


def test_pubnub() -> None:
    usd = PUBLICATIONS * 123 / 1e6 + PUBLICATIONS * 10 * 33 / 1e6
    assert quoted("PubNub, by transaction", SMALL).usd == pytest.approx(usd)
    assert quoted("PubNub, by transaction", replace(SMALL, message_bytes=2_049)).usd == pytest.approx(2 * usd)
    assert [quoted("PubNub, by user", replace(SMALL, users=users)).usd for users in (200, 201, 1_000, 1_001)] == [
        0,
        98,
        98,
        None,
    ]


def test_appsync_counts_operations_and_minutes_and_what_goes_out() -> None:
    operations = PUBLICATIONS * 11 + CONNECTS * 2
    usd = operations / 1e6 + 0.08 * MINUTES / 1e6  # 6.1 GB: less than what is everybody's
    assert quoted("AWS AppSync Events", SMALL).usd == pytest.approx(usd)
    large = replace(SMALL, message_bytes=5_121)
    out = (PUBLICATIONS * 10 * 5_121 / 2**30 - 100) * 0.09
    assert quoted("AWS AppSync Events", large).usd == pytest.approx(usd + PUBLICATIONS * 11 / 1e6 + out)


def test_iot_core_becomes_cheaper_by_number() -> None:
    messages = PUBLICATIONS * 11 + CONNECTS * 2
    assert quoted("AWS IoT Core", SMALL).usd == pytest.approx(messages / 1e6 + 0.08 * MINUTES / 1e6)
    much = replace(SMALL, publishes_per_s=200)
    messages = PUBLICATIONS * 200 * 11 + CONNECTS * 2
    usd = 1_000 + 4_000 * 0.8 + (messages / 1e6 - 5_000) * 0.7
    assert quoted("AWS IoT Core", much).usd == pytest.approx(usd + 0.08 * MINUTES / 1e6)


def test_others_keep_a_connection_for_longer_than_two_hours() -> None:
    day, hour = (replace(SMALL, publishes_per_s=0, connection_minutes=minutes) for minutes in (1_440, 60))
    for who in ("AWS AppSync Events", "AWS IoT Core"):
        longer, shorter = quoted(who, day).usd, quoted(who, hour).usd
        assert longer is not None and shorter is not None
        assert shorter - longer == pytest.approx(2 * MINUTES * (1 / 60 - 1 / 1_440) / 1e6)


@given(workloads)
def test_each_says_why_and_none_pays_for_it(workload: Workload) -> None:
    for quote in quotes(workload):
        assert quote.why and quote.plan
        assert quote.usd is None or quote.usd >= 0
