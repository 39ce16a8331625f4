"""DynamoDB's units, from the sizes of items: what DynamoDB bills on demand."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

# docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
WRITE_UNIT_BYTES: Final = 1024
READ_UNIT_BYTES: Final = 4096
TRANSACTION: Final = 2  # as many times the units of a write by itself
_NESTING_BYTES: Final = 3

Item = Mapping[str, Any]


def item_bytes(item: Item) -> int:
    """Return an item's size: the names of its attributes, and their values.

    Source: docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    [(kind, content)] = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return _number_bytes(content)
        case "B":
            return len(content)
        case "BOOL" | "NULL":
            return 1
        case "L":
            return _NESTING_BYTES + sum(1 + _value_bytes(element) for element in content)
        case "M":
            return _NESTING_BYTES + sum(1 + item_bytes({name: element}) for name, element in content.items())
        case _:
            raise ValueError(f"no item here has attributes of type {kind}")


def _number_bytes(number: str) -> int:
    """Two significant digits take a byte, and there is one more: zeros in front and behind take none."""
    digits = number.lstrip("-").replace(".", "").strip("0")
    return -(-len(digits) // 2) + 1


def write_units(item: Item | None, other: Item | None = None) -> int:
    """Return the units of a write: by the larger of the item before and after. One of nothing takes a unit.

    One that its condition refuses takes as many.

    Source: docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
    """
    return _units(max(item_bytes(item or {}), item_bytes(other or {})), WRITE_UNIT_BYTES)


def read_units(items: Iterable[Item], *, consistent: bool) -> float:
    """Return the units of one read: of an item by its key, or of all that a query passes, which are summed up first.

    What finds nothing takes as much as the smallest. Eventually consistent reads take half.

    Source: docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
    """
    return _units(sum(map(item_bytes, items)), READ_UNIT_BYTES) * (1 if consistent else 0.5)


def _units(size_bytes: int, unit_bytes: int) -> int:
    return max(1, -(-size_bytes // unit_bytes))
