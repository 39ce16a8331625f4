"""What their clients are sent: replies, and our pushes as theirs. Imports no pydantic: whoever only sends uses it."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from shared.domain import fossil
from shared.domain.centrifugo import to_name
from shared.protocol.centrifugo.codes import INSUFFICIENT_STATE, MISSED, UNSUBSCRIBED, Disconnect, disconnect_of
from shared.protocol.encode import to_json
from shared.protocol.limits import SERVER_FRAME_MAX_BYTES

# What their publications are called where ours have names.
EVENT_NAME: Final = "message"
_REFRESHING_S: Final = 25  # so long before the end clients are to refresh

Reply = Mapping[str, Any]


# What marks an event of ours for who takes deltas: its data is to be a text of JSON.
_AS_TEXT: Final = "as_text"
# What marks a push of ours for who was subscribed by the server: its SDK gives that up for good by an `unsubscribe`.
BY_SERVER: Final = "by_server"


class _Text(str):
    """Data as a text of JSON: a delta may stand for it."""


def encode(replies: Iterable[Reply]) -> list[bytes]:
    """Return replies as messages of at most 32,000 bytes, one a line in each.

    One that is larger is sent alone all the same: whoever makes replies keeps them below. Only within a message is a
    delta sent, made of what stands before it there: a message may get lost, or come twice.
    """
    messages: list[bytes] = []
    texts: dict[str, bytes] = {}
    for reply in replies:
        line = _line(reply, texts)
        if messages and len(messages[-1]) + 1 + len(line) <= SERVER_FRAME_MAX_BYTES:
            messages[-1] += b"\n" + line
        elif messages:
            texts.clear()
            messages.append(_line(reply, texts))
        else:
            messages.append(line)
    return messages


def _line(reply: Reply, texts: dict[str, bytes]) -> bytes:
    """Return a line of JSON; a publication's data as a delta of its channel's ``texts``, where that is shorter."""
    push = reply.get("push")
    if push is None or "pub" not in push or not isinstance(push["pub"]["data"], _Text):
        return to_json(reply)
    made = _delta(push["pub"], texts.get(push["channel"]))
    texts[push["channel"]] = push["pub"]["data"].encode()
    return to_json({"push": {**push, "pub": made}})


def _delta(made: dict[str, Any], before: bytes | None) -> dict[str, Any]:
    text = made["data"].encode()
    delta = text if before is None else fossil.create(before, text)
    return {**made, "data": delta.decode(), "delta": True} if len(delta) < len(text) else made


def deltas(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return entries of a history as publications of one reply: the first whole, each of the others as a delta."""
    before: bytes | None = None
    made = []
    for event in events:
        whole = publication({**event, _AS_TEXT: True})
        made.append(_delta(whole, before))
        before = whole["data"].encode()
    return made


def as_text(frames: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return our pushes for who takes deltas: events are marked, and become publications with a text as their data."""
    return [{**frame, _AS_TEXT: True} if frame["type"] == "event" else frame for frame in frames]


def for_server_side(frames: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return our pushes for whom the server has subscribed: who lags is disconnected, and recovers when it is back."""
    return [{**frame, BY_SERVER: True} for frame in frames]


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
        case "system", "lagged" if frame.get(BY_SERVER):
            yield disconnect(MISSED)
        case "system", "lagged":
            yield _unsubscribe(frame["channel"], INSUFFICIENT_STATE)
        case "system", "resubscribe" if frame.get("reason") == "capabilities":
            yield _unsubscribe(frame["channel"], UNSUBSCRIBED)
        # Whom the server has subscribed goes on, and sees by the epoch, when it comes back, that the stream is another.
        case "system", "resubscribe" if not frame.get(BY_SERVER):
            yield _unsubscribe(frame["channel"], INSUFFICIENT_STATE)


def ending(ends_s: int | None, *, now_ms: int) -> dict[str, Any]:
    """Return ``expires`` and ``ttl`` of what ends at that Unix second; nothing if it does not end.

    SDKs refresh ``ttl`` seconds after they are told. With theirs that is at the end, for it waits another 25 s before
    it acts: github.com/centrifugal/centrifuge, config.go, ``ClientExpiredCloseDelay``, ``ClientExpiredSubCloseDelay``.
    With ours the end is the end. So they are told to refresh that much sooner, or at half of what is left.
    """
    if ends_s is None:
        return {}
    left_s = ends_s - now_ms // 1000
    return {"expires": True, "ttl": max(1, left_s - min(_REFRESHING_S, left_s // 2))}


def disconnect(why: Disconnect) -> Reply:
    """Return the push that says that the connection ends, and why."""
    return {"push": {"disconnect": {"code": why.code, "reason": why.reason}}}


def publication(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an ``event`` of ours, or an entry of a history, as a publication of theirs."""
    data = event["data"]
    made: dict[str, Any] = {"data": _Text(to_json(data).decode()) if event.get(_AS_TEXT) else data}
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
