"""A clone of the repository in which somebody does what a page says: changes files, and has them deployed."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from localstack.deploy import ROOT
from shared import namespaces

_OWN: Final = ("functions", "channels.toml")  # what pages change; all else is this repository's
_STAGES: Final = "infra/stage.py"
_CHANNELS: Final = "channels.toml"
# What is loaded at synthesis, where mistakes are told.
_LOADED: Final = "import functions.commands, functions.documents, functions.processors; functions.documents.SCHEMAS"


class Clone:
    """One, with packages and environments.

    Attributes:
        folder: Where it is.
        changed: Files that the page has written or changed, by their names.
        stages: What the page has said of stages, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changed: dict[str, str] = {}
        self.stages: list[Any] = []
        for path in ROOT.iterdir():
            if path.name not in _OWN:
                (folder / path.name).symlink_to(path)
        shutil.copytree(ROOT / "functions", folder / "functions", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / _CHANNELS, folder)

    def write(self, name: str, code: str) -> None:
        """Write a file, below what a page has written there before."""
        self._put(name, self.changed.get(name, "") + code)

    def put_in(self, name: str, code: str) -> None:
        """Put code where its names stand in a file.

        Raises:
            Exception: It can't be, or the file does not work with it.
        """
        if name == _STAGES:
            return self.stages.extend(stages_of(code))
        text = (self.folder / name).read_text()
        self._put(name, with_sections(text, code) if name == _CHANNELS else with_statements(text, code))
        if name == _CHANNELS:
            namespaces.load(self.folder / name)

    def load(self) -> None:
        """Load the functions' changes, as the synthesis does."""
        self.python(_LOADED)

    def python(self, code: str) -> str:
        """Run Python code; return what it says."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _put(self, name: str, text: str) -> None:
        path = self.folder / name
        assert path.resolve().is_relative_to(self.folder.resolve()), f"{name} is this repository's"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.changed[name] = text


def stages_of(code: str) -> list[Any]:
    """Return what a page says of ``infra/stage.py``, checked: ``"prod": StageConfig(…),``.

    Raises:
        SystemExit: It can't work.
    """
    from infra import stage  # starts a Node process: only for those pages

    stages = eval(f"{{{code}\n}}", vars(stage))
    for name, config in stages.items():
        assert name == config.name
        stage.check(config)
    return list(stages.values())


def with_sections(text: str, code: str) -> str:
    """Return a TOML file with sections in place of its own of their names."""
    for section in re.findall(r"^\[.+?\](?=[^\]]*$)", code, re.MULTILINE):
        text = re.sub(rf"^{re.escape(section)}[^\[]*", "", text, flags=re.MULTILINE)
    return f"{text}\n{code}"


def with_statements(text: str, code: str) -> str:
    """Return a Python file with statements in place of its own of their names; imports come before its own."""
    lines = text.splitlines()
    there = {name: node for node in ast.parse(text).body for name in _names(node)}
    first_import = next(node.lineno for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom))
    imports, changes, more = [], [], []
    for node in ast.parse(code).body:
        source = ast.get_source_segment(code, node) or ""
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(source)
        elif old := next((there[name] for name in _names(node) if name in there), None):
            changes.append((old.lineno - 1, old.end_lineno, source))
        else:
            more.append(source)
    for begin, end, source in sorted(changes, reverse=True):
        lines[begin:end] = [source]
    lines[first_import - 1 : first_import - 1] = imports
    return "\n".join([*lines, *more, ""])


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]
