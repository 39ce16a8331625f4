"""Publish: into a lane, straight into the log (express), or past it (ephemeral); and the worker behind the lanes."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shared.domain.principal import Principal
from shared.domain.publication import Priority, Publication, StreamPosition
from shared.errors import ForbiddenError
from shared.namespaces import Namespaces
from shared.ports import Broadcast, EventBus, LaneQueue, LaneRecord, Metrics
from shared.protocol.encode import to_json
from shared.services.append import Append, Submission
from shared.services.fan_out import FanOut

# A channel with more subscribers is fanned out by the function made for it: here it would take too long.
EXPRESS_MAX_SUBSCRIBERS: Final = 100
# An event on the bus may take 256 KB (docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html): the
# publications of one segment, which are one event, stay below that with the fields around them.
SEGMENT_MAX_BYTES: Final = 200_000


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """What somebody wants published.

    Attributes:
        retry: It was sent before, and whether it arrived is unknown.
    """

    channel: str
    name: str
    data: Any
    message_id: str | None = None
    priority: Priority | None = None
    retry: bool = False
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """What became of it.

    Attributes:
        position: Its place, when it is in the stream already.
    """

    message_id: str
    position: StreamPosition | None = None

    def to_wire(self) -> dict[str, Any]:
        """Return the result of a ``publish`` request."""
        if self.position is None:
            return {"message_id": self.message_id, "status": "accepted"}
        return {"message_id": self.message_id, "position": self.position.to_wire()}


@dataclass(frozen=True, slots=True)
class Publishing:
    """The sender's side."""

    namespaces: Namespaces
    lanes: LaneQueue
    append: Append
    bus: EventBus
    fan_out: FanOut
    metrics: Metrics
    now_ms: Callable[[], int]

    def publish(self, principal: Principal, request: PublishRequest, *, connection_id: str | None) -> Published:
        """Return when the publication is durable: in its lane, or (express) in the log.

        Raises:
            ForbiddenError: The principal may not publish there.
        """
        self._authorise(principal, request.channel)
        publication = Publication(
            message_id=request.message_id or secrets.token_urlsafe(16),
            name=request.name,
            data=request.data,
            user_id=principal.user_id,
            connection_id=connection_id,
            priority=request.priority or self.namespaces.of(request.channel).default_priority,
            published_at_ms=self.now_ms(),
        )
        self.metrics.count("Publishes")
        if request.ephemeral:
            event = publication.to_event(request.channel) | {"ephemeral": True}
            self.bus.put([Broadcast(request.channel, [event])])
        elif publication.priority == "express":
            return self._express(request.channel, publication, retry=request.retry)
        else:
            self.lanes.send(publication.priority, request.channel, publication, retry=request.retry)
        return Published(publication.message_id)

    def _authorise(self, principal: Principal, channel: str) -> None:
        if not principal.may("publish", channel):
            raise ForbiddenError("the token does not allow to publish in this channel")
        servers_only = self.namespaces.of(channel).publishers == "servers"
        if servers_only and not principal.server and not principal.may("admin", "*"):
            raise ForbiddenError("only servers publish in this channel")

    def _express(self, channel: str, publication: Publication, *, retry: bool) -> Published:
        appended = self.append.execute(channel, [Submission(publication, uncertain=retry)])
        events = [entry.to_event(channel, appended.epoch) for entry in appended.entries]
        fanned_out = self.fan_out.deliver_to_few(channel, events, at_most=EXPRESS_MAX_SUBSCRIBERS)
        self.bus.put([Broadcast(channel, events, fanned_out=fanned_out)])
        return Published(publication.message_id, appended.position(0))


@dataclass(frozen=True, slots=True)
class PublishWorker:
    """The lane's side: append, then tell the bus. Both may be repeated."""

    append: Append
    bus: EventBus
    metrics: Metrics
    on_failure: Callable[[str, Exception], None] = field(repr=False)

    def work(self, records: Sequence[LaneRecord]) -> list[str]:
        """Handle a batch; return the ids of the records to be handed out again.

        When one of a channel fails, its later ones fail as well (their order would break); other channels go on.
        """
        channels: dict[str, list[LaneRecord]] = {}
        for record in records:
            channels.setdefault(record.channel, []).append(record)
        failed: list[str] = []
        for channel, waiting in channels.items():
            segments = _segments(waiting)
            for index, segment in enumerate(segments):
                try:
                    self._store(channel, segment)
                except Exception as error:  # told to on_failure, and the queue keeps the records
                    self.on_failure(channel, error)
                    failed += [record.record_id for later in segments[index:] for record in later]
                    break
        return failed

    def _store(self, channel: str, records: Sequence[LaneRecord]) -> None:
        submissions = [Submission(record.publication, record.uncertain) for record in records]
        appended = self.append.execute(channel, submissions)
        events = {entry.offset: entry.to_event(channel, appended.epoch) for entry in appended.entries}
        # Repeats are told again: whoever stored them first may have died before telling.
        self.bus.put([Broadcast(channel, [events[offset] for offset in sorted(events)])])
        self.metrics.count("PublicationsAppended", len(events))


def _segments(records: Sequence[LaneRecord]) -> list[list[LaneRecord]]:
    """Split what would not fit one event; SQS hands out at most 10 of a FIFO queue, so their number always fits."""
    segments: list[list[LaneRecord]] = [[]]
    size = 0
    for record in records:
        record_bytes = len(to_json(record.publication.to_record()))
        if segments[-1] and size + record_bytes > SEGMENT_MAX_BYTES:
            segments.append([])
            size = 0
        segments[-1].append(record)
        size += record_bytes
    return segments
