"""JSON values: merge patches, copies, and whether two are the same. Nothing here changes what it is given."""

import json
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


def copied(value: Any) -> Any:
    """Return a copy: whoever has it may change it."""
    return json.loads(json.dumps(value)) if isinstance(value, dict | list) else value


def same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are the same. Python takes True for 1; JSON does not."""
    pairs = [(one, other)]  # no recursion: it may be nested however deeply
    while pairs:
        one, other = pairs.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            pairs += [(value, other[key]) for key, value in one.items()]
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            pairs += zip(one, other, strict=True)
        elif isinstance(one, bool) or isinstance(other, bool):
            if one is not other:
                return False
        elif one != other:
            return False
    return True
