"""What both of Centrifugo's APIs read: history and presence, in their words."""

from dataclasses import dataclass
from typing import Any, Protocol

from shared.domain.centrifugo import to_channel
from shared.domain.presence import Attendees
from shared.domain.principal import Principal
from shared.domain.publication import StreamPosition
from shared.namespaces import PresenceMode
from shared.protocol.centrifugo import codes
from shared.protocol.centrifugo.codes import ReplyError
from shared.protocol.centrifugo.replies import Reply, publication, pushes
from shared.protocol.encode import to_json
from shared.protocol.limits import HISTORY_MAX_LIMIT
from shared.services.history import PAGE_MAX_BYTES, History
from shared.services.presence import Presence


class RefusedReplyError(Exception):
    """What is asked is answered with an error of theirs."""

    def __init__(self, error: ReplyError) -> None:
        super().__init__(error.message)
        self.error = error


class _Position(Protocol):
    @property
    def offset(self) -> int: ...
    @property
    def epoch(self) -> str: ...


class _HistoryRequest(Protocol):
    @property
    def channel(self) -> str: ...
    @property
    def limit(self) -> int: ...
    @property
    def since(self) -> "_Position | None": ...
    @property
    def reverse(self) -> bool: ...


def channel_of(name: str) -> str:
    """Return the channel that a name of theirs means.

    Raises:
        RefusedReplyError: It means none.
    """
    channel = to_channel(name)
    if channel is None:
        raise RefusedReplyError(codes.BAD_REQUEST)
    return channel


@dataclass(frozen=True, slots=True)
class CentrifugoReading:
    """Reads for who may. Each method returns the result of theirs with its name."""

    history_reader: History
    presence_service: Presence

    def history(self, principal: Principal, request: _HistoryRequest) -> dict[str, Any]:
        """Return a page of publications, or with no limit the position alone.

        Raises:
            RefusedReplyError: As their protocol says.
        """
        channel = channel_of(request.channel)
        if not principal.may_receive("history", channel):
            raise RefusedReplyError(codes.PERMISSION_DENIED)
        if request.limit == 0:
            position, _ = self.history_reader.latest(channel, 0)
            return position.to_wire()
        limit = HISTORY_MAX_LIMIT if request.limit < 0 else min(request.limit, HISTORY_MAX_LIMIT)
        since = self.position(channel, request.since) if request.since else None
        position, page = self.history_reader.read(channel, since, limit=limit, reverse=request.reverse)
        if since is not None and since.epoch != position.epoch:
            raise RefusedReplyError(codes.UNRECOVERABLE_POSITION)
        return {"publications": [publication(event) for event in page.publications]} | position.to_wire()

    def presence(self, principal: Principal, channel: str) -> dict[str, Any]:
        """Return who is there, by connection.

        Raises:
            RefusedReplyError: As their protocol says.
            ForbiddenError: The principal may not see it.
        """
        mode, attendees = self._who(principal, channel)
        if mode == "count":
            raise RefusedReplyError(codes.NOT_AVAILABLE)
        clients = {
            client: {"user": member.user_id, "client": client}
            for member in attendees.members.values()
            for client in member.connection_ids
        }
        if len(to_json(clients)) > PAGE_MAX_BYTES:  # their protocol has no pages
            raise RefusedReplyError(codes.LIMIT_EXCEEDED)
        return {"presence": clients}

    def presence_stats(self, principal: Principal, channel: str) -> dict[str, Any]:
        """Return how many are there; see :meth:`presence`."""
        _, attendees = self._who(principal, channel)
        clients = sum(len(member.connection_ids) for member in attendees.members.values())
        return {"num_clients": clients, "num_users": len(attendees.members)}

    def missed(self, channel: str, since: StreamPosition, *, by_server: bool) -> list[Reply] | None:
        """Return what is to be pushed so that nothing is missing behind a position: publications; or to begin anew.

        Whom the server has subscribed does that by connecting anew: ``None``.
        """
        recovered = self.history_reader.recover(channel, since)
        if not recovered.whole or recovered.page.more:
            if by_server:
                return None
            return list(pushes({"type": "system", "event": "lagged", "channel": channel}))
        events = [{"type": "event", **event} for event in recovered.page.publications]
        return [push for event in events for push in pushes(event)]

    def position(self, channel: str, since: _Position) -> StreamPosition:
        """Return a position of theirs as ours: one without an epoch is of whatever stream there is."""
        epoch = since.epoch or self.history_reader.latest(channel, 0)[0].epoch
        return StreamPosition(epoch, since.offset)

    def _who(self, principal: Principal, channel: str) -> tuple[PresenceMode, Attendees]:
        if self.presence_service.reader.namespaces.of(channel).presence == "off":
            raise RefusedReplyError(codes.NOT_AVAILABLE)
        return self.presence_service.who(principal, channel)
