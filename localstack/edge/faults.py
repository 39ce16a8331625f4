"""Faults that tests put between the functions and the clients."""

from dataclasses import dataclass
from typing import Literal, Protocol

Operation = Literal["post", "invoke"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one call.

    Attributes:
        delay_s: It takes that much longer.
        status: ``@connections`` answers this instead; an invocation fails.
        drop: It is answered as if all were well, and nothing is sent; the function is not invoked.
    """

    delay_s: float = 0
    status: int | None = None
    drop: bool = False


class Faults(Protocol):
    """Decides which calls go wrong."""

    def next(self, operation: Operation) -> Fault | None:
        """Return what goes wrong with this call, if anything."""
        ...


class NoFaults:
    """All is well."""

    def next(self, operation: Operation) -> Fault | None:
        """See :class:`Faults`."""
        return None
