"""Changes of JSON values: merge patches, what lies between two values, and three-way merges.

``None`` is what is not there: a document is any other JSON value. Inside values, null is a value.
"""

from typing import Any, Final

# What a merge patch can't say: it has null for what goes, so it can put no null anywhere.
_NO_PATCH: Final = object()
_ABSENT: Final = object()


def patched(value: Any, patch: dict[str, Any]) -> dict[str, Any]:
    """Return the value with a merge patch applied (RFC 7396, section 2)."""
    result = dict(value) if isinstance(value, dict) else {}
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        elif isinstance(change, dict):
            result[key] = patched(result.get(key), change)
        else:
            result[key] = change
    return result


def patch_between(before: Any, after: Any) -> dict[str, Any] | None:
    """Return the merge patch that makes ``after`` of ``before``, or ``None`` where none does."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return None
    patch = _difference(before, after)
    return None if patch is _NO_PATCH else patch


def _difference(before: dict[str, Any], after: dict[str, Any]) -> Any:
    patch: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    for key, value in after.items():
        old = before.get(key, _ABSENT)
        if same(old, value):
            continue
        change = _difference(old, value) if isinstance(old, dict) and isinstance(value, dict) else _put(value)
        if change is _NO_PATCH:
            return _NO_PATCH
        patch[key] = change
    return patch


def _put(value: Any) -> Any:
    """Return what a patch has to put the value where another is or none; an object is merged into nothing there."""
    if value is None:
        return _NO_PATCH
    if isinstance(value, dict) and any(_put(member) is _NO_PATCH for member in value.values()):
        return _NO_PATCH
    return value


def merged(base: Any, mine: Any, theirs: Any) -> Any:
    """Return both changes of ``base`` in one: member by member, and where both have changed the same, ``mine``.

    Objects alone have members here: a list is changed as a whole.
    """
    result = _merged(base, mine, theirs)
    return None if result is _ABSENT else result


def _merged(base: Any, mine: Any, theirs: Any) -> Any:
    if same(mine, base):
        return theirs
    if same(theirs, base):
        return mine
    if not (isinstance(mine, dict) and isinstance(theirs, dict)):
        return mine
    # Where there was no object before, each has put all of its own.
    before = base if isinstance(base, dict) else {}
    result = {}
    for key in [*theirs, *(key for key in mine if key not in theirs)]:
        member = _merged(before.get(key, _ABSENT), mine.get(key, _ABSENT), theirs.get(key, _ABSENT))
        if member is not _ABSENT:
            result[key] = member
    return result


def conflicts(base: Any, mine: Any, theirs: Any) -> list[str]:
    """Return where both have changed ``base``, and not to the same: JSON pointers (RFC 6901), sorted."""
    return sorted(_conflicts(base, mine, theirs, ""))


def _conflicts(base: Any, mine: Any, theirs: Any, place: str) -> list[str]:
    if same(mine, base) or same(theirs, base) or same(mine, theirs):
        return []
    if not (isinstance(mine, dict) and isinstance(theirs, dict)):
        return [place]
    before = base if isinstance(base, dict) else {}
    return [
        pointer
        for key in mine.keys() | theirs.keys()
        for pointer in _conflicts(
            before.get(key, _ABSENT),
            mine.get(key, _ABSENT),
            theirs.get(key, _ABSENT),
            f"{place}/{key.replace('~', '~0').replace('/', '~1')}",
        )
    ]


def same(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are the same. Python takes True for 1; JSON does not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)
