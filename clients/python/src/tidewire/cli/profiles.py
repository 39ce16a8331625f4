"""Profiles: deployments and who one is there, by name, in a file that only its owner may read."""

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import platformdirs

from tidewire.cli.exit_codes import CommandError, ExitCode

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEADER: Final = re.compile(r"\s*\[")


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a deployment.

    Attributes:
        token_command: A shell command whose output is the token.
    """

    url: str | None = None
    token: str | None = None
    api_key: str | None = None
    token_command: str | None = None
    user: str | None = None

    @property
    def credential(self) -> str:
        """Which kind of credential it has; ``""`` without one."""
        return next((kind for kind in CREDENTIALS if getattr(self, kind)), "")


CREDENTIALS: Final = ("token", "api_key", "token_command")
_FIELDS: Final = tuple(field.name for field in fields(Profile))


class Profiles:
    """The file ``config.toml``, which has a table ``[profiles.NAME]`` for each."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Profiles":
        """Return those of the file that ``TIDEWIRE_CONFIG`` names, or of the user's."""
        path = environment.get("TIDEWIRE_CONFIG")
        return cls(Path(path) if path else platformdirs.user_config_path("tidewire") / "config.toml")

    def all(self) -> dict[str, Profile]:
        """Return all of them by name.

        Raises:
            CommandError: The file can't be read, or is not as it should be.
        """
        return {name: self._profile(name, table) for name, table in _tables(self._parse(self._text())).items()}

    def get(self, name: str) -> Profile:
        """Return one of them.

        Raises:
            CommandError: There is none of that name.
        """
        profiles = self.all()
        if name not in profiles:
            known = f"there are {', '.join(sorted(profiles))}" if profiles else "there are none"
            raise CommandError(f"no profile {name!r} in {self.path}: {known}", ExitCode.USAGE)
        return profiles[name]

    def set(self, name: str, profile: Profile) -> None:
        """Write one, in place of what is there under that name. The rest of the file stays as it is.

        Raises:
            CommandError: The name is no such name, or the file is not as it should be.
        """
        if not _NAME.fullmatch(name):
            raise CommandError(f"{name!r} is no name for a profile: A-Z a-z 0-9 _ -", ExitCode.USAGE)
        lines = [f"{field} = {_toml(value)}" for field in _FIELDS if (value := getattr(profile, field)) is not None]
        self._replace(name, "\n".join([f"[profiles.{name}]", *lines]) + "\n")

    def remove(self, name: str) -> None:
        """Take one out.

        Raises:
            CommandError: There is none of that name.
        """
        self.get(name)
        self._replace(name, "")

    def _replace(self, name: str, section: str) -> None:
        text = self._text()
        kept = _without(text, name)
        before, after = _tables(self._parse(text)), _tables(self._parse(kept))
        if after != {other: table for other, table in before.items() if other != name}:
            raise CommandError(f"{self.path} is written in a way of its own: change it by hand", ExitCode.USAGE)
        gap = "\n" if kept.strip() and section else ""
        self._write((kept.rstrip() + "\n" if kept.strip() else "") + gap + section)

    def _text(self) -> str:
        try:
            return self.path.read_text("utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{self.path} can't be read: {_reason(error)}", ExitCode.USAGE) from None

    def _parse(self, text: str) -> dict[str, Any]:
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise CommandError(f"{self.path} is no TOML: {error}", ExitCode.USAGE) from None

    def _profile(self, name: str, table: Any) -> Profile:
        if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
            raise CommandError(f"{self.path}: profile {name!r} must have texts alone", ExitCode.USAGE)
        if unknown := table.keys() - set(_FIELDS):
            raise CommandError(f"{self.path}: profile {name!r} has an unknown {min(unknown)!r}", ExitCode.USAGE)
        return Profile(**table)

    def _write(self, text: str) -> None:
        """Put the new file in the old one's place at once: whoever reads meanwhile reads one of both."""
        path = self.path.resolve()  # it may be a link to where its owner keeps such files
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".config")  # mode 0600
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink()
                raise
        except OSError as error:
            raise CommandError(f"{self.path} can't be written: {_reason(error)}", ExitCode.USAGE) from None


def _tables(config: dict[str, Any]) -> dict[str, Any]:
    tables = config.get("profiles", {})
    return tables if isinstance(tables, dict) else {}


def _without(text: str, name: str) -> str:
    """Return the text without the table of that name: from its header to the next one."""
    header = re.compile(rf"""\s*\[\s*profiles\s*\.\s*(["']?){re.escape(name)}\1\s*\]""")
    kept: list[str] = []
    between: list[str] = []  # comments that may be the next table's
    inside = False
    for line in text.splitlines(keepends=True):
        if _HEADER.match(line):
            kept += between
            inside = header.match(line) is not None
            between = []
        if not inside:
            kept.append(line)
        elif line.lstrip().startswith("#"):
            between.append(line)
        elif line.strip():
            between = []
    return "".join(kept + between)


def _toml(text: str) -> str:
    """Return a TOML basic string: as JSON's, which leaves DEL as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "it is not UTF-8"
