"""What their clients send. Validated once, here; unknown fields are ignored, as by theirs."""

import json
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import BadFrameError, TooLargeError
from shared.protocol.decode import check_data, parse_json
from shared.protocol.limits import (
    BATCH_MAX_FRAMES,
    HTTP_FRAME_MAX_BYTES,
    TOKEN_MAX_LENGTH,
    WEBSOCKET_FRAME_MAX_BYTES,
)

_UINT32_MAX: Final = 2**32 - 1
_Token = Annotated[str, Field(max_length=TOKEN_MAX_LENGTH)]
_Offset = Annotated[int, Field(ge=0, le=2**53 - 1)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Position(_Model):
    """A place in a stream."""

    offset: _Offset = 0
    epoch: str = ""


class Subscribe(_Model):
    """Subscribe. ``flag`` has bits: 1 offers numeric channel ids, 2 wants 112 where nothing can be recovered.

    ``delta`` names what deltas it takes, if any: ``fossil``.
    """

    channel: str = ""
    token: _Token = ""
    recover: bool = False
    epoch: str = ""
    offset: _Offset = 0
    flag: int = 0
    delta: str = ""

    @property
    def since(self) -> Position | None:
        """Up to where it has everything."""
        return Position(offset=self.offset, epoch=self.epoch) if self.recover else None


class Connect(_Model):
    """Say who one is. ``subs``: the positions of server-side subscriptions, by channel."""

    token: _Token = ""
    subs: dict[str, Subscribe] = {}


class Token(_Model):
    """``refresh``, and with a channel ``sub_refresh``."""

    token: _Token = ""
    channel: str = ""


class Channel(_Model):
    """``unsubscribe``, ``presence`` and ``presence_stats``."""

    channel: str = ""


class Publish(_Model):
    """Publish data."""

    channel: str = ""
    data: Any = None


class History(_Model):
    """Read publications: none with ``limit`` 0, as many as there may be with -1."""

    channel: str = ""
    limit: int = 0
    since: Position | None = None
    reverse: bool = False


class Rpc(_Model):
    """Have the server do something."""

    method: str = ""
    data: Any = None


class Empty(_Model):
    """``ping``."""


class Send(_Model):
    """Data for the server, without a reply."""

    data: Any = None


class Command(_Model):
    """One command: the first of its requests that is there counts, as with theirs."""

    id: Annotated[int, Field(ge=0, le=_UINT32_MAX)] = 0
    connect: Connect | None = None
    ping: Empty | None = None
    subscribe: Subscribe | None = None
    unsubscribe: Channel | None = None
    publish: Publish | None = None
    presence: Channel | None = None
    presence_stats: Channel | None = None
    history: History | None = None
    rpc: Rpc | None = None
    send: Send | None = None
    refresh: Token | None = None
    sub_refresh: Token | None = None

    @property
    def request(self) -> tuple[str, _Model] | None:
        """Which it is; ``None`` for a pong, and for what is none."""
        requests = ((name, getattr(self, name)) for name in REQUESTS)
        return next(((name, request) for name, request in requests if request is not None), None)


class Emulation(_Model):
    """What their clients send beside a stream: commands, one a line. ``node`` says nothing here."""

    session: Annotated[str, Field(max_length=1_000)]
    data: str


REQUESTS: Final = tuple(name for name in Command.model_fields if name != "id")


def speaks_centrifugo(body: str) -> bool | None:
    """Tell by what came in whether it is their protocol: theirs has objects, one a line, with no ``type``.

    ``None`` for what is neither theirs nor ours: it is whose the connection is.
    """
    first = body.lstrip().partition("\n")[0]
    if first.startswith(('{"type"', "[")):  # as our own clients' do: nothing to be parsed twice
        return False
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or "type" in value:
        return False if isinstance(value, dict) else None
    # Ours have fields of the same names, which are no objects: one that lacks its type is not theirs by that. An empty
    # object is a pong of theirs, or a frame of ours that wants its error.
    return True if any(isinstance(value.get(name), dict) for name in REQUESTS) else None


def parse(body: str, *, max_bytes: int) -> list[Command]:
    """Return the commands, 1 to 100.

    Raises:
        TidewireError: Some are not as they must be, or there are too many, or it is too large.
    """
    lines = [line for line in body.split("\n") if line.strip()]
    if not 0 < len(lines) <= BATCH_MAX_FRAMES:
        raise BadFrameError(f"a message has 1 to {BATCH_MAX_FRAMES} commands")
    commands = []
    left = max_bytes
    for line in lines:
        value = parse_json(line, max_bytes=left)
        left -= len(line.encode())
        if not isinstance(value, dict) or "type" in value:
            raise BadFrameError("a command is an object without a type")
        commands.append(_command(value))
    return commands


def _command(value: Any) -> Command:
    try:
        command = Command.model_validate(value)
    except ValidationError:
        raise BadFrameError("not a command") from None
    for request in (command.publish, command.rpc, command.send):
        if request is not None:
            check_data(request.data)
    return command


def parse_emulation(body: bytes) -> Emulation:
    """Return what came by a request beside a stream.

    Raises:
        TidewireError: It is not as it must be, or larger than a message may be.
    """
    try:
        emulation = Emulation.model_validate(parse_json(body, max_bytes=HTTP_FRAME_MAX_BYTES))
    except ValidationError:
        raise BadFrameError("not an object with session and data, both strings") from None
    if len(emulation.data.encode()) > WEBSOCKET_FRAME_MAX_BYTES:  # once it is taken, this would end the connection
        raise TooLargeError(f"data has at most {WEBSOCKET_FRAME_MAX_BYTES} bytes")
    return emulation
