"""docs/reference/configuration.md lists every setting of a namespace and every variable that is read."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Final

import pytest

from localstack import container
from localstack.deploy import ROOT
from shared import contract
from shared.namespaces import Namespace, parse
from shared.settings import Settings

_PAGE: Final = (ROOT / "docs" / "reference" / "configuration.md").read_text()
_ROWS: Final = {
    row[1]: row[2:-1]
    for line in _PAGE.partition("## Namespaces")[2].partition("## Variables")[0].splitlines()
    if (row := [cell.strip(" `") for cell in line.split("|")]) and len(row) == 6 and row[1] not in ("setting", "---")
}
_READ: Final = re.compile(r"""environ(?:ment)?(?:\.get\(|\[)"([A-Z][A-Z_]+)\"""")
_AWS: Final = re.compile(r"(AWS|CDK)_\w+")  # others', which they document

_OTHERS: Final = {"emulator", ".venv", "node_modules"}  # what runs in processes of the local stack's own making


def _listed(section: str) -> set[str]:
    text = _PAGE.partition(f"## {section}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[A-Z][^|]+) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([A-Z][A-Z_]+)`", row)}


def _of_contract() -> Iterator[str]:
    for name, value in vars(contract).items():
        if name.startswith("ENV_"):
            yield from value.values() if isinstance(value, Mapping) else [value]


def _sources(*folders: str) -> Iterator[str]:
    for folder in folders:
        path = ROOT / folder
        files = [path] if path.is_file() else [one for one in path.rglob("*.py") if not _OTHERS & {*one.parts}]
        yield from map(Path.read_text, files)


def test_it_lists_every_setting_of_a_namespace_with_its_default() -> None:
    assert set(_ROWS) == {field.name for field in fields(Namespace)}
    for name, value in ((name, getattr(Namespace(), name)) for name in _ROWS):
        written = "–" if value == () else f"{value:g}" if isinstance(value, float) else str(value).lower()  # noqa: RUF001
        assert _ROWS[name][0] == written, name


@pytest.mark.parametrize("name", _ROWS)
def test_a_setting_may_be_what_it_says_and_nothing_beside(name: str) -> None:
    said = _ROWS[name][1]
    if limits := re.fullmatch(r"([\d.,]+) to ([\d.,]+)", said):
        low, high = (limit.replace(",", "") for limit in limits.groups())
        good, bad = [low, high], [f"{float(low) - 0.1:g}", f"{float(high) + 1:g}"]
    elif said.startswith("list of "):
        good, bad = [str(re.findall(r"\w+", said)[2:])], ['["send"]', '"publish"']
    elif re.findall(r"\w+", said) == ["true", "false"]:
        good, bad = ["true", "false"], ["1"]
    else:
        good, bad = [f'"{choice}"' for choice in re.findall(r"\w+", said)], ['"other"']
    for value in good:
        parse(f"[defaults]\n{name} = {value}")
    for value in bad:
        with pytest.raises(ValueError, match=f"defaults.{name}: must be"):
            parse(f"[defaults]\n{name} = {value}")


def test_it_lists_every_variable_of_the_functions() -> None:
    set_by_infra = {name for text in _sources("infra") for name in re.findall(r'"([A-Z][A-Z_]+_[A-Z_]+)":', text)}
    assert _listed("Variables of the functions") == {*_of_contract(), *set_by_infra}
    Settings.from_env({})  # reads what contract names, and nothing has to be there


def test_it_lists_every_variable_of_the_command_line() -> None:
    read = {name for text in _sources("clients/python/src") for name in re.findall(r"\bTIDEWIRE_[A-Z_]+", text)}
    assert _listed("Variables of the command line") == read


def test_it_lists_every_variable_of_make_and_of_what_it_runs() -> None:
    makefile = (ROOT / "Makefile").read_text()
    its_own = {"MAKE", *re.findall(r"^([A-Z_]+) :=", makefile, re.MULTILINE)}
    asked = set(re.findall(r"\$\(([A-Z_]+)\)", makefile)) - its_own
    read = {name for text in _sources("app.py", "localstack", "tools") for name in _READ.findall(text)}
    of_localstack = {container.ENDPOINT, container.TOKEN}
    listed = asked | of_localstack | {name for name in read if not _AWS.fullmatch(name)}
    assert _listed("Variables of make, and of what it runs") == listed
