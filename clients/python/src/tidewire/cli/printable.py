"""Text of others as it may be shown: what would move the cursor or turn the writing round is written as an escape."""

import json
import unicodedata
from typing import Any, Final

# Controls, format characters (bidirectional overrides), surrogates, line and paragraph separators.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS: Final = "\u200c\u200d"  # writing and emoji need them


def printable(text: str) -> str:
    r"""Return ``text`` with such characters as ``\uXXXX``: one line, and nothing that a terminal obeys."""
    return "".join(char if _is_safe(char) else _escape(char) for char in text)


def json_line(value: Any) -> str:
    """Return ``value`` as JSON in one line, which is printable as well."""
    return printable(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _is_safe(char: str) -> bool:
    return char in _JOINERS or unicodedata.category(char) not in _UNSAFE


def _escape(char: str) -> str:
    # As JSON has it: inside of JSON it stays the same text.
    return json.dumps(char)[1:-1] if ord(char) != 0x7F else "\\u007f"
