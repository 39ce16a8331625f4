"""docs/reference/errors.md and docs/protocol.md list the errors and the ends that the code has, each as it is."""

import ast
import re
from collections.abc import Iterator
from typing import Final

import pytest

from localstack.deploy import ROOT
from shared import errors
from shared.errors import TidewireError

_PAGE: Final = (ROOT / "docs" / "reference" / "errors.md").read_text()
_PROTOCOL: Final = (ROOT / "docs" / "protocol.md").read_text().partition("## 5. Error and disconnect codes")[2]
_SECTION: Final = re.compile(r"^### (\d{4}) (\w+)\n\n(.+?)(?=\n##|\Z)", re.MULTILINE | re.DOTALL)
_ROW: Final = re.compile(r"^\| (\d{4}) \| (\w+)[^|]* \| (\d{3}|–) \|$", re.MULTILINE)  # noqa: RUF001 - as the table has it

_SECTIONS: Final = {int(code): (name, text) for code, name, text in _SECTION.findall(_PAGE)}
_ROWS: Final = {int(code): (name, status) for code, name, status in _ROW.findall(_PROTOCOL)}


def _raised() -> dict[int, tuple[str, int]]:
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, TidewireError)]
    return {one.code: (one.name, one.http_status) for one in classes}


def _ends() -> Iterator[tuple[int, str]]:
    """Yield code and name of each disconnect that is written out in the code."""
    for path in (ROOT / "shared" / "services").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                said = {key.value: value for key, value in pairs if isinstance(key, ast.Constant)}
                code, name = said.get("code"), said.get("name")
                if isinstance(code, ast.Constant) and isinstance(name, ast.Constant) and isinstance(code.value, int):
                    yield code.value, str(name.value)


def test_it_lists_every_error_with_its_name_and_status() -> None:
    listed = {code: name for code, (name, _) in _SECTIONS.items() if code < 3000}
    assert listed == {code: name for code, (name, _) in _raised().items()}
    for code, (_, status) in _raised().items():
        assert _SECTIONS[code][1].startswith(f"HTTP {status}. "), code


def test_it_lists_every_end_and_says_which_are_not_sent() -> None:
    listed = {code: name for code, (name, _) in _SECTIONS.items() if code >= 3000}
    sent = dict(_ends())
    assert sent.items() <= listed.items()
    assert {code for code in listed if _SECTIONS[code][1].startswith("Not sent so far.")} == listed.keys() - sent.keys()


def test_the_protocol_has_the_same_codes() -> None:
    assert {code: name for code, (name, _) in _ROWS.items()} == {code: name for code, (name, _) in _SECTIONS.items()}
    statuses = {code: int(status) for code, (_, status) in _ROWS.items() if status.isdigit()}
    assert statuses == {code: status for code, (_, status) in _raised().items()}


@pytest.mark.parametrize("code", _SECTIONS)
def test_each_has_a_cause_and_a_cure(code: int) -> None:
    text = _SECTIONS[code][1]
    assert "**Cause:** " in text and "**Cure:** " in " ".join(text.split())
