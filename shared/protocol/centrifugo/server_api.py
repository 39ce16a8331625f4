"""What servers send to Centrifugo's HTTP API: centrifugal.dev/docs/server/server_api. It ignores unknown fields."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import BadFrameError
from shared.protocol.centrifugo.commands import Position
from shared.protocol.decode import check_data
from shared.protocol.limits import BATCH_MAX_FRAMES, EVENT_NAME_MAX_LENGTH


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


class Unsubscribe(Channel):
    """Unsubscribe a user's connections, or one."""

    user: Annotated[str, Field(min_length=1)]
    client: str = ""


class Disconnect(_Model):
    """Disconnect a user's connections, or one, or all but some."""

    user: Annotated[str, Field(min_length=1)]
    client: str = ""
    whitelist: list[str] = []


class Batch(_Model):
    """Several calls, one after the other."""

    commands: Annotated[list[dict[str, Any]], Field(max_length=BATCH_MAX_FRAMES)]


class Empty(_Model):
    """Nothing."""


Request = Publish | Broadcast | History | Channel | Unsubscribe | Disconnect | Batch | Empty
METHODS: Final[dict[str, type[Request]]] = {
    "publish": Publish,
    "broadcast": Broadcast,
    "history": History,
    "history_remove": Channel,
    "presence": Channel,
    "presence_stats": Channel,
    "unsubscribe": Unsubscribe,
    "disconnect": Disconnect,
    "batch": Batch,
    "info": Empty,
}
# Theirs, and not served: nothing lists channels, and a connection's token and subscriptions are its own.
NOT_SERVED: Final = ("channels", "refresh", "subscribe")


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
    if isinstance(request, _Publication):
        check_data(request.data)
    return request
