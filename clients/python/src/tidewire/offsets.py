"""A set of offsets, kept as ranges: what covers many offsets is never walked through one by one."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class OffsetSet:
    """Offsets; empty ranges (``last`` before ``first``) are nothing."""

    _ranges: list[tuple[int, int]] = field(default_factory=list)  # ascending and apart from each other, both inclusive

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def covers(self, first: int, last: int) -> bool:
        """Tell whether every offset from ``first`` to ``last`` is in it."""
        return any(start <= first and last <= end for start, end in self._ranges)

    def add(self, first: int, last: int) -> None:
        """Put in every offset from ``first`` to ``last``."""
        if last < first:
            return
        apart = []
        for start, end in self._ranges:
            if end < first - 1 or start > last + 1:
                apart.append((start, end))
            else:
                first, last = min(first, start), max(last, end)
        self._ranges = sorted([*apart, (first, last)])

    def advance(self, offset: int) -> int:
        """Take out what follows ``offset`` without a hole; return the end of that, or ``offset``."""
        while self._ranges and self._ranges[0][0] <= offset + 1:
            offset = max(offset, self._ranges.pop(0)[1])
        return offset
