"""What ``tidewire cost`` reckons: from the ledger's steps by the server's prices, and never cheaper for more."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.memory import MemoryMetricSource
from shared.domain.prices import PRICES, PRICES_NOT_COUNTED
from shared.domain.principal import Principal
from shared.ports import Measure
from shared.services.cost import Cost
from tests.unit.client.cli.conftest import ROOT
from tidewire.cli.cost.bill import bill
from tidewire.cli.cost.tables import PRICES as COPIED
from tidewire.cli.cost.tables import SERVER
from tidewire.cli.cost.units import quantities
from tidewire.cli.cost.workload import Way, Workload, between

FOLDER: Final = ROOT / "clients/python/src/tidewire/cli/cost"
# One connection, for an hour, whose own publications come to it, 20 a second: never a silence, and nothing held back.
TINY: Final = Workload(
    connections=1,
    publishes_per_s=20,
    subscribers=1,
    channels=1,
    message_bytes=250,
    priority="normal",
    by="websocket",
    connection_minutes=60,
    lambda_ms=30,
    pace_ms=100,
    hours=1,
    users=1,
)
SECONDS: Final = 3600
PUBLICATIONS: Final = 20 * SECONDS
FIXED: Final = {"CustomMetrics", "Secrets"}


def steps() -> Mapping[str, Any]:
    ledger: Mapping[str, Any] = json.loads(Path(FOLDER, "units.json").read_text())["steps"]
    return ledger


def by_hand(counts: Mapping[str, float]) -> defaultdict[str, float]:
    total: defaultdict[str, float] = defaultdict(float)
    for step, count in counts.items():
        for metric, units in steps()[step]["units"].items():
            total[metric] += units * count
    return total


def but_for_syncs(workload: Workload) -> float:
    used, asked = quantities(workload), by_hand({"sync": workload.syncs})
    prices = [price for price in PRICES if price.metric != "LambdaGbSeconds"]
    return sum(price.usd(used.get(price.metric, 0) - asked[price.metric]) for price in prices)


def test_a_small_bill_is_the_ledgers_units_by_the_prices() -> None:
    units = by_hand(
        {
            "connect": 1,
            "disconnect": 1,
            "connection_check": SECONDS / 640,
            "idle_minute": 60,
            "sync": SECONDS / 540,
            "publish_request": PUBLICATIONS,
            "batch": PUBLICATIONS,
            "delivery": PUBLICATIONS,
        }
    )
    units["WebSocketConnectionMinutes"] = 60
    units["LambdaGbSeconds"] = units["LambdaRequests"] * 0.030 * 1.0  # 1,024 MB
    used = quantities(TINY)
    for price in PRICES:
        assert used.get(price.metric, 0) == pytest.approx(units[price.metric]), price.metric
    counted = sum(units[price.metric] * price.usd_per_million / 1e6 for price in PRICES)
    beside = sum(price.usd(used[price.metric]) for price in PRICES_NOT_COUNTED)
    assert bill(TINY).usd == pytest.approx(counted + beside)


def test_the_console_would_show_the_same_for_what_it_counts() -> None:
    used = quantities(TINY)
    source = MemoryMetricSource()
    source.values = {Measure(metric): {0: quantity} for metric, quantity in used.items()}
    shown = Cost(source, lambda: 0, local=False).month(Principal("root", {"*": ["admin"]}))
    prices = {one.metric: one for one in COPIED}
    for one in shown.used:
        assert one.usd == pytest.approx(prices[one.price.metric].usd(used.get(one.price.metric, 0)))
    beside = {one.service for one in PRICES_NOT_COUNTED}
    assert shown.usd == pytest.approx(sum(line.usd for line in bill(TINY).lines if line.service not in beside))


def test_what_is_sent_and_logged() -> None:
    used = quantities(TINY)
    # 538 bytes are pushed for 250 of data, and 110 are answered to each publish, and to a hello and some syncs.
    assert used["DataTransferGb"] == pytest.approx((PUBLICATIONS * (538 + 110) + (1 + SECONDS / 540) * 110) / 2**30)
    assert used["LogGb"] == pytest.approx(used["LambdaRequests"] * 1000 / 2**30)
    assert used["Traces"] == pytest.approx(used["LambdaRequests"] / 20)
    assert (used["CustomMetrics"], used["Secrets"]) == (SERVER.metrics, 1)


def test_prices_are_the_servers() -> None:
    assert [one.metric for one in COPIED] == [one.metric for one in (*PRICES, *PRICES_NOT_COUNTED)]
    for ours, theirs in zip(COPIED, (*PRICES, *PRICES_NOT_COUNTED), strict=True):
        for quantity in (0, 1, 99, 101, 1e6, 299e6, 301e6, 1e9, 2e9, 1e12):
            assert ours.usd(quantity) == pytest.approx(theirs.usd(quantity))


@pytest.mark.parametrize(
    ("metric", "quantity", "usd"),
    [
        ("WebSocketMessages", 1e9, 1_000),
        ("WebSocketMessages", 3e9, 1_000 + 1_600),
        ("HttpApiRequests", 400e6, 300 + 90),
        ("DataTransferGb", 100, 0),
        ("DataTransferGb", 101, 0.09),
        ("DataTransferGb", 200 * 1024, 10_140 * 0.09 + 40_960 * 0.085 + 102_400 * 0.07 + 51_200 * 0.05),
    ],
)
def test_each_step_of_a_price_holds_for_what_lies_in_it(metric: str, quantity: float, usd: float) -> None:
    [price] = [one for one in COPIED if one.metric == metric]
    assert price.usd(quantity) == pytest.approx(usd)


def test_ten_that_are_held_back_are_one_batch() -> None:
    busy = replace(TINY, publishes_per_s=200)
    assert busy.together == SERVER.segment_max_publications == 10
    used, ten = quantities(busy), steps()["batch_of_ten"]["units"]
    often = {"publish_request": 200 * SECONDS, "sync": SECONDS / 540, "connection_check": SECONDS / 640}
    asked = by_hand(often | {"idle_minute": 60, "connect": 1, "disconnect": 1})
    batches = 20 * SECONDS
    for metric in ("DynamoDbWriteUnits", "EventBridgeEvents", "SqsFifoRequests", "LambdaRequests"):
        assert used[metric] == pytest.approx(asked[metric] + batches * ten[metric]), metric
    assert used["WebSocketMessages"] == pytest.approx(asked["WebSocketMessages"] + batches)


def test_a_worker_is_paid_for_as_long_as_it_holds_back() -> None:
    held = replace(TINY, publishes_per_s=50)
    computing_s = quantities(held)["LambdaRequests"] * held.lambda_ms / 1000
    assert quantities(held)["LambdaGbSeconds"] == pytest.approx(computing_s + held.batches * 0.1)
    for free in (TINY, replace(TINY, publishes_per_s=200), replace(held, priority="high"), replace(held, pace_ms=0)):
        assert free.held_s == 0  # the second has full batches, which go on at once


def test_what_is_put_into_a_quiet_channel_is_small_and_its_end_is_read_again() -> None:
    hourly = replace(TINY, publishes_per_s=1 / SECONDS)
    used, silent = quantities(hourly), quantities(replace(hourly, publishes_per_s=0))
    asked = hourly.syncs - SECONDS / 540
    for metric in ("DynamoDbReadUnits", "DynamoDbWriteUnits"):
        units = sum(steps()[step]["units"].get(metric, 0) for step in ("publish_request", "batch_quiet"))
        units += asked * steps()["sync"]["units"].get(metric, 0)
        assert used[metric] - silent[metric] == pytest.approx(units, rel=0.01), metric  # some come within a minute


@pytest.mark.parametrize(("a_minute", "units"), [(1, 1), (8, 1), (9, 2), (60, 2)])
def test_a_segment_has_a_ring_of_six_minutes(a_minute: int, units: int) -> None:
    used, silent = (quantities(replace(TINY, publishes_per_s=rate)) for rate in (a_minute / 60, 0))
    written = used["DynamoDbWriteUnits"] - silent["DynamoDbWriteUnits"]
    assert written / (a_minute / 60 * SECONDS) == pytest.approx(units)


def test_a_heartbeat_asks_about_each_channel() -> None:
    one = replace(TINY, publishes_per_s=0, channels=10, connections=10, subscribers=1)
    ten = replace(one, subscribers=10)
    more = quantities(ten)["DynamoDbReadUnits"] - quantities(one)["DynamoDbReadUnits"]
    subscribed = 9 * one.connects * steps()["subscribe"]["units"]["DynamoDbReadUnits"]
    assert more == pytest.approx(subscribed + 9 * one.heartbeats)


@pytest.mark.parametrize("priority", ["high", "express", "ephemeral"])
def test_who_has_no_time_is_not_held_back(priority: Any) -> None:
    assert replace(TINY, publishes_per_s=200, priority=priority).together == 1


def test_nobody_is_held_back_where_little_is_published() -> None:
    assert TINY.publishes_per_s == SERVER.paced_from_per_s
    assert TINY.together == 1
    assert replace(TINY, publishes_per_s=200, pace_ms=0).together == 1


def test_connections_end_after_two_hours() -> None:
    day = replace(TINY, hours=24, connection_minutes=24 * 60)
    assert day.connects == 12
    assert replace(day, connection_minutes=30).connects == 48


def test_by_http_no_frame_is_sent_to_publish() -> None:
    ways: tuple[Way, ...] = ("normal", "express", "ephemeral")
    for way in ways:
        silent = replace(TINY, priority=way)
        used = quantities(replace(silent, by="http"))
        assert used["HttpApiRequests"] == PUBLICATIONS
        assert quantities(silent)["WebSocketMessages"] - used["WebSocketMessages"] == pytest.approx(2 * PUBLICATIONS)


def test_large_data_takes_more_of_everything_that_goes_by_size() -> None:
    small, large = quantities(TINY), quantities(replace(TINY, message_bytes=20_000))
    assert (large["DynamoDbWriteUnits"] - small["DynamoDbWriteUnits"]) / PUBLICATIONS == pytest.approx(21 - 2)
    assert large["EventBridgeEvents"] == small["EventBridgeEvents"]
    ten = replace(TINY, message_bytes=20_000, publishes_per_s=200)
    assert quantities(ten)["EventBridgeEvents"] / (20 * SECONDS) == 4  # 203 KB
    assert quantities(ten)["WebSocketMessages"] / (200 * SECONDS) == pytest.approx(2 + 7 / 10, rel=1e-3)


def test_many_subscribers_are_read_in_pages_and_left_to_more_functions() -> None:
    crowd = replace(TINY, connections=10_000, subscribers=10_000, publishes_per_s=0.5)
    assert crowd.shards == 16
    used, few = quantities(crowd), quantities(replace(crowd, subscribers=1))
    batches = 0.5 * SECONDS
    assert (used["DynamoDbReadUnits"] - few["DynamoDbReadUnits"]) / batches > 10_000 * 68 / 4096 - 100
    assert used["SqsRequests"] - few["SqsRequests"] == pytest.approx(batches * 15 * 3)
    # A function pushes to 1,000 a second: 10 s of them all.
    assert used["LambdaGbSeconds"] > batches * 10


def test_express_to_many_is_left_to_fan_out() -> None:
    few = replace(TINY, connections=200, subscribers=100, publishes_per_s=100, priority="express")
    many = quantities(replace(few, subscribers=101))["LambdaRequests"] - quantities(few)["LambdaRequests"]
    assert many == pytest.approx(100 * SECONDS, rel=0.01)


def test_clients_that_hear_nothing_ask_by_their_heartbeat_alone() -> None:
    silent = replace(TINY, publishes_per_s=0)
    assert silent.syncs == pytest.approx(SECONDS / SERVER.heartbeat_s)
    # Once a minute: nearly each time it has been quiet for longer than a client waits.
    assert SECONDS / 540 + 20 < replace(TINY, publishes_per_s=1 / 60).syncs < SECONDS / 540 + 60 + 3
    assert replace(TINY, publishes_per_s=1 / 60, priority="ephemeral").syncs == pytest.approx(silent.syncs)


@given(st.floats(1, 10))
def test_whole_numbers_have_the_mean_they_stand_for(mean: float) -> None:
    parts = between(mean)
    assert sum(share for _, share in parts) == pytest.approx(1)
    assert sum(number * share for number, share in parts) == pytest.approx(mean)


workloads = st.builds(
    Workload,
    connections=st.integers(2_000, 1_000_000),
    publishes_per_s=st.floats(0, 10_000),
    subscribers=st.integers(1, 2_000),
    channels=st.integers(1, 100_000),
    message_bytes=st.integers(1, SERVER.data_max_bytes),
    priority=st.sampled_from(["normal", "high", "low", "express", "ephemeral"]),
    by=st.sampled_from(["websocket", "http"]),
    connection_minutes=st.floats(1, 1_000),
    lambda_ms=st.floats(1, 1_000),
    pace_ms=st.integers(0, 1_000),
    hours=st.floats(1, 744),
    users=st.integers(1, 1_000_000),
)


@given(workloads)
def test_nothing_is_less_than_nothing(workload: Workload) -> None:
    assert all(quantity >= 0 for quantity in quantities(workload).values()), quantities(workload)
    lines = bill(workload).lines
    assert lines and all(line.usd >= 0 and line.quantity > 0 for line in lines)


@given(workloads, st.floats(1, 10))
def test_more_is_never_cheaper(workload: Workload, factor: float) -> None:
    usd = bill(workload).usd * (1 - 1e-9)
    for field in ("message_bytes", "lambda_ms", "hours"):
        more = replace(workload, **{field: type(asdict(workload)[field])(asdict(workload)[field] * factor)})
        assert bill(more).usd >= usd, field
    assert bill(replace(workload, connection_minutes=workload.connection_minutes / factor)).usd >= usd
    # Who hears more is silent less often, and asks less.
    assert but_for_syncs(replace(workload, subscribers=workload.subscribers + 1)) >= but_for_syncs(workload)
    # As many more connections hear as much: what is heard goes with them.
    crowd = replace(workload, connections=round(workload.connections * factor))
    assert bill(replace(crowd, subscribers=round(workload.subscribers * factor))).usd >= usd


@given(workloads)
def test_more_publications_are_never_cheaper_until_they_are_held_back(workload: Workload) -> None:
    slower, faster = (replace(workload, publishes_per_s=workload.publishes_per_s * by) for by in (1, 1.5))
    held = [one.publishes_per_s / one.channels > SERVER.paced_from_per_s for one in (slower, faster)]
    if held[0] == held[1] or workload.pace_ms == 0:
        assert but_for_syncs(faster) >= but_for_syncs(slower) * (1 - 1e-9)


@given(workloads)
def test_twice_of_everything_is_twice_what_goes_by_use(workload: Workload) -> None:
    twice = replace(
        workload,
        connections=workload.connections * 2,
        channels=workload.channels * 2,
        publishes_per_s=workload.publishes_per_s * 2,
    )
    once, both = quantities(workload), quantities(twice)
    idle = by_hand({"idle_minute": workload.hours * 60})
    requests = idle["LambdaRequests"]
    idle["LambdaGbSeconds"] = requests * workload.lambda_ms / 1000 * SERVER.memory_mb / 1024
    idle["LogGb"], idle["Traces"] = requests * 1000 / 2**30, requests / 20
    for metric, quantity in once.items():
        fixed = quantity if metric in FIXED else idle[metric]
        assert both[metric] - fixed == pytest.approx(2 * (quantity - fixed), rel=1e-9, abs=1e-6), metric
