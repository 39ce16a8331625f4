"""Counts what a subscriber was told, against the order of the stream."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """One subscriber's publications, by their offsets, as they came.

    Attributes:
        gaps: How often one came before some that the subscriber did not have.
        disordered: How many came behind later ones.
        repeats: How many it had already.
        anew: How many it was told that it has to do without, since they could not be recovered.
    """

    gaps: int = 0
    disordered: int = 0
    repeats: int = 0
    anew: int = 0
    _seen: set[int] = field(default_factory=set)

    def add(self, offset: int) -> None:
        """Take note of one."""
        if offset in self._seen:
            self.repeats += 1
            return
        newest = max(self._seen, default=0)
        self.gaps += offset > newest + 1
        self.disordered += offset < newest
        self._seen.add(offset)

    def begin_anew(self, offset: int) -> None:
        """Take note that it was told to begin anew behind that."""
        lost = set(range(1, offset + 1)) - self._seen
        self.anew += len(lost)
        self._seen |= lost

    def missing(self, last: int) -> int:
        """Return how many it never had, of a stream that ends there, and was told nothing of."""
        return len(set(range(1, last + 1)) - self._seen)
