"""How benchmarks count and what they write."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import summary
from bench.__main__ import IN_PROCESS, ON_STACK, main, usage
from bench.plots import draw
from bench.results import Bar, Plot, Report, Row, percentile

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
    assert document["bars"][1] == {"what": "samples", "measured": 200, "asked": "at least 300", "met": False}
    assert document["context"] == {"cores": 2}


CURVE = Plot("curve", "connections", "deliveries a second", {"ours": {10: 9, 100: 90}, "theirs": {10: 3}}, log="xy")
BARS = Plot("bars", "way", "ms", {"p50": {"high": 40.0, "low": 41.0}, "p99": {"high": 60.0}}, limit=60)


@pytest.mark.parametrize("plot", [CURVE, BARS])
def test_a_picture_of_the_same_figures_is_the_same_file(plot: Plot, tmp_path: Path) -> None:
    for name in ("one.svg", "another.svg"):
        draw(plot, "Some figures", tmp_path / name)
    assert (tmp_path / "one.svg").read_text() == (tmp_path / "another.svg").read_text()


def reports() -> list[dict[str, Any]]:
    return [json.loads(REPORT.to_json({"date": "2026-11-26", "cores": 2, "load average": 0.1}))]


def test_the_summary_has_a_line_for_each_bar_and_how_to_have_it_again() -> None:
    lines = summary.table(reports()).splitlines()
    again = "`.venv/bin/python -m bench latency`"
    assert lines[2] == f"| p50 of normal, ms | 31.2 | at most 60 | yes | 2026-11-26 | {again} |"
    assert lines[3] == f"| samples | 200 | at least 300 | **no** | 2026-11-26 | {again} |"
    assert lines[-1] == "Measured with cores 2."


def test_the_readme_keeps_all_but_the_table() -> None:
    begin, end = "<!-- bench: written by python -m bench --readme -->", "<!-- /bench -->"
    written = summary.with_table(f"before\n\n{begin}\n\nan older one\n\n{end}\n\nbehind\n", reports())
    assert written == f"before\n\n{begin}\n\n{summary.table(reports())}\n{end}\n\nbehind\n"


def test_a_readme_without_a_place_for_the_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no"):
        summary.with_table("# Nothing here", reports())


def test_the_readme_says_what_the_results_say() -> None:
    readme = summary.README.read_text()
    assert readme == summary.with_table(readme, summary.found()), "python -m bench --readme"


def test_an_unknown_name_is_told_with_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["latency", "nothing"]) == 2
    told = capsys.readouterr().err
    assert "no nothing" in told and usage() in told


def test_the_help_has_a_line_for_each_benchmark() -> None:
    lines = [line.split() for line in usage().splitlines() if line.startswith("  ")]
    assert [line[0] for line in lines] == [*IN_PROCESS, *ON_STACK]
    assert all(len(line) > 3 for line in lines)
