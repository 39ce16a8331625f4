"""docs/components.md names places that exist, and for each component a test."""

import re
from pathlib import Path
from typing import Final

import pytest

from localstack.deploy import ROOT

_TEXT: Final = (ROOT / "docs" / "components.md").read_text()
_TEST: Final = re.compile(r"(?:tests/[\w/]+/test_\w+\.py|clients/js/test/[\w.-]+\.test\.tsx?|bench/\w+\.py)\Z")
_PATH: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)+\.\w+|channels\.toml")


def _rows(text: str) -> list[list[str]]:
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] not in ("asked for", "sketch")]


def _missing(text: str, root: Path) -> list[str]:
    """Return what is named and does not exist, and rows of components without a test."""
    named = [name for name in re.findall(r"`([^`]+)`", text) if _PATH.fullmatch(name)]
    components, _, _ = text.partition("## Managers")
    untested = [
        row[0] for row in _rows(components) if not any(_TEST.match(name) for name in re.findall(r"`([^`]+)`", row[-1]))
    ]
    return [name for name in named if not (root / name).is_file()] + untested


def test_every_place_exists_and_every_component_has_a_test() -> None:
    assert len(_rows(_TEXT)) > 40
    assert _missing(_TEXT, ROOT) == []


@pytest.mark.parametrize(
    "row",
    [
        "| a queue | one | `shared/services/not_there.py` | `tests/unit/test_namespaces.py` |",
        "| a queue | one | `channels.toml` | `tests/unit/test_not_there.py` |",
        "| a queue | one | `channels.toml` | `channels.toml` |",
    ],
)
def test_what_is_not_there_is_noticed(row: str) -> None:
    assert len(_missing(row, ROOT)) == 1
