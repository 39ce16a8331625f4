"""The dashboard answers four questions, within CloudWatch's limits, from metrics that there are."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from shared.contract import METRICS_NAMESPACE, SERVICE_NAME
from shared.domain.prices import PRICED_ON, PRICES
from tests.infra.template import LANES, Synthesised, text
from tools.dashboard.metric_math import MetricMath

# docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
_WIDGETS_MAX: Final = 500
_METRICS_MAX: Final = 500  # of a widget
_ALL_METRICS_MAX: Final = 2_500
# docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
_ALARMS_MAX: Final = 100
_HOUR_S: Final = 3_600

Widget = Mapping[str, Any]


def _widgets(stage: Synthesised) -> list[Widget]:
    (dashboard,) = stage.of_type("AWS::CloudWatch::Dashboard").values()
    widgets: list[Widget] = json.loads(text(dashboard["DashboardBody"]))["widgets"]
    return widgets


def _of(stage: Synthesised, kind: str) -> list[Mapping[str, Any]]:
    return [widget["properties"] for widget in _widgets(stage) if widget["type"] == kind]


def _titled(stage: Synthesised, title: str) -> Mapping[str, Any]:
    (found,) = [properties for properties in _of(stage, "metric") if properties["title"] == title]
    return found


def _entries(stage: Synthesised) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Yield what each metric is called, with its dimensions, and its options; not expressions."""
    for properties in _of(stage, "metric"):
        for *names, options in properties["metrics"]:
            if names:
                yield names, options


def test_its_rows_are_the_four_questions(stage: Synthesised) -> None:
    heads = [properties["markdown"].partition("\n")[0] for properties in _of(stage, "text")]
    assert heads == ["## Is it healthy?", "## How fast?", "## Who is suffering?", "## What does it cost?"]


def test_it_keeps_to_the_limits(stage: Synthesised) -> None:
    counts = [len(properties["metrics"]) for properties in _of(stage, "metric")]
    assert 0 < len(_widgets(stage)) <= _WIDGETS_MAX
    assert 0 < max(counts) <= _METRICS_MAX
    assert sum(counts) <= _ALL_METRICS_MAX


def test_no_widget_lies_on_another(prod: Synthesised) -> None:
    taken = [
        (x, y)
        for widget in _widgets(prod)
        for x in range(widget["x"], widget["x"] + widget["width"])
        for y in range(widget["y"], widget["y"] + widget["height"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


def test_our_metrics_are_listed(stage: Synthesised) -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", Path("docs/metrics.md").read_text(), re.MULTILINE))
    ours = [names for names, _ in _entries(stage) if names[0] == METRICS_NAMESPACE]
    assert {name for _, name, *_ in ours} <= listed
    assert {tuple(dimensions) for _, _, *dimensions in ours} == {("service", SERVICE_NAME)}


def test_those_of_aws_are_listed_with_their_source(stage: Synthesised) -> None:
    rows = re.findall(
        r"^\| `(AWS/\w+)` \| `(\w+)` \| (\w+) \| (.+) \|$", Path("docs/observability.md").read_text(), re.M
    )
    others = {
        (names[0], names[1], options["stat"]) for names, options in _entries(stage) if names[0] != METRICS_NAMESPACE
    }
    assert others == {(namespace, name, statistic) for namespace, name, statistic, _ in rows}
    assert all(source == "the same" or source.startswith("docs.aws.amazon.com/") for *_, source in rows)


def test_every_alarm_is_on_it(stage: Synthesised) -> None:
    ((shown,),) = [[properties["alarms"]] for properties in _of(stage, "alarm")]
    assert sorted(shown) == sorted(f"${{{name}.Arn}}" for name in stage.of_type("AWS::CloudWatch::Alarm"))
    assert 1 <= len(shown) <= _ALARMS_MAX


@pytest.mark.parametrize("title", ["Functions, 90th percentile", "Throttled, by function"])
def test_every_function_is_on_it(stage: Synthesised, title: str) -> None:
    named = {names[-1] for *names, _ in _titled(stage, title)["metrics"]}
    assert named == {f"${{{name}}}" for name in stage.function_ids.values()}


def test_every_function_counts_in_the_rate_of_errors(stage: Synthesised) -> None:
    failed, begun = (
        {names[-1] for names, _ in _entries(stage) if names[1] == metric} for metric in ("Errors", "Invocations")
    )
    assert failed == begun == {f"${{{name}}}" for name in stage.function_ids.values()}


def test_every_log_of_a_function_is_looked_through(stage: Synthesised) -> None:
    logs = {text(stage.function(name)["LoggingConfig"]["LogGroup"]) for name in stage.function_ids}
    tables = _of(stage, "log")
    assert len(tables) == 2
    for table in tables:
        assert set(re.findall(r"SOURCE '([^']+)'", table["query"])) == logs


def test_every_dead_letter_is_seen_and_the_age_of_every_lane(stage: Synthesised) -> None:
    dead = [names[-1] for *names, _ in _titled(stage, "Dead letters")["metrics"]]
    queues = {name for what, name in stage.stateful.items() if what.endswith("dead letters")}
    assert sorted(dead) == sorted(f"${{{name}.QueueName}}" for name in queues)
    waiting = [names[-1] for *names, _ in _titled(stage, "Age of the oldest that waits")["metrics"]]
    lanes = [stage.stateful[f"{lane} lane"] for lane in LANES]
    assert sorted(waiting) == sorted(f"${{{name}.QueueName}}" for name in [*lanes, stage.stateful["delivery queue"]])


def test_the_canary_is_seen(stage: Synthesised) -> None:
    canary = {names[1] for names, _ in _entries(stage) if names[1].startswith("Canary")}
    assert canary == ({"CanarySuccess", "CanaryLatency"} if "canary" in stage.function_ids else set())


def test_every_id_of_an_expression_is_in_its_widget(stage: Synthesised) -> None:
    for properties in _of(stage, "metric"):
        ids = [options["id"] for *_, options in properties["metrics"] if "id" in options]
        assert len(ids) == len(set(ids))
        used = {
            name
            for *_, options in properties["metrics"]
            for name in re.findall(r"\b[a-z]\w*", options.get("expression", ""))
        }
        assert used == set(ids)


def test_a_million_of_each_in_an_hour_cost_what_the_prices_say(dev: Synthesised) -> None:
    properties = _titled(dev, "By what is billed")
    ids = {names[1]: options["id"] for *names, options in properties["metrics"] if names}
    assert sorted(ids) == sorted(price.metric for price in PRICES)
    math = MetricMath({name: {0: 1_000_000} for name in ids.values()}, [0], _HOUR_S)
    by_label = {
        options["label"]: math.evaluate(options["expression"])[0]
        for *_, options in properties["metrics"]
        if "expression" in options
    }
    expected = {f"{price.service}: {price.what}": price.usd_per_million for price in PRICES}
    assert by_label == pytest.approx(expected)
    services = {
        options["label"]: math.evaluate(options["expression"])[0]
        for *_, options in _titled(dev, "By service")["metrics"]
        if "expression" in options
    }
    assert sum(services.values()) == pytest.approx(sum(expected.values()))
    assert set(services) == {price.service for price in PRICES}


def test_it_says_of_when_the_prices_are(dev: Synthesised) -> None:
    assert PRICED_ON in _of(dev, "text")[-1]["markdown"]


def test_it_is_of_the_region_of_the_stack(dev: Synthesised) -> None:
    regions = {properties["region"] for kind in ("metric", "log") for properties in _of(dev, kind)}
    assert regions == {"${AWS::Region}"}
