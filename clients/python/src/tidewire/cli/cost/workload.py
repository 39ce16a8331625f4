"""A workload, and what happens in it in a month."""

from dataclasses import dataclass
from math import exp, floor
from typing import Final, Literal

from tidewire.cli.cost.tables import SERVER
from tidewire.receiver import QUIET_MAX_MS, QUIET_MS

Way = Literal["normal", "high", "low", "express", "ephemeral"]
By = Literal["websocket", "http"]
_SPREAD: Final = 1.25  # each client waits up to half as long again (tidewire.receiver)
_PACED: Final = ("normal", "low")  # whoever publishes with another priority has no time to save money


@dataclass(frozen=True, slots=True)
class Workload:
    """Who is there, and what is said.

    Attributes:
        connections: At a time, on average.
        publishes_per_s: In all channels together.
        subscribers: Who hear each publication.
        message_bytes: Of a publication's data.
        by: How publications come in.
        connection_minutes: How long one is there, on average.
        lambda_ms: Of an invocation.
        pace_ms: How long a worker holds back for fuller batches, where much is published.
        hours: Of the month.
        users: Who are there at least once in the month.
    """

    connections: int
    publishes_per_s: float
    subscribers: int
    channels: int
    message_bytes: int
    priority: Way
    by: By
    connection_minutes: float
    lambda_ms: float
    pace_ms: float
    hours: float
    users: int

    @property
    def seconds(self) -> float:
        """Of the month."""
        return self.hours * 3600

    @property
    def publications(self) -> float:
        """In the month."""
        return self.publishes_per_s * self.seconds

    @property
    def deliveries(self) -> float:
        """Publications that come to somebody, in the month."""
        return self.publications * self.subscribers

    @property
    def minutes(self) -> float:
        """Of all connections together."""
        return self.connections * self.hours * 60

    @property
    def connects(self) -> float:
        """In the month: API Gateway ends each after two hours, whoever is there still."""
        return self.minutes / min(self.connection_minutes, SERVER.connection_max_age_s / 60)

    @property
    def subscriptions(self) -> float:
        """Of a connection."""
        return self.channels * self.subscribers / self.connections

    @property
    def rate_per_s(self) -> float:
        """Of publications in a channel."""
        return self.publishes_per_s / self.channels

    @property
    def together(self) -> float:
        """Publications of a channel that go through the log and the bus together, on average.

        While a worker holds back, what comes in waits; then all of it goes, or the next alone that comes. They come at
        random (a Poisson process).
        """
        if self.priority not in _PACED or self.rate_per_s <= SERVER.paced_from_per_s:
            return 1.0
        meanwhile = self.rate_per_s * self.pace_ms / 1000
        return min(meanwhile + exp(-meanwhile), float(SERVER.segment_max_publications))

    @property
    def batches(self) -> float:
        """In the month."""
        return self.publications / self.together

    @property
    def held_s(self) -> float:
        """How long a worker stays after a batch, if it does: what is full goes on at once."""
        paced = self.priority in _PACED and self.rate_per_s > SERVER.paced_from_per_s
        return self.pace_ms / 1000 if paced and self.together < SERVER.segment_max_publications else 0.0

    @property
    def in_lanes(self) -> bool:
        """Whether publications wait in a queue for a worker."""
        return self.priority not in ("express", "ephemeral")

    @property
    def heartbeats(self) -> float:
        """How often clients ask about all of their channels, in the month."""
        return self.connections * self.seconds / SERVER.heartbeat_s

    @property
    def syncs(self) -> float:
        """How often clients ask whether they miss something: as a heartbeat, and when traffic has stopped for a while.

        With publications at random, so long a silence follows one with the probability e^(-rate * silence). The while
        is longer each time; nothing is ever missing, which would begin it anew.
        """
        if self.priority == "ephemeral":
            return self.heartbeats
        first, last = QUIET_MS / 1000 * _SPREAD, QUIET_MAX_MS / 1000 * _SPREAD
        sooner, while_s = 0.0, first
        while while_s < last:
            sooner += min(1.0, self._stops_per_s(while_s) * self.minutes * 60 / self.connects)
            while_s *= 2
        return self.heartbeats + self.connects * sooner + self.connections * self.seconds * self._stops_per_s(last)

    def _stops_per_s(self, while_s: float) -> float:
        """How often nothing comes to a connection for so long, after something has."""
        heard_per_s = self.publishes_per_s * self.subscribers / self.connections
        return heard_per_s * exp(-heard_per_s * while_s)

    @property
    def shards(self) -> int:
        """In how many parts a channel's subscribers are: doubled while one would have too many."""
        shards = 1
        while self.subscribers > shards * SERVER.shard_max_subscribers and shards < SERVER.shards_max:
            shards *= 2
        return shards


def between(mean: float) -> list[tuple[int, float]]:
    """Return the whole numbers on both sides of a mean, each with its share."""
    below = floor(mean)
    return [(below, 1 - (mean - below)), (below + 1, mean - below)] if mean > below else [(below, 1.0)]
