"""Who is told what is published in its order, each once: subscribers with a position (docs/adr/0024, "Order")."""

from dataclasses import dataclass
from typing import Final

from shared.domain.publication import StreamPosition

# Longer than any function runs: who has died that was to tell, or to start a subscriber, does so no more.
ALIVE_S: Final = 65


@dataclass(frozen=True, slots=True)
class Positioned:
    """A subscriber that is told everything in order.

    Attributes:
        command_id: The command that subscribed it.
        since: Up to where it has everything, as long as nothing has been pushed to it: then as far as its shard.
        fossil: It takes deltas.
        started: It may be told; else it was to be started for so long that it never will be.
    """

    connection_id: str
    command_id: int
    since: StreamPosition | None
    fossil: bool = False
    started: bool = True


@dataclass(frozen=True, slots=True)
class Turn:
    """What asking for the turn to tell a shard comes to.

    Attributes:
        taken: It is had, by nobody else until it is ended.
        position: Up to where the shard has been told; ``None``: nothing yet.
    """

    taken: bool
    position: StreamPosition | None
