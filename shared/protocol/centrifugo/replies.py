"""What their clients are sent: replies, and our pushes as theirs. Imports no pydantic: whoever only sends uses it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from shared.domain.centrifugo import to_name
from shared.protocol.centrifugo.codes import INSUFFICIENT_STATE, UNSUBSCRIBED, Disconnect, disconnect_of
from shared.protocol.encode import to_json
from shared.protocol.limits import SERVER_FRAME_MAX_BYTES

# What their publications are called where ours have names.
EVENT_NAME: Final = "message"

Reply = Mapping[str, Any]


def encode(replies: Iterable[Reply]) -> list[bytes]:
    """Return replies as messages of at most 32,000 bytes, one a line in each.

    One that is larger is sent alone all the same: whoever makes replies keeps them below.
    """
    messages: list[bytes] = []
    for reply in replies:
        line = to_json(reply)
        if messages and len(messages[-1]) + 1 + len(line) <= SERVER_FRAME_MAX_BYTES:
            messages[-1] += b"\n" + line
        else:
            messages.append(line)
    return messages


def translated(messages: Sequence[bytes]) -> list[bytes]:
    """Return messages of ours, frames or batches of them, as theirs; what they have nothing for is left out."""
    frames = [frame for message in messages for frame in _frames(message)]
    return encode(push for frame in frames for push in pushes(frame))


def _frames(message: bytes) -> list[dict[str, Any]]:
    value = json.loads(message)
    return value if isinstance(value, list) else [value]


def pushes(frame: Mapping[str, Any]) -> Iterator[Reply]:
    """Yield what a push of ours is to them: one push, or none."""
    match frame["type"], frame.get("event"):
        case "event", _:
            yield push_of(frame["channel"], "pub", publication(frame))
        case "connection", ("join" | "leave") as event:
            yield push_of(frame["channel"], event, {"info": client_info(frame)})
        case "system", "disconnect":
            theirs = frame.get("theirs")  # said so by one of their servers
            yield disconnect(Disconnect(**theirs) if theirs else disconnect_of(frame["code"]))
        case "system", "lagged":
            yield _unsubscribe(frame["channel"], INSUFFICIENT_STATE)
        case "system", "resubscribe":
            allowed = frame.get("reason") != "capabilities"
            yield _unsubscribe(frame["channel"], INSUFFICIENT_STATE if allowed else UNSUBSCRIBED)


def disconnect(why: Disconnect) -> Reply:
    """Return the push that says that the connection ends, and why."""
    return {"push": {"disconnect": {"code": why.code, "reason": why.reason}}}


def publication(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an ``event`` of ours, or an entry of a history, as a publication of theirs."""
    made: dict[str, Any] = {"data": event["data"]}
    sender = event["sender"]
    if sender["connection_id"] is not None:
        made["info"] = client_info(sender)
    if "offset" in event:
        made["offset"] = event["offset"]
    if event["name"] != EVENT_NAME:
        made["tags"] = {"name": event["name"]}
    return made | {"time": event["published_at_ms"]}


def client_info(sender: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sender of ours as theirs."""
    info = {"user": sender["user_id"], "client": sender["connection_id"]}
    return info | ({"conn_info": sender["claims"]} if sender.get("claims") else {})


def _unsubscribe(channel: str, why: Disconnect) -> Reply:
    return push_of(channel, "unsubscribe", {"code": why.code, "reason": why.reason})


def push_of(channel: str, kind: str, what: Mapping[str, Any]) -> Reply:
    """Return a push about a channel of ours."""
    return {"push": {"channel": to_name(channel), kind: what}}
