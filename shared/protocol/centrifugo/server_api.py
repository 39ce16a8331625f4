"""What servers send to Centrifugo's HTTP API: centrifugal.dev/docs/server/server_api. It ignores unknown fields."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from shared.domain.centrifugo import CHANNEL_NAME_MAX_LENGTH
from shared.domain.channel import is_user_id
from shared.errors import BadFrameError
from shared.protocol.centrifugo.commands import Position
from shared.protocol.decode import check_data
from shared.protocol.limits import BATCH_MAX_FRAMES, EVENT_NAME_MAX_LENGTH

# Of the reason why a WebSocket is closed: rfc-editor.org/rfc/rfc6455#section-5.5
_REASON_MAX_BYTES: Final = 123


def _user(value: str) -> str:
    if not is_user_id(value):
        raise ValueError("nobody who could be addressed")
    return value


def _reason(value: str) -> str:
    if len(value.encode()) > _REASON_MAX_BYTES:
        raise ValueError("too long")
    return value


def _pattern(value: str) -> str:
    if not set(value).isdisjoint("{}\\"):  # of gobwas/glob, which theirs uses: those of fnmatch are served
        raise ValueError("alternatives and escapes are not served")
    return value


_User = Annotated[str, AfterValidator(_user)]
_Nothing = Literal[""]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Tags(_Model):
    """Tags of a publication: here one has a name, and no other."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    name: Annotated[str, Field(min_length=1, max_length=EVENT_NAME_MAX_LENGTH)] | None = None


class _Publication(_Model):
    """What is published. Binary data, and versions of documents, there are none here."""

    data: Any
    skip_history: bool = False
    tags: Tags = Tags()
    idempotency_key: Annotated[str, Field(max_length=64)] = ""
    b64data: Literal[""] = ""
    version: Literal[0] = 0


class Publish(_Publication):
    """Publish into a channel."""

    channel: str


class Broadcast(_Publication):
    """Publish into several channels."""

    channels: Annotated[list[str], Field(min_length=1, max_length=BATCH_MAX_FRAMES)]


class Channel(_Model):
    """What is asked of a channel."""

    channel: str


class History(Channel):
    """Read a channel's history."""

    limit: int = 0
    since: Position | None = None
    reverse: bool = False


class _OfUser(_Model):
    """Whose connections, or which one. Sessions there are none here."""

    user: _User
    client: str = ""
    session: _Nothing = ""


class Subscribe(_OfUser):
    """Subscribe a user's connections, or one. There is no information by subscription, and no options by call."""

    channel: str
    data: Any = None
    recover_since: Position | None = None
    info: None = None
    b64info: _Nothing = ""
    b64data: _Nothing = ""
    override: None = None


class Unsubscribe(_OfUser):
    """Unsubscribe a user's connections, or one."""

    channel: str


class Refresh(_OfUser):
    """Have a user's connections, or one, end at another time: at a Unix second, at once, or with 0 never."""

    expired: bool = False
    expire_at: Annotated[int, Field(ge=0, le=2**53 - 1)] = 0


class Why(_Model):
    """Why a connection is closed; clients know by the code whether to come back: centrifuge's disconnect.go."""

    code: Annotated[int, Field(ge=3000, le=4999)]
    reason: Annotated[str, AfterValidator(_reason)] = ""


class Disconnect(_OfUser):
    """Disconnect a user's connections, or one, or all but some."""

    whitelist: list[str] = []
    disconnect: Why | None = None


class Channels(_Model):
    """List channels."""

    pattern: Annotated[str, Field(max_length=CHANNEL_NAME_MAX_LENGTH), AfterValidator(_pattern)] = ""


class Batch(_Model):
    """Several calls, one after the other."""

    commands: Annotated[list[dict[str, Any]], Field(max_length=BATCH_MAX_FRAMES)]

    @property
    def publications(self) -> int:
        """How many it publishes: a broadcast as many as it has channels."""
        broadcasts = [one["broadcast"] for one in self.commands if isinstance(one.get("broadcast"), dict)]
        lists = [channels for one in broadcasts if isinstance(channels := one.get("channels"), list)]
        return sum("publish" in one for one in self.commands) + sum(map(len, lists))


class Empty(_Model):
    """Nothing."""


Request = (
    Publish | Broadcast | History | Channel | Subscribe | Unsubscribe | Refresh | Disconnect | Channels | Batch | Empty
)
METHODS: Final[dict[str, type[Request]]] = {
    "publish": Publish,
    "broadcast": Broadcast,
    "history": History,
    "history_remove": Channel,
    "presence": Channel,
    "presence_stats": Channel,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "refresh": Refresh,
    "disconnect": Disconnect,
    "channels": Channels,
    "batch": Batch,
    "info": Empty,
}


def read(method: str, body: Any) -> Request:
    """Return what a call asks for.

    Raises:
        BadFrameError: It is not as it must be.
        TooLargeError: Its data is over its limit.
    """
    try:
        request = METHODS[method].model_validate(body)
    except ValidationError:
        raise BadFrameError("not what this method takes") from None
    if isinstance(request, _Publication | Subscribe):
        check_data(request.data)
    return request
