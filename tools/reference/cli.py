"""docs/reference/cli.md: every command and option of ``tidewire``."""

import re
from collections.abc import Iterator
from typing import Any, Final, get_args

from typer.core import TyperGroup
from typer.main import get_command

from tidewire.cli.app import app
from tidewire.cli.exit_codes import ExitCode
from tools.reference.markdown import GENERATED, code, escaped, table

_COMMON: Final = "Which deployment, and who"  # the panel of the options that most commands have
_HEAD: Final = f"""{GENERATED}
# Command line

`tidewire` comes with the Python client's extra `cli` ([guide](../clients/python/README.md)); `make run` has installed
it into `.venv`. `tidewire COMMAND --help` says what is here.
"""
_NOTE: Final = re.compile(r"\s*\[(default[^:\]]*|env): ([^\]]+)\]")
_TESTED: Final = "<!-- tested: tests/unit/tools/test_cli_reference.py -->"
_TYPES: Final = {int: "number", float: "number", str: "text", list[str]: "text"}


def document() -> str:
    """Return the page."""
    root: Any = get_command(app)
    commands = list(_commands(root, "tidewire"))
    common = {one.name: one for _, command in commands for one in command.params if one.rich_help_panel == _COMMON}
    parts = [_HEAD, _prose(root.help or "")]
    parts += ["## Which deployment, and who\n", "The options that commands with the same words in their usage have:\n"]
    parts += [_options(common.values())]
    parts += ["## Exit codes\n", table(("code", "says"), ((code(one.value), one.meaning) for one in ExitCode))]
    parts += ["## For your shell\n", _options(root.params)]
    for name, command in commands:
        parts += [f"## {name}\n", *_command(name, command)]
    return "\n".join(parts)


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _command(name: str, command: Any) -> Iterator[str]:
    own = [one for one in command.params if one.rich_help_panel != _COMMON]
    arguments = [one for one in own if one.param_type_name == "argument"]
    usage = [name, *(_usage(one) for one in arguments), "[OPTIONS]"]
    who = " [WHICH DEPLOYMENT, AND WHO]" if len(own) < len(command.params) else ""
    yield f"```text\n{' '.join(usage)}{who}\n```\n"
    yield _prose(command.help or "")
    if arguments:
        yield table(("argument", "what"), ((code(_shown(one)), _what(one)) for one in arguments))
    yield _options(one for one in own if one.param_type_name == "option")


def _prose(text: str) -> str:
    """Return a help text; its examples are code."""
    parts = []
    for paragraph in text.split("\n\n"):
        example, is_example, command = paragraph.partition("Example: ")
        parts.append(f"{_TESTED}\n```sh\n{command.strip()}\n```" if is_example and not example else escaped(paragraph))
    return "\n\n".join(parts) + "\n"


def _options(parameters: Any) -> str:
    rows = ((", ".join(map(code, [*one.opts, *one.secondary_opts])), _takes(one), _what(one)) for one in parameters)
    return table(("option", "takes", "what"), rows)


def _usage(argument: Any) -> str:
    return _shown(argument) if argument.required else f"[{_shown(argument)}]"


def _shown(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _takes(option: Any) -> str:
    if option.is_flag:
        return ""
    annotation = option.type_descriptor.annotation
    choices = get_args(annotation)
    if choices and all(isinstance(choice, str) for choice in choices):
        return " ".join(map(code, choices))
    return code(option.metavar) if option.metavar else _TYPES[annotation]


def _what(parameter: Any) -> str:
    """Return what its help says, and what it is if it is not given."""
    said = [escaped(_NOTE.sub("", parameter.help or ""))]
    if parameter.required and parameter.param_type_name == "option":
        said.append("Needed.")
    notes = _NOTE.findall(parameter.help or "")
    said += [f"Environment: {code(one)}." if kind == "env" else f"{kind.capitalize()}: {one}." for kind, one in notes]
    default = parameter.default
    if isinstance(default, str | int | float) and not isinstance(default, bool) and dict(notes).keys() <= {"env"}:
        said.append(f"Default: {code(default)}.")
    said.append(_range(parameter.min, parameter.max))
    return " ".join(part for part in said if part)


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f"At least {low:,}."
    return f"At most {high:,}." if low is None else f"{low:,} to {high:,}."
