"""Centrifugo PRO's capabilities of a connection, as far as ours say just the same.

Source: centrifugal.dev/docs/pro/capabilities
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeGuard

from shared.domain.centrifugo import NAMESPACE, to_channel
from shared.domain.channel import PERSONAL_NAMESPACE, matches
from shared.domain.principal import Capability

_RIGHTS: Final[Mapping[str, Capability]] = {
    "sub": "subscribe",
    "pub": "publish",
    "prs": "presence",
    "hst": "history",
}
# What stands for others in a wildcard of theirs: github.com/gobwas/glob
_SPECIAL: Final = frozenset("*?[]{}\\")


def capabilities_of(caps: Sequence[Any]) -> dict[str, list[Capability]]:
    """Return ours, by pattern.

    Theirs go by the first entry that fits a channel, ours by all of them: what the first ones hide is left out.

    Raises:
        ValueError: Ours would say something else; the message says where, and repeats nothing that was sent.
    """
    ours: dict[str, list[Capability]] = {}
    for place, entry in enumerate(caps):
        try:
            _add(ours, entry)
        except ValueError as error:
            raise ValueError(f"caps[{place}]: {error}") from None
    return ours


def _add(ours: dict[str, list[Capability]], entry: Any) -> None:
    channels = entry.get("channels") if isinstance(entry, dict) else None
    allow = entry.get("allow") if isinstance(entry, dict) else None
    if not _are_texts(channels) or not _are_texts(allow):
        raise ValueError("an entry has lists of channels and allow")
    if not _RIGHTS.keys() >= set(allow):
        raise ValueError(f"allow is of {', '.join(_RIGHTS)}")
    rights = [_RIGHTS[name] for name in allow]
    for pattern in _patterns(entry.get("match", ""), channels):
        if any(_covers(earlier, pattern) for earlier in ours):
            continue
        if any(_covers(pattern, earlier) and not set(rights) <= set(allowed) for earlier, allowed in ours.items()):
            raise ValueError("it would widen an earlier one: of what fits a channel, the first counts alone")
        ours[pattern] = rights


def _patterns(match: Any, names: Sequence[str]) -> Iterator[str]:
    if match not in ("", "wildcard"):
        raise ValueError("match is wildcard, or not there")
    for name in names:
        if match and not _SPECIAL.isdisjoint(name):
            yield from _of_wildcard(name)
        else:
            yield _channel(name)


def _of_wildcard(name: str) -> Iterator[str]:
    """Yield what fits the same channels: one with a colon, or without one both those with a namespace and without."""
    prefix = name[:-1]
    if not name.endswith("*") or not _SPECIAL.isdisjoint(prefix):
        raise ValueError("a wildcard has one *, at its end")
    if not prefix:
        yield "*"
        return
    # "%" may be the beginning of what stands there encoded; "#" alone, of somebody's personal channel.
    hides = "%" in prefix or prefix.startswith("#")
    if hides or any(namespace.startswith(prefix) for namespace in (NAMESPACE, PERSONAL_NAMESPACE)):
        raise ValueError("this beginning means other channels here")
    if ":" not in prefix:
        yield _channel(f"{prefix}:x").removesuffix(":x") + "*"
    yield _channel(f"{prefix}x").removesuffix("x") + "*"


def _channel(name: str) -> str:
    channel = to_channel(name)
    if channel is None:
        raise ValueError("a name means no channel")
    return channel


def _covers(pattern: str, other: str) -> bool:
    return matches(pattern, other.removesuffix("*")) and (pattern.endswith("*") or not other.endswith("*"))


def _are_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
