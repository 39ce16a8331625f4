"""Standard input."""

import sys
from collections.abc import Iterator

from tidewire.cli.exit_codes import CommandError, ExitCode


def read_all() -> str:
    """Return all of it, without the end of its last line."""
    return _decoded(sys.stdin.buffer.read(), "standard input").removesuffix("\n")


def read_lines() -> Iterator[tuple[int, str]]:
    """Yield its lines as they come, numbered from 1, without blank ones."""
    for number, line in enumerate(iter(sys.stdin.buffer.readline, b""), 1):
        if line.strip():
            yield number, _decoded(line, f"line {number}").rstrip("\r\n")


def _decoded(text: bytes, what: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise CommandError(f"{what} is not UTF-8", ExitCode.USAGE) from None
