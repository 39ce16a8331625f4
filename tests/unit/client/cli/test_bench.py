"""``bench``: what is measured adds up."""

import json

import pytest

from tests.unit.client.cli.conftest import Run
from tests.unit.stack import MemoryStack
from tidewire.cli.bench import Load, Measured


def load(*, subscribers: int = 2, rate: float = 10, duration_s: float = 1) -> Load:
    return Load(subscribers, rate, duration_s, 100, None, None)


def test_all_arrive(served: MemoryStack, run: Run) -> None:
    ended = run("bench", "--subscribers", "3", "--rate", "20", "--duration", "500ms", "--size", "200", "--json")
    result = json.loads(ended.out)
    assert (ended.code, result["published"], result["delivered"]) == (0, 10, 30)
    assert (result["lost"], result["duplicates"], result["refused"]) == (0, 0, 0)
    latency = result["latency_ms"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"] < 5_000


def test_it_is_a_table_of_what_and_how_much(served: MemoryStack, run: Run) -> None:
    rows = dict(line.split("\t") for line in run("bench", "--subscribers", "1", "--duration", "100ms").lines)
    assert (rows["subscribers"], rows["lost"]) == ("1", "0")
    assert rows["latency max"].endswith(" ms")


def test_data_has_the_size_that_was_asked_for(served: MemoryStack, run: Run) -> None:
    run("bench", "--subscribers", "1", "--rate", "100", "--duration", "100ms", "--size", "500")
    [channel] = {key for key in served.store.streams if key.startswith("room:bench-")}
    sizes = {len(json.loads(line)["data"]["pad"]) for line in run("history", channel, "--json").lines}
    assert sizes == {483}


def test_what_may_not_be_published_is_told(served: MemoryStack, run: Run) -> None:
    token = served.token("ann", {"room:*": ["subscribe"]})
    ended = run("bench", "--subscribers", "1", "--rate", "20", "--duration", "100ms", "--token", token)
    assert (ended.code, "2 times forbidden" in ended.err) == (1, True)


def test_percentiles_are_of_all_deliveries() -> None:
    measured = Measured(sent_s=[0.0], latencies_s=[n / 1000 for n in range(100, 0, -1)], taken=50, last_s=2.0)
    result = measured.result(load())
    assert result["latency_ms"] == {"p50": 50.0, "p90": 90.0, "p99": 99.0, "max": 100.0}
    assert (result["delivered_per_s"], result["lost"]) == (50.0, 0)


def test_what_did_not_arrive_is_lost() -> None:
    result = Measured(sent_s=[0.0], latencies_s=[0.1], taken=2, last_s=1.0).result(load())
    assert result["lost"] == 3


def test_nothing_delivered_has_no_latency() -> None:
    result = Measured(sent_s=[0.0], taken=1).result(load())
    assert (result["latency_ms"]["p50"], result["delivered_per_s"], result["lost"]) == (None, 0.0, 2)


@pytest.mark.parametrize(("rate", "duration_s", "count"), [(10, 1, 10), (0.1, 1, 1), (3, 0.5, 2)])
def test_how_many_are_published(rate: float, duration_s: float, count: int) -> None:
    assert load(rate=rate, duration_s=duration_s).publications == count
