"""docs/observability.md lists the steps that the code tells of, each with what is told beside it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DOCUMENT: Final = (ROOT / "docs/observability.md").read_text()
_BESIDE: Final = {"failed"}  # the one that is no step: shared/adapters/telemetry.py


def _told() -> Iterator[tuple[str, set[str]]]:
    for path in (ROOT / "shared").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("trail.step"):
                name = node.args[0]
                assert isinstance(name, ast.Constant)
                yield str(name.value), {keyword.arg or "**" for keyword in node.keywords} - {"always"}


def _always() -> set[str]:
    return {
        str(node.args[0].value)
        for path in (ROOT / "shared").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and any(keyword.arg == "always" for keyword in node.keywords)
        and isinstance(node.args[0], ast.Constant)
    }


def _listed() -> dict[str, set[str]]:
    rows = re.findall(r"^\| `([\w ]+)` \| [^|]+ \| (`[^|]+) \| [^|]+ \|$", DOCUMENT, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", facts)) for name, facts in rows}


def test_it_lists_every_step_and_what_is_told_with_it() -> None:
    told: dict[str, set[str]] = {}
    for name, facts in _told():
        told[name] = told.get(name, set()) | facts
    assert {name: facts for name, facts in _listed().items() if name not in _BESIDE} == told
    assert _listed().keys() >= _BESIDE


def test_it_says_which_are_written_of_all_publications() -> None:
    (sentence,) = re.findall(r"^(`.+) are written of all publications", DOCUMENT, re.MULTILINE)
    assert set(re.findall(r"`([\w ]+)`", sentence)) - _BESIDE == _always()
