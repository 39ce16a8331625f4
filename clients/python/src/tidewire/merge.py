"""JSON values: merge patches, and whether two are the same. Nothing here changes what it is given."""

from collections.abc import Mapping
from typing import Any


def patched(value: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value with a merge patch applied (RFC 7396, section 2)."""
    result = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        else:
            result[key] = patched(result.get(key), change) if isinstance(change, dict) else change
    return result


def same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are the same. Python takes True for 1; JSON does not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)
