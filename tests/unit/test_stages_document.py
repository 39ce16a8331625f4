"""docs/stages.md lists each setting of a stage, which its docstring says, and what the stages have."""

import inspect
import re
from dataclasses import fields
from typing import Final

import pytest

from infra.stage import StageConfig, stage_config
from localstack.deploy import ROOT

_ROWS: Final = {
    name: (local, dev, prod)
    for name, local, dev, prod in re.findall(
        r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|", (ROOT / "docs" / "stages.md").read_text(), re.MULTILINE
    )
}


def test_it_lists_every_setting() -> None:
    assert list(_ROWS) and set(_ROWS) == {field.name for field in fields(StageConfig)}


def test_the_docstring_says_every_setting() -> None:
    said = set(re.findall(r"^    (\w+): ", inspect.getdoc(StageConfig) or "", re.MULTILINE))
    assert said == {field.name for field in fields(StageConfig)}


def _written(value: object) -> str | None:
    """Return how the table has it; None for what it says in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == ():
        return "–"  # noqa: RUF001 - as the table has it
    return str(value) if isinstance(value, int) else None


@pytest.mark.parametrize("field", [field.name for field in fields(StageConfig) if field.name != "edge_url"])
def test_it_has_the_numbers_and_switches_of_each_stage(field: str) -> None:
    for column, name in enumerate(("local", "dev", "prod")):
        stage = stage_config(name, edge_url="http://127.0.0.1:8181")
        written = _written(getattr(stage, field))
        assert written is None or _ROWS[field][column] == written, name


def test_it_has_each_stages_lanes() -> None:
    for column, name in enumerate(("local", "dev", "prod")):
        stage = stage_config(name, edge_url="http://127.0.0.1:8181")
        assert _ROWS["lane_concurrency"][column] == ", ".join(str(count) for _, count in stage.lane_concurrency)
