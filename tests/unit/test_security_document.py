"""docs/security.md names tests and code that exist, and a test for each threat."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from localstack.deploy import ROOT

_TEXT: Final = (ROOT / "docs" / "security.md").read_text()
_CODE: Final = re.compile(r"`([^`\n]+)`")
_TEST: Final = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
_PATH: Final = re.compile(
    r"(?:app\.py|channels\.toml|(?:functions|shared|infra|tests|tools|clients|web|localstack)/[\w./-]+)"
)
_LINK: Final = re.compile(r"\]\(([^)#:]+)[^)]*\)")
_THREAT: Final = re.compile(r"^\| [STRIDE] \| (.+) \| (.+) \| (.+) \|$", re.MULTILINE)


@cache
def _functions(path: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _missing(text: str, root: Path) -> list[str]:
    """Return what the text names and what does not exist."""
    named = _CODE.findall(text)
    tests = [match for name in named if (match := _TEST.fullmatch(name))]
    paths = [name for name in named if _PATH.fullmatch(name)]
    links = [f"docs/{link}" for link in _LINK.findall(text)]
    missing = [path for path in (*paths, *links) if not (root / path).exists()]
    for test in tests:
        file = root / test[1]
        if not file.is_file() or test[2] not in _functions(file):
            missing.append(test[0])
    return missing


def test_every_path_and_every_test_that_it_names_exists() -> None:
    assert _missing(_TEXT, ROOT) == []


def test_every_threat_names_a_test_that_holds_what_stands_against_it() -> None:
    threats = _THREAT.findall(_TEXT)
    assert len(threats) > 50
    assert [threat for threat, _defence, tests in threats if not _TEST.search(tests)] == []


def test_each_of_stride_is_thought_of() -> None:
    assert {row[2] for row in re.findall(r"^(\| [STRIDE] \|)", _TEXT, re.MULTILINE)} == set("STRIDE")


def test_tests_are_named_so_that_they_are_looked_for() -> None:
    assert len(_TEST.findall(_TEXT)) == sum(bool(_TEST.fullmatch(name)) for name in _CODE.findall(_TEXT))


@pytest.mark.parametrize(
    "named",
    [
        "`tests/unit/test_security_document.py::test_that_is_not_there`",
        "`tests/unit/test_not_there.py::test_it`",
        "`shared/services/not_there.py`",
        "[adr](adr/9999-not-there.md)",
    ],
)
def test_what_does_not_exist_is_noticed(named: str) -> None:
    assert len(_missing(f"| S | a threat | {named} |", ROOT)) == 1
