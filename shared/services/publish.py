"""Publish: into a lane, straight into the log (express), or past it (ephemeral); to a channel, or to a peer.

Two steps: a publication is admitted, then it goes its way. Between them, those for one lane can be gathered.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from shared.domain.correlation import about, correlation_id
from shared.domain.principal import Principal
from shared.domain.processing import Context, Draft
from shared.domain.publication import Priority, Publication, StreamPosition
from shared.errors import ForbiddenError, TidewireError, UnavailableError
from shared.namespaces import Namespaces
from shared.ports import Broadcast, ConnectionStore, EventBus, Lane, LaneMessage, LaneQueue, Metrics, Trail
from shared.services.append import Append, Submission
from shared.services.fan_out import FanOut
from shared.services.limits import RateLimits
from shared.services.peers import peer_of
from shared.services.receipts import Receipts

if TYPE_CHECKING:
    from shared.services.processing import Processing

# A channel with more subscribers is fanned out by the function made for it: here it would take too long.
EXPRESS_MAX_SUBSCRIBERS: Final = 100


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """What somebody wants published.

    Attributes:
        retry: It was sent before, and whether it arrived is unknown.
        received_at_ms: When it came in, Unix milliseconds; ``None`` is now. Whoever repeats it does so after that: from
            then on another of it may have been stored, however long this one takes on its way.
    """

    channel: str
    name: str
    data: Any
    message_id: str | None = None
    priority: Priority | None = None
    retry: bool = False
    ephemeral: bool = False
    receipt: bool = False
    received_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SendRequest:
    """What somebody wants to reach a peer.

    Attributes:
        user_id: Every connection of this user, and kept; or
        connection_id: this connection, if it is there.
        received_at_ms: As in a :class:`PublishRequest`.
    """

    user_id: str | None
    connection_id: str | None
    name: str
    data: Any
    message_id: str | None = None
    retry: bool = False
    receipt: bool = False
    received_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A publication that nothing speaks against.

    Attributes:
        retry: As in the request.
        ephemeral: As in the request.
        only: The one connection that it is for.
    """

    channel: str
    publication: Publication
    retry: bool
    ephemeral: bool
    only: str | None

    @property
    def lane(self) -> Lane | None:
        """The lane that it goes through, if it goes through one."""
        priority = self.publication.priority
        return None if self.ephemeral or priority == "express" else priority

    @property
    def correlation_id(self) -> str:
        """By which it is found in logs."""
        return correlation_id(self.channel, self.publication.user_id, self.publication.message_id)


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
    connections: ConnectionStore
    receipts: Receipts
    limits: RateLimits
    processing: "Processing"
    metrics: Metrics
    now_ms: Callable[[], int]
    trail: Trail

    def publish(self, principal: Principal, request: PublishRequest, *, connection_id: str | None) -> Published:
        """Return when the publication is durable: in its lane, or (express) in the log.

        Raises:
            TidewireError: As :meth:`admit`.
        """
        return self.deliver(self.admit(principal, request, connection_id=connection_id))

    def admit(self, principal: Principal, request: PublishRequest, *, connection_id: str | None) -> Admitted:
        """Make a publication of the request.

        Raises:
            ForbiddenError: The principal may not publish there.
            RateLimitedError: There were too many.
            RefusedError: A processor says no.
        """
        return self._admit(principal, request, connection_id)

    def admit_send(self, principal: Principal, request: SendRequest, *, connection_id: str | None) -> Admitted:
        """To a user: one for their personal channel. To a connection: an ephemeral one, for it alone.

        Raises:
            ForbiddenError: The principal may not send to that peer.
            NoSuchPeerError: There is no such connection.
            RefusedError: A processor says no.
        """
        peer = peer_of(
            principal,
            self.connections,
            user_id=request.user_id,
            connection_id=request.connection_id,
            now_ms=self.now_ms(),
        )
        wanted = _in_channel(peer.channel, request)
        if peer.connection_id is not None:
            wanted = replace(wanted, ephemeral=True)
        return self._admit(principal, wanted, connection_id, authorised=True, only=peer.connection_id)

    def deliver(self, admitted: Admitted) -> Published:
        """Let it go its way; return when it is durable, if it is to be."""
        if admitted.lane:
            (outcome,) = self.enqueue(admitted.lane, [admitted])
            if isinstance(outcome, UnavailableError):
                raise outcome
            return outcome
        if not admitted.ephemeral:
            [published] = self.express(admitted.channel, [admitted])
            return published
        event = admitted.publication.to_event(admitted.channel) | {"ephemeral": True}
        with self._refusals([admitted.correlation_id]):
            self.bus.put([Broadcast(admitted.channel, [event], connection_id=admitted.only)])
        self.trail.step("accepted", [admitted.correlation_id], way="ephemeral")
        return Published(admitted.publication.message_id)

    def enqueue(self, lane: Lane, admitted: Sequence[Admitted]) -> list[Published | UnavailableError]:
        """Put at most 10 into their lane, in this order; return what became of each.

        Raises:
            UnavailableError: None is known to be in the lane; each may be.
        """
        ids = [one.correlation_id for one in admitted]
        with self._refusals(ids):
            left = self.lanes.send(lane, [LaneMessage(one.channel, one.publication, one.retry) for one in admitted])
        self.trail.step("accepted", [one for place, one in enumerate(ids) if place not in left], way=lane)
        if left:
            self.trail.step("refused", [ids[place] for place in left], error=UnavailableError.name)
        return [
            UnavailableError("the lane is busy", retry_after_ms=1000)
            if place in left
            else Published(one.publication.message_id)
            for place, one in enumerate(admitted)
        ]

    def express(self, channel: str, admitted: Sequence[Admitted]) -> list[Published]:
        """Append at most 10 to their channel together, and push them to its subscribers if they are few.

        Raises:
            TidewireError: None is known to be in the log; all may be.
        """
        ids = [one.correlation_id for one in admitted]
        with self._refusals(ids):
            submissions = [Submission(one.publication, uncertain=one.retry) for one in admitted]
            appended = self.append.execute(channel, submissions)
            self.metrics.count("PublicationsAppended", len(admitted) - appended.repeats)
            if appended.repeats:
                self.metrics.count("DuplicatesDropped", appended.repeats)
            self.trail.step("stored", ids, way="express", offset=appended.offsets[0], repeats=appended.repeats)
            events = [entry.to_event(channel, appended.epoch) for entry in appended.ordered]
            broadcast = Broadcast(channel, events)
            fanned_out = self.fan_out.deliver_to_few(broadcast, at_most=EXPRESS_MAX_SUBSCRIBERS)
            told = self.receipts.stored(channel, appended.epoch, appended.ordered)
            self.bus.put([replace(broadcast, fanned_out=fanned_out), *told])
        return [Published(one.publication.message_id, appended.position(i)) for i, one in enumerate(admitted)]

    def _admit(
        self,
        principal: Principal,
        request: PublishRequest,
        connection_id: str | None,
        *,
        authorised: bool = False,
        only: str | None = None,
    ) -> Admitted:
        message_id = request.message_id or secrets.token_urlsafe(16)
        with self._refusals([correlation_id(request.channel, principal.user_id, message_id)]):
            if not authorised:
                self.authorise(principal, request.channel)
            self.limits.publish(principal, request.channel)
            publication = self._processed(principal, request, message_id, connection_id)
        self.metrics.count("Publishes")
        return Admitted(request.channel, publication, request.retry, request.ephemeral, only)

    def _processed(
        self, principal: Principal, request: PublishRequest, message_id: str, connection_id: str | None
    ) -> Publication:
        priority = request.priority or self.namespaces.of(request.channel).default_priority
        context = Context(
            channel=request.channel,
            message_id=message_id,
            user_id=principal.user_id,
            connection_id=connection_id,
            server=principal.server,
            public_claims=principal.public_claims,
            ephemeral=request.ephemeral,
        )
        draft = self.processing.run(Draft(request.name, request.data, priority), context)
        return Publication(
            message_id=message_id,
            name=draft.name,
            data=draft.data,
            user_id=principal.user_id,
            connection_id=connection_id,
            priority=draft.priority,
            published_at_ms=self.now_ms() if request.received_at_ms is None else request.received_at_ms,
            receipt=request.receipt,
            claims=draft.claims,
        )

    def authorise(self, principal: Principal, channel: str) -> None:
        """Check whether a principal may publish in a channel.

        Raises:
            ForbiddenError: It may not.
        """
        if not principal.may("publish", channel):
            raise ForbiddenError("the token does not allow to publish in this channel")
        servers_only = self.namespaces.of(channel).publishers == "servers"
        if servers_only and not principal.server and not principal.may("admin", "*"):
            raise ForbiddenError("only servers publish in this channel")

    @contextmanager
    def _refusals(self, correlation_ids: Sequence[str]) -> Iterator[None]:
        """Tell of these publications that they were refused, and have every error name them."""
        try:
            with about(correlation_ids):
                yield
        except TidewireError as error:
            self.trail.step("refused", correlation_ids, error=error.name)
            raise


def _in_channel(channel: str, request: SendRequest) -> PublishRequest:
    return PublishRequest(
        channel=channel,
        name=request.name,
        data=request.data,
        message_id=request.message_id,
        retry=request.retry,
        receipt=request.receipt,
        received_at_ms=request.received_at_ms,
    )
