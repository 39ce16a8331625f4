"""Standard input."""

import io
import sys
from collections.abc import Iterator
from typing import Final, cast

from tidewire.cli.exit_codes import CommandError, ExitCode

_CHUNK_BYTES: Final = 1_000_000


def read_all() -> str:
    """Return all of it, without the end of its last line."""
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise CommandError("standard input is not UTF-8", ExitCode.USAGE) from None


def read_chunks() -> Iterator[list[tuple[int, str | None]]]:
    """Yield its lines, numbered from 1 and without blank ones: as many together as are there at a time.

    One that is not UTF-8 is ``None``.
    """
    number, begun = 0, b""
    stdin = cast(io.BufferedReader, sys.stdin.buffer)
    while text := stdin.read1(_CHUNK_BYTES):
        *whole, begun = (begun + text).split(b"\n")
        yield _lines(number, whole)
        number += len(whole)
    yield _lines(number, [begun])


def _lines(before: int, texts: list[bytes]) -> list[tuple[int, str | None]]:
    return [(number, _text(text)) for number, text in enumerate(texts, before + 1) if text.strip()]


def _text(line: bytes) -> str | None:
    try:
        return line.decode().rstrip("\r")
    except UnicodeDecodeError:
        return None
