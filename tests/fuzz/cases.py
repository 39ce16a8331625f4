"""What is sent: golden frames, mutated, and requests made of them. Each follows from the seed and its index alone.

Values that only the run knows stand in them as ``${name}``, and are put in when it is sent.
"""

import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

Dice = random.Random
Kind = Literal["socket", "centrifugo", "session", "call", "raw"]

_GOLDEN: Final = Path(__file__).parents[1] / "golden"
_REQUESTS: Final[list[str]] = [
    json.dumps(one["frame"])
    for one in json.loads((_GOLDEN / "frames.json").read_text())
    if one["kind"] == "request" and one["frame"]["type"] != "hello"
]
_BAD_TEXTS: Final[list[str]] = [one["text"] for one in json.loads((_GOLDEN / "bad_frames.json").read_text())]
_TYPES: Final = sorted({json.loads(text)["type"] for text in _REQUESTS})
# Of Centrifugo's protocol.
_COMMANDS: Final[list[dict[str, Any]]] = [
    {"subscribe": {"channel": "room:a", "recover": True, "offset": 1, "epoch": "${epoch}", "flag": 3, "token": ""}},
    *({name: {"channel": "room:a"}} for name in ("unsubscribe", "presence", "presence_stats")),
    {"publish": {"channel": "room:a", "data": {"text": "x"}}},
    {"history": {"channel": "room:a", "limit": 3, "since": {"offset": 1, "epoch": "${epoch}"}, "reverse": False}},
    {"rpc": {"method": "dice.roll", "data": {"sides": 6}}},
    {"refresh": {"token": "${token}"}},
    {"sub_refresh": {"channel": "room:a", "token": "${token}"}},
    *({"ping": {}}, {"ping": {}}, {"send": {"data": 1}}, {"connect": {"token": "${token}", "subs": {}}}),
]
# A channel is used for so many cases: the emulator reads through all that a long one has.
_CASES_PER_CHANNEL: Final = 1_000

_LARGE: Final = 5_000

# What replaces a value: of every type, at the edges of what fits, and what has a meaning somewhere behind.
_VALUES: Final[list[Any]] = [
    *(None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 2**31, 2**53 - 1, 2**53, -(2**53), 2**63, 2**64, 10**40),
    *("", " ", "a", "0", "null", "*", "#", ":", "%", "room:", ":a", "room:*", "user:ann", "user:bob", "broadcast:all"),
    *(
        "room:a%2Fb",
        "room:..",
        "room:a/../b",
        "connection:x",
        "command:dice.roll",
        "presence:a",
        "CHANNEL#room:a",
        "META",
    ),
    *("\0", "a\0b", "\x1f", "\r\nX-Injected: 1", "\u202eabc", "e\u0301", "\ufeff", "\U0001f600", "\ufb00", "\uff41nn"),
    *(
        "\ud800",
        "\udc00\ud800",
        "__proto__",
        "constructor",
        "$default",
        "${jndi:x}",
        "{{7*7}}",
        "' OR 1=1--",
        "<script>",
    ),
    *("../../etc/passwd", "%00", "%c0%af", "arn:aws:sqs:us-east-1:0:q", "9" * 400, "-1", "NaN", "1e999", "true"),
    *([], {}, [[]], [None], {"": ""}, {"a": {"b": []}}, ["room:a"], [1, "a", None]),
    *("${session}", "${peer_session}", "${connection}", "${peer_connection}", "${command}", "${epoch}", "${token}"),
    *("${peer_token}", "${ticket}", "${cursor}", "${peer_cursor}"),
]
_LENGTHS: Final = (63, 64, 65, 99, 100, 101, 128, 129, 199, 200, 201, 1_000, 8_193, 23_990, 24_001)
_FILL: Final = ("x", "é", "\U0001f600", "%41", '"', "\\", "\0")


@dataclass(frozen=True, slots=True)
class Case:
    """One message of the run.

    Attributes:
        body: Of the frame or of the request; bytes go as a binary message, or as they are.
        hello: Said before anything else may be.
    """

    index: int
    kind: Kind
    body: str | bytes = ""
    method: str = "POST"
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def case(seed: int, index: int, kind: Kind) -> Case:
    """Return the case."""
    dice = random.Random(f"{seed} {index}")
    channel = f"room:fuzz-{index // _CASES_PER_CHANNEL}"
    match kind:
        case "socket":
            body: str | bytes = _message(dice, channel)
            if dice.random() < 0.003:
                body = dice.randbytes(dice.choice((0, 1, 100, 5_000)))
            return Case(index, kind, body)
        case "centrifugo":
            return Case(index, kind, _theirs(dice, channel))
        case "session":
            return Case(index, kind, _message(dice, channel), path="/v1/sessions/${session}/frames")
        case "call":
            return _call(dice, index, channel)
        case "raw":
            return Case(index, kind, _raw(dice, channel))


def _message(dice: Dice, channel: str) -> str:
    if dice.random() < 0.15:
        # With an id of its own, or nobody could tell whose answer it is.
        text = dice.choice(_BAD_TEXTS).replace("room:a", channel)
        return re.sub(r'"id": 1(?=[,}])', lambda _: f'"id": {dice.randrange(10**6)}', text)
    if dice.random() < 0.2:
        count = dice.choice((1, 2, 2, 3, 5, 5, 10, 20, 100, 101))
        text = f"[{','.join(_frame(dice, channel) for _ in range(count))}]"
    else:
        text = _frame(dice, channel)
    return _torn(dice, text) if dice.random() < 0.08 else text


def _frame(dice: Dice, channel: str) -> str:
    frame = json.loads(dice.choice(_REQUESTS).replace("room:a", channel))
    frame["id"] = dice.choice((dice.randrange(10**6), f"i{dice.randrange(10**6)}"))
    if "timeout_ms" in frame or frame["type"] == "command":
        frame["timeout_ms"] = dice.choice((100, 500, 1_000))  # what a peer is asked in vain is not waited for long
    if "command_id" in frame and dice.random() < 0.5:
        frame["command_id"] = "${command}"
    return _mutated(dice, frame, dice.choice((0, 1, 1, 1, 2, 2, 3, 5)))


def _theirs(dice: Dice, channel: str) -> str:
    """Return commands of Centrifugo's, one a line; half of them as they should be."""
    lines = []
    for number in range(dice.choice((1, 1, 1, 2, 3, 10, 100, 101))):
        command = dice.choice(_COMMANDS)
        command = json.loads(json.dumps({"id": number + 2, **command}).replace("room:a", channel))
        lines.append(_mutated(dice, command, 0 if dice.random() < 0.5 else dice.choice((1, 1, 2, 3))))
    text = "\n".join(lines)
    return _torn(dice, text) if dice.random() < 0.08 else text


def _mutated(dice: Dice, frame: Any, times: int) -> str:
    """Return it as JSON, so many times mutated."""
    ascii_ = dice.random() < 0.5
    text = ""
    for _ in range(1 + times):
        text = json.dumps(frame, ensure_ascii=ascii_).encode(errors="replace").decode()
        if len(text) > _LARGE:  # lists of lists of lists
            break
        frame = dice.choice(_MUTATIONS)(dice, frame)
    return text


def _replaced(dice: Dice, frame: Any) -> Any:
    """Put something else in the place of a value, somewhere."""
    return _changed(dice, frame, lambda _value: dice.choice(_VALUES))


def _resized(dice: Dice, frame: Any) -> Any:
    length, fill = dice.choice(_LENGTHS), dice.choice(_FILL)
    return _changed(dice, frame, lambda _value: (fill * length)[:length])


def _nested(dice: Dice, frame: Any) -> Any:
    def deeper(value: Any) -> Any:
        for _ in range(dice.choice((1, 5, 190, 200, 250))):
            value = [value] if dice.random() < 0.5 else {"a": value}
        return value

    return _changed(dice, frame, deeper)


def _lessened(dice: Dice, frame: Any) -> Any:
    if isinstance(frame, dict) and frame:
        frame = dict(frame)
        del frame[dice.choice(sorted(frame))]
    return frame


def _widened(dice: Dice, frame: Any) -> Any:
    if isinstance(frame, dict):
        other = json.loads(dice.choice(_REQUESTS))
        name = dice.choice(sorted(other))
        frame = {**frame, name: other[name]}
    return frame


def _retyped(dice: Dice, frame: Any) -> Any:
    return {**frame, "type": dice.choice(_TYPES)} if isinstance(frame, dict) else frame


def _listed(dice: Dice, frame: Any) -> Any:
    return _changed(dice, frame, lambda value: [value] * dice.choice((1, 2, 50, 129, 501)))


_MUTATIONS: Final[list[Callable[[Dice, Any], Any]]] = [
    *(_replaced, _replaced, _replaced, _resized, _nested, _lessened, _widened, _retyped, _listed)
]


def _changed(dice: Dice, value: Any, change: Callable[[Any], Any], depth: int = 0) -> Any:
    """Return a copy in which one value, at whatever depth, is what ``change`` makes of it."""
    if isinstance(value, dict) and value and (depth == 0 or dice.random() < 0.6):
        name = dice.choice(sorted(value))
        return {**value, name: _changed(dice, value[name], change, depth + 1)}
    if isinstance(value, list) and value and dice.random() < 0.6:
        place = dice.randrange(len(value))
        return [*value[:place], _changed(dice, value[place], change, depth + 1), *value[place + 1 :]]
    return change(value)


def _torn(dice: Dice, text: str) -> str:
    """Return what is not quite this text."""
    place = dice.randrange(len(text) + 1)
    match dice.randrange(7):
        case 0:
            return text[:place]
        case 1:
            return text[:place] + dice.choice('{}[]",:\\\0') + text[place:]
        case 2:
            return text[place:] + text[:place]
        case 3:
            return text + text
        case 4:
            return "\ufeff" + text
        case 5:
            return text + " " * dice.choice((1, 40_000, 140_000))
        case _:
            return text.replace(":", ": NaN,", 1)


# The calls of docs/protocol.md 4.4 and 4.3, by how often they are made.
_CALLS: Final = [
    *[("POST", "/v1/publish")] * 6,
    *[("POST", "/v1/sessions")] * 2,
    *[("GET", "/v1/sessions/${session}/frames")] * 3,
    ("GET", "/v1/sessions/${peer_session}/frames"),
    ("POST", "/v1/sessions/${peer_session}/frames"),
    ("DELETE", "/v1/sessions/${peer_session}"),
    ("GET", "/v1/stream/sessions/${session}"),
    ("GET", "/v1/stream/sessions/${peer_session}"),
    *[("GET", "/v1/stream/events")] * 2,
    *[("POST", "/v1/stream/centrifugo/http_stream"), ("GET", "/v1/stream/centrifugo/sse")],
    ("POST", "/v1/centrifugo/emulation"),
    *[("POST", "/v1/tickets")] * 2,
    *[("GET", "/v1/channels/CHANNEL/history")] * 3,
    *[("GET", "/v1/channels/CHANNEL/presence")] * 2,
    *[("GET", "/v1/channels/CHANNEL/state")] * 2,
    *[("GET", "/v1/channels/CHANNEL/state/board")] * 2,
    *[("PUT", "/v1/channels/CHANNEL/state/board")] * 3,
    *[("PATCH", "/v1/channels/CHANNEL/state/board")] * 3,
    ("DELETE", "/v1/channels/CHANNEL/state/board"),
    ("DELETE", "/v1/channels/CHANNEL"),
    ("DELETE", "/v1/users/fuzz-nobody/data"),
    *[("GET", "/v1/commands"), ("GET", "/v1/config"), ("GET", "/healthz"), ("GET", "/openapi.json")],
    *[("GET", "/v1/keys"), ("DELETE", "/v1/keys/ab12"), ("GET", "/v1/connections"), ("GET", "/v1/dead-letters")],
    *[("POST", "/v1/dev/token"), ("POST", "/v1/demo/token")],
]
_QUERIES: Final = (
    *("since_epoch", "since_offset", "limit", "reverse", "after", "wait_s", "cursor", "ticket", "channel", "minutes"),
    *("before_ms", "cf_connect"),
)
_HEADERS: Final = ("Accept", "Authorization", "X-API-Key", "If-Match", "If-None-Match", "Last-Event-ID", "Content-Type")
_HEADER_VALUES: Final = (
    *("", "*", '"1"', 'W/"1"', '"0"', '"99999999999999999"', "text/event-stream", "application/x-ndjson", "a/b"),
    *("Bearer", "Bearer x", "Bearer a.b.c", "Basic YTpi", "Bearer ${peer_token}", "Bearer ${session_token}", "x.y"),
    *("${cursor}", "${peer_cursor}", "application/json", "text/plain", "application/json; charset=utf-16", "x" * 4_000),
)
# Of those that fit a query and are not waited for: a poll may wait for 25 s.
_QUERY_VALUES: Final = (
    *("0", "1", "-1", "26", "0.5", "", "true", "abc", "9" * 30, "1e3", "${epoch}", "${cursor}", "${peer_cursor}"),
    *("${ticket}", "room:a", "a:b%2Fc", "nowhere", "\0", "é", "\u202e", "' OR 1=1--", "x" * 2_000),
)


def _call(dice: Dice, index: int, channel: str) -> Case:
    method, path = dice.choice(_CALLS)
    if dice.random() < 0.1:
        value = dice.choice([value for value in _VALUES if isinstance(value, str) and not value.startswith("${")])
        channel = quote(value.encode(errors="replace"), safe="")
    path = path.replace("CHANNEL", channel)
    if dice.random() < 0.03:
        path += dice.choice(("/", "//", "/..", "%2F", "%00", "%0a", "?", "/x" * 200))
    if dice.random() < 0.03:
        method = dice.choice(("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND"))
    # A poll that only waits would have the run wait as well.
    query = {name: quote(dice.choice(_QUERY_VALUES), safe="${}") for name in _some(dice, _QUERIES)}
    if "/stream/events" in path and dice.random() < 0.7:
        query["channel"] = channel
    if query:
        path += "?" + "&".join(f"{name}={value}" for name, value in query.items())
    headers = {"Authorization": "Bearer ${token}", "Content-Type": "application/json"}
    if "/sessions/${session}" in path:
        headers["Authorization"] = "Bearer ${session_token}"
    headers |= {name: dice.choice(_HEADER_VALUES) for name in _some(dice, _HEADERS)}
    body = _message(dice, channel) if method in ("POST", "PUT", "PATCH") else ""
    return Case(index, "call", body, method, path, headers)


def _some(dice: Dice, names: tuple[str, ...]) -> list[str]:
    return dice.sample(names, dice.choice((0, 0, 1, 1, 2, 4)))


def _raw(dice: Dice, channel: str) -> bytes:
    """Return the bytes of a request that no library would send."""
    body = _message(dice, channel).encode(errors="replace")
    lines = [
        dice.choice(
            (b"POST /v1/publish HTTP/1.1", b"GET /v1/config HTTP/1.1", b"GET /v1/ws HTTP/1.1", b"\x16\x03\x01")
        ),
        b"Host: localhost",
        dice.choice((b"Content-Length: %d" % len(body), b"Content-Length: -1", b"Transfer-Encoding: chunked")),
        dice.choice((b"X: " + b"y" * 70_000, b": empty", b"A\0B: c", b"Upgrade: websocket", b"Connection: close")),
    ]
    dice.shuffle(lines[1:])
    data = b"\r\n".join([*lines, b"", body])
    return data[: dice.randrange(1, len(data))] if dice.random() < 0.3 else data
