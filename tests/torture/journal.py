"""Writes down what publishers and applications can swear to, in the lines that tests/torture/checker.py reads."""

import json
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Journal:
    """One file of JSON lines; use it with ``with``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, kind: str, **fields: Any) -> None:
        """Write one line."""
        self._file.write(json.dumps({"kind": kind, **fields}, separators=(",", ":")) + "\n")


def digest(data: Any) -> int:
    """Return what tells one publication's data from another's."""
    return zlib.crc32(json.dumps(data, sort_keys=True).encode())
