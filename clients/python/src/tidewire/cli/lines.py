"""Standard input."""

import io
import sys
from collections.abc import Iterator
from typing import Final, cast

from tidewire.cli.exit_codes import CommandError, ExitCode

_CHUNK_BYTES: Final = 1_000_000


def read_all() -> str:
    """Return all of it, without the end of its last line."""
    return _decoded(sys.stdin.buffer.read(), "standard input").removesuffix("\n")


def read_chunks() -> Iterator[list[tuple[int, str]]]:
    """Yield its lines, numbered from 1 and without blank ones: as many together as are there at a time."""
    number, begun = 0, b""
    stdin = cast(io.BufferedReader, sys.stdin.buffer)
    while text := stdin.read1(_CHUNK_BYTES):
        *whole, begun = (begun + text).split(b"\n")
        yield _lines(number, whole)
        number += len(whole)
    yield _lines(number, [begun])


def _lines(before: int, texts: list[bytes]) -> list[tuple[int, str]]:
    return [
        (number, _decoded(text, f"line {number}").rstrip("\r"))
        for number, text in enumerate(texts, before + 1)
        if text.strip()
    ]


def _decoded(text: bytes, what: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise CommandError(f"{what} is not UTF-8", ExitCode.USAGE) from None
