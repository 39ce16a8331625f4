"""docs/reference/cli.md has every command and option, and examples that the command line takes."""

import re
import shlex
from collections.abc import Iterator
from typing import Any, Final

import pytest
from typer import TyperException
from typer.core import TyperGroup
from typer.main import get_command

from localstack.deploy import ROOT
from tidewire.cli.app import app
from tools.reference import cli

_PAGE: Final = (ROOT / "docs" / "reference" / "cli.md").read_text()
_EXAMPLES: Final = re.findall(r"^```sh\n(tidewire .+)\n```$", _PAGE, re.MULTILINE)


def _commands(group: Any, path: tuple[str, ...] = ("tidewire",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


_COMMANDS: Final = dict(_commands(get_command(app)))


def _take(example: str) -> None:
    """Have the command line read an example, without doing anything.

    Raises:
        TyperException: It has another idea of its commands and options.
    """
    words = shlex.split(example)
    path = next(path for path in _COMMANDS if tuple(words[: len(path)]) == path)
    _COMMANDS[path].make_context(" ".join(path), words[len(path) :])


def test_the_page_is_current() -> None:
    assert cli.document() == _PAGE


@pytest.mark.parametrize("path", _COMMANDS, ids=" ".join)
def test_each_command_has_its_section_with_all_its_options(path: tuple[str, ...]) -> None:
    section = _PAGE.partition(f"## {' '.join(path)}\n")[2].partition("\n## ")[0]
    common = _PAGE.partition("## Which deployment, and who\n")[2].partition("\n## ")[0]
    for parameter in _COMMANDS[path].params:
        names = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]
        assert all(f"`{name}`" in section + common for name in names), names


@pytest.mark.parametrize("example", _EXAMPLES)
def test_an_example_is_taken(example: str) -> None:
    _take(example)


def test_each_command_has_an_example() -> None:
    told = [path for path in _COMMANDS if any(example.startswith(" ".join(path)) for example in _EXAMPLES)]
    assert told == list(_COMMANDS)


def test_what_is_no_option_is_not_taken() -> None:
    with pytest.raises(TyperException):
        _take("tidewire pub room:lobby Hello --nmae said")
