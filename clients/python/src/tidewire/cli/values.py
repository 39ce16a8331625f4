"""What is typed: JSON or text, durations, capabilities."""

import json
import re
from typing import Any, Final

import typer

_UNITS_S: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?")


def json_or_text(text: str) -> Any:
    """Return the JSON value that ``text`` is, or itself if it is none.

    Raises:
        typer.BadParameter: It can't be sent: nested too deep, a number without end, half a character.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise typer.BadParameter("it is nested too deep") from None
    except ValueError:
        value = text
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        raise typer.BadParameter(f"{text!a} can't be sent as JSON") from None
    return value


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object that ``text`` is.

    Raises:
        typer.BadParameter: It is none.
    """
    value = json_or_text(text)
    if not isinstance(value, dict):
        raise typer.BadParameter(f'{text!r} is no JSON object such as {{"open": true}}')
    return value


def duration_s(text: str) -> float:
    """Return the seconds of ``90``, ``10s``, ``5m``, ``1h``, ``7d``, ``500ms``.

    Raises:
        typer.BadParameter: It is no such duration, or no time at all.
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS_S[match[2] or "s"] if match else 0
    if not 0 < seconds < 10**9:
        raise typer.BadParameter(f"{text!r} is no duration such as 90, 10s, 5m, 1h or 7d")
    return seconds


def capabilities(allowed: list[str]) -> dict[str, list[str]]:
    """Return what ``room:*=subscribe,publish`` allows, by pattern; a pattern may come again.

    Raises:
        typer.BadParameter: One is not of that form.
    """
    caps: dict[str, list[str]] = {}
    for one in allowed:
        # The last one: a channel has no "=", and a capability neither.
        pattern, _, names = one.rpartition("=")
        listed = [name.strip() for name in names.split(",") if name.strip()]
        if not pattern or not listed:
            raise typer.BadParameter(f"{one!r} is not of the form 'room:*=subscribe,publish'", param_hint="--allow")
        caps.setdefault(pattern, []).extend(name for name in listed if name not in caps[pattern])
    return caps


def _no_constant(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity are no JSON
