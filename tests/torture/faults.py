"""What goes wrong between the functions and the clients, in the edge: pushes and invocations."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from localstack.edge.faults import Fault, Operation

_NAMES: Final[Mapping[Operation, Sequence[str]]] = {
    "post": ("dropped", "delayed", "410", "429", "500"),
    "invoke": ("failed", "slowed"),
}
_DELAYED_S: Final = (0.05, 2.0)  # a push that comes after later ones
_SLOWED_S: Final = (0.05, 1.0)
# One refusal puts a connection off until later, and only several of them have it told that it lags: so now and then a
# refusal does not come alone.
_IN_ROWS: Final = frozenset({"429", "500"})
_ROW: Final = 24
_ROW_CHANCE: Final = 0.05


class EdgeFaults:
    """Implements :class:`localstack.edge.faults.Faults`: the n-th call of a kind has the same fate by the same seed.

    Attributes:
        one_in: Of so many calls, each fault hits one at least; 0: none hits any, and nothing is counted.
    """

    def __init__(self, seed: int) -> None:
        self.one_in = 0
        self.calls: Counter[str] = Counter()
        self.hits: Counter[tuple[str, str]] = Counter()
        self._dice = {operation: random.Random(f"{seed} {operation}") for operation in _NAMES}
        self._bags: dict[str, list[str | None]] = {operation: [] for operation in _NAMES}
        self._row: list[str] = []

    def next(self, operation: Operation) -> Fault | None:
        """Return what goes wrong with this call, if anything."""
        if not self.one_in:
            return None
        detail = self._dice[operation].random()
        name = self._row.pop() if self._row and operation == "post" else self._draw(operation, detail)
        self.calls[operation] += 1
        if name is None:
            return None
        self.hits[operation, name] += 1
        return _fault(operation, name, detail)

    def _draw(self, operation: Operation, detail: float) -> str | None:
        bag = self._bags[operation]
        if not bag:
            names = _NAMES[operation]
            bag += [*names, *[None] * (self.one_in - len(names))]
            self._dice[operation].shuffle(bag)
        name = bag.pop()
        if name in _IN_ROWS and detail < _ROW_CHANCE:
            self._row = [name] * _ROW
        return name

    def shares(self) -> Iterator[tuple[str, int, float]]:
        """Yield each fault, how often it hit, and the share of its calls that this is."""
        for operation, names in _NAMES.items():
            for name in names:
                hits = self.hits[operation, name]
                yield f"{operation} {name}", hits, hits / max(1, self.calls[operation])


def _fault(operation: Operation, name: str, detail: float) -> Fault:
    if name == "dropped":
        return Fault(drop=True)
    if name in ("delayed", "slowed"):
        shortest, longest = _DELAYED_S if operation == "post" else _SLOWED_S
        return Fault(delay_s=shortest + (longest - shortest) * detail)
    return Fault(status=500 if name == "failed" else int(name))
