"""Writes of a document that the server has not settled yet."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from tidewire.errors import TidewireError, too_large
from tidewire.frames import Frame
from tidewire.merge import patched

_FRAME_MAX_BYTES: Final = 250_000


@dataclass(frozen=True, slots=True)
class WriteResult:
    """A document as a write has left it.

    Attributes:
        value: ``None``: it is deleted.
        resolution: ``merged``: others have written as well, and the server has settled it.
    """

    version: int
    value: Any
    resolution: Literal["applied", "merged"]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A write that was refused.

    Attributes:
        mine: What the write would have made of the document; ``None``: deleted it.
        current: How the document is; ``None``: it is not there.
        error: Why: ``version_conflict``, or ``refused`` by the server's own rules.
    """

    mine: Any
    current: Any
    error: TidewireError


@dataclass(eq=False, slots=True)
class Write:
    """One that is not settled.

    Attributes:
        kept: Its id in the store.
        seen: What its writer had before it.
        restored: An earlier process has left it.
    """

    request: Frame
    kept: "asyncio.Future[int] | None"
    seen: Any
    restored: bool
    result: "asyncio.Future[WriteResult]"
    refusals: int = 0


def request_of(change: Frame, channel: str, key: str, version: int) -> Frame:
    """Return the request of a write upon the version that its writer sees.

    It is a copy, since what is sent later, or again, must be what was written.

    Raises:
        TidewireError: As ``too_large``.
        TypeError: What is written is no JSON.
        ValueError: Likewise: NaN, a circle, half a character.
    """
    base = {"base_version": version} if version else {}
    request = {**change, "channel": channel, "key": key, **base}
    text = json.dumps(request, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    size_bytes = len(text.encode())
    if size_bytes > _FRAME_MAX_BYTES:
        raise too_large(size_bytes)
    copy: Frame = json.loads(text)
    return copy


def applied(value: Any, request: Frame) -> Any:
    """Return what a write makes of a document; ``None`` is one that is not there."""
    if request["type"] == "state.set":
        return request["value"]
    return patched(value, request["patch"]) if request["type"] == "state.patch" else None
