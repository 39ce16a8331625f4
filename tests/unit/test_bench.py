"""How benchmarks count and what they write."""

import json

import pytest

from bench.results import Bar, Report, Row, percentile

REPORT = Report(
    name="latency",
    title="Publish to delivery",
    setting="One publisher",
    rows=[Row("normal", {"samples": 200, "p50": 31.25}), Row("low", {"samples": 200, "p50": 61.0})],
    bars=[Bar("p50 of normal, ms:", 31.25, 60), Bar("samples:", 200, 300, at_least=True)],
)


@pytest.mark.parametrize(("percent", "value"), [(50, 100), (90, 180), (99, 198), (100, 200)])
def test_a_percentile_is_a_value_that_was_measured(percent: int, value: int) -> None:
    assert percentile(range(200, 0, -1), percent) == value


def test_a_single_value_is_every_percentile() -> None:
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7.0


def test_the_table_has_a_line_for_each_row_and_says_which_bars_were_missed() -> None:
    lines = REPORT.to_markdown({"cores": 2}).splitlines()
    assert lines[2:6] == ["| | samples | p50 |", "|---|---:|---:|", "| normal | 200 | 31.2 |", "| low | 200 | 61.0 |"]
    assert "- Met: p50 of normal, ms: 31.2, at most 60." in lines
    assert "- NOT MET: samples: 200, at least 300." in lines
    assert lines[-1] == "One publisher. cores 2."


def test_the_json_has_the_same() -> None:
    document = json.loads(REPORT.to_json({"cores": 2}))
    assert document["rows"][0] == {"name": "normal", "samples": 200, "p50": 31.25}
    assert document["bars"][1] == {"bar": "samples: at least 300", "measured": 200, "met": False}
    assert document["context"] == {"cores": 2}
