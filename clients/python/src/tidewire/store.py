"""What outlives the process, of one user: requests that have not been answered."""

from dataclasses import dataclass
from typing import Protocol

from tidewire.frames import Frame


@dataclass(frozen=True, slots=True)
class Kept:
    """A request that is kept until it is answered.

    Attributes:
        id: Ascending: the order in which they were kept.
        sent_at_ms: By the wall clock, when it was first sent; ``None`` if it never was.
    """

    id: int
    request: Frame
    sent_at_ms: int | None


class Store(Protocol):
    """Where requests are kept. Called in the event loop; what fails for good raises a ``TidewireError``."""

    async def keep(self, request: Frame) -> int:
        """Keep a request; return its id. When this returns, it outlives the process.

        Raises:
            TidewireError: ``limit_reached``: too many are kept already.
        """
        ...

    async def sent(self, id: int) -> bool:
        """Note that it is being sent, before it is for the first time.

        Returns:
            Whether it is still this process's: otherwise another has taken it over, and sends it.
        """
        ...

    def forget(self, id: int) -> None:
        """It has been answered. Returns at once."""
        ...

    async def left(self) -> list[Kept]:
        """Return what processes that are gone have left behind, in order: it is the caller's from now on."""
        ...

    async def close(self) -> None:
        """This process is done with it: what it has kept, and what has not been answered, is left to the next."""
        ...
