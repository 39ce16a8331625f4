"""Settles scores: of every number, the larger one stands."""

from collections.abc import Sequence
from typing import Any

from shared.domain.resolving import Reject


def keep_larger(base: Any, current: Any, update: Any, conflicts: Sequence[str]) -> Any:
    """Return both objects in one: of each number the larger, of all else what was written last."""
    del base, conflicts
    if not isinstance(current, dict) or not isinstance(update, dict):
        return Reject("a score is an object of numbers")
    return current | {name: _larger(current.get(name), value) for name, value in update.items()}


def _larger(current: Any, update: Any) -> Any:
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (current, update))
    return max(current, update) if numbers else update
