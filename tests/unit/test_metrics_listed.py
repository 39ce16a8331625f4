"""docs/metrics.md lists what the code measures, no more and no less, each with its unit."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from shared.adapters.telemetry import EmfMetrics, flush
from shared.domain.prices import PRICES
from shared.services.measurements import MEASURES

ROOT: Final = Path(__file__).resolve().parents[2]
_UNITS: Final = {"count": "Count", "billed": "Count", "milliseconds": "Milliseconds", "level": "None"}


def _listed() -> dict[str, str]:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| .+ \|$", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return dict(rows)


def _literals(node: ast.expr) -> Iterator[str]:
    """Yield the texts that an argument may be."""
    if isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        raise AssertionError(f"not a name that can be read: {ast.unparse(node)}")


def _measured() -> Iterator[tuple[str, str]]:
    for folder in ("shared", "functions"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    yield from _of_call(node, node.func)


def _of_call(call: ast.Call, function: ast.Attribute) -> Iterator[tuple[str, str]]:
    if function.attr == "_breaker":  # its metric is named after it
        yield from ((f"{name}BreakerOpen", "None") for name in _literals(call.args[0]))
    elif ast.unparse(function) == "self.metrics.level" and ast.unparse(call.args[0]) == "metric":
        return  # the breaker's
    elif function.attr in _UNITS and ast.unparse(function.value).endswith("metrics"):
        yield from ((name, _UNITS[function.attr]) for name in _literals(call.args[0]))


def test_the_list_is_what_the_code_measures() -> None:
    assert dict(_measured()) == _listed()


def test_each_has_the_unit_and_the_dimensions_that_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    flush()  # a process has one buffer, and tests before this one have measured into it
    capsys.readouterr()
    metrics = EmfMetrics()
    for kind in _UNITS:
        getattr(metrics, kind)(kind, 1)
    flush()
    line = json.loads(capsys.readouterr().out)
    (written,) = line["_aws"]["CloudWatchMetrics"]
    (said,) = re.findall(
        r"in the namespace `(\w+)`, with the one dimension `(\w+)=(\w+)`", (ROOT / "docs/metrics.md").read_text()
    )
    assert (written["Namespace"], written["Dimensions"], line[said[1]]) == (said[0], [[said[1]]], said[2])
    assert {one["Name"]: one["Unit"] for one in written["Metrics"]} == _UNITS


def test_each_that_is_not_billed_answers_one_question() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    answers, _, billed = text.partition("## What answers what")[2].partition("## What AWS bills")
    named = re.findall(r"`(\w+)`", answers)
    assert sorted(named) == sorted(_listed().keys() - set(re.findall(r"^\| `(\w+)` \|", billed, re.MULTILINE)))


def test_what_admins_are_told_of_is_measured() -> None:
    listed = _listed()
    for measure in MEASURES:
        assert listed[measure.name] == ("Count" if measure.statistic == "Sum" else "Milliseconds")


def test_what_is_billed_has_a_price_and_what_has_a_price_is_counted() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    billed = re.findall(r"^\| `(\w+)` \|", text.partition("## What AWS bills")[2], re.MULTILINE)
    assert [price.metric for price in PRICES] == billed
