"""What goes wrong between the functions and the clients, in the edge: pushes and invocations."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from localstack.edge.faults import Fault, Operation

POSTS: Final = ("dropped", "delayed", "410", "429", "500")
INVOCATIONS: Final = ("failed", "slowed")

_DELAYED_S: Final = (0.05, 2.0)  # a push that comes after later ones
_SLOWED_S: Final = (0.05, 1.0)
# botocore tries three times by itself. A connection is only put off until later when all of them fail, so now and then
# a refusal does not come alone.
_IN_A_ROW: Final = 24
_IN_A_ROW_CHANCE: Final = 0.05


class EdgeFaults:
    """Implements :class:`localstack.edge.faults.Faults`: the n-th call of a kind has the same fate by the same seed.

    Attributes:
        rates: Share of calls that each fault hits: posts by the names in ``POSTS``, invocations by those in
            ``INVOCATIONS``. Nothing goes wrong, and nothing is counted, while it is empty.
    """

    def __init__(self, seed: int) -> None:
        self.rates: Mapping[Operation, Mapping[str, float]] = {}
        self.calls: Counter[Operation] = Counter()
        self.hits: Counter[tuple[Operation, str]] = Counter()
        self._dice = {operation: random.Random(f"{seed} {operation}") for operation in ("post", "invoke")}
        self._row: list[str] = []

    def next(self, operation: Operation) -> Fault | None:
        """Return what goes wrong with this call, if anything."""
        rates = self.rates.get(operation)
        if not rates:
            return None
        dice = self._dice[operation]
        thrown, detail = dice.random(), dice.random()
        self.calls[operation] += 1
        name = self._row.pop() if operation == "post" and self._row else _pick(rates, thrown)
        if name is None:
            return None
        self.hits[operation, name] += 1
        if name in ("429", "500") and not self._row and detail < _IN_A_ROW_CHANCE:
            self._row = [name] * _IN_A_ROW
        return _fault(operation, name, detail)

    def shares(self) -> Iterator[tuple[str, int, float]]:
        """Yield each fault, how often it hit, and the share of its calls that this is."""
        for operation, names in (("post", POSTS), ("invoke", INVOCATIONS)):
            calls = self.calls[operation]  # type: ignore[index]  # the literals above
            for name in names:
                hits = self.hits[operation, name]  # type: ignore[index]
                yield f"{operation} {name}", hits, hits / max(1, calls)


def _pick(rates: Mapping[str, float], thrown: float) -> str | None:
    for name, rate in rates.items():
        if thrown < rate:
            return name
        thrown -= rate
    return None


def _fault(operation: Operation, name: str, detail: float) -> Fault:
    if name == "dropped":
        return Fault(drop=True)
    if name in ("delayed", "slowed"):
        shortest, longest = _DELAYED_S if operation == "post" else _SLOWED_S
        return Fault(delay_s=shortest + (longest - shortest) * detail)
    return Fault(status=500 if name == "failed" else int(name))
