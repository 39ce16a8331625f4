"""Connections and the sessions that outlive them."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from shared.domain.channel import personal_channel
from shared.domain.principal import Principal

# API Gateway ends a WebSocket after 2 hours, fixed:
# docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
CONNECTION_MAX_AGE_S: Final = 7200
# ... and one on which nothing passed for 10 minutes (same table): clients are to send something every 9.
HEARTBEAT_S: Final = 540
SESSION_GRACE_S: Final = 120  # a session lives this long after its last connection
# Half a minute and more after that, whoever was silent is asked about: then the gateway knows.
CHECK_AFTER_S: Final = 640
AUTHENTICATION_DEADLINE_S: Final = 10  # who has not said who they are by then is closed
TOKEN_WARNING_S: Final = 60  # so long before its token ends a client is told; of a short one, at half of it
# docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
DEADLINE_MAX_DELAY_S: Final = 900


# What a subscriber is told of beside events, if it asked: changes of documents; who is there, and who types; which
# connections come and go. And how it is told of events: as deltas, where that can be; as one that the server has
# subscribed, whose Centrifugo SDK does not subscribe again.
Interest = Literal["state", "presence", "connections", "fossil", "by_server"]
INTERESTS: Final[tuple[Interest, ...]] = get_args(Interest)
Interests = frozenset[Interest]


@dataclass(frozen=True, slots=True)
class Connection:
    """One live transport.

    Attributes:
        principal: ``None`` while it is pending, before a ticket or a ``hello`` with a token.
        session_id: ``None`` before ``hello``.
        expires_at_s: When it can't be there any more, whatever was heard of it.
        announced: It does without ``hello``, by its ticket, and stands where all of its user's connections are.
        alias: The name that it goes by instead: all else that is known of it is known of that.
    """

    connection_id: str
    connected_at_ms: int
    expires_at_s: int
    principal: Principal | None = None
    session_id: str | None = None
    announced: bool = False
    alias: str | None = None

    def stays_in(self, channel: str) -> bool:
        """Tell whether it is among this channel's subscribers as long as it is there: that is how its user finds it."""
        return self.principal is not None and channel == personal_channel(self.principal.user_id)


@dataclass(frozen=True, slots=True)
class Session:
    """What survives a change of connection.

    Attributes:
        principal: Who said hello last.
        connection_id: The connection that had it last; its subscriptions are the session's.
        version: Another one with each move.
    """

    session_id: str
    principal: Principal
    connection_id: str
    expires_at_s: int
    version: str

    @property
    def user_id(self) -> str:
        """Whose it is."""
        return self.principal.user_id
