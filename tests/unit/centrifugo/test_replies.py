"""Our pushes in their words."""

import json
from typing import Any

import pytest

from shared import errors
from shared.protocol.centrifugo.codes import disconnect_of, error_of
from shared.protocol.centrifugo.replies import encode, translated
from shared.protocol.encode import encode_frames

EVENT = {
    "type": "event",
    "channel": "centrifugo:news",
    "name": "message",
    "data": {"a": 1},
    "message_id": "m",
    "sender": {"user_id": "ann", "connection_id": "c"},
    "published_at_ms": 5,
    "priority": "express",
}
PLACED = EVENT | {"epoch": "1-e", "offset": 3, "prev_offset": 2}
PUBLICATION = {"data": {"a": 1}, "info": {"user": "ann", "client": "c"}, "time": 5}


def lines(*frames: Any) -> list[Any]:
    return [json.loads(line) for message in translated(encode_frames(frames)) for line in message.split(b"\n")]


def test_an_event_is_a_publication() -> None:
    pub = PUBLICATION | {"offset": 3}
    assert lines(PLACED) == [{"push": {"channel": "news", "pub": pub}}]
    assert lines(EVENT | {"ephemeral": True}) == [{"push": {"channel": "news", "pub": PUBLICATION}}]


def test_a_name_of_ours_is_a_tag() -> None:
    (push,) = lines(PLACED | {"name": "moved"})
    assert push["push"]["pub"]["tags"] == {"name": "moved"}


def test_a_server_is_no_client() -> None:
    (push,) = lines(PLACED | {"sender": {"user_id": "key:x", "connection_id": None}})
    assert "info" not in push["push"]["pub"]


def test_claims_that_events_show_are_conn_info() -> None:
    (push,) = lines(PLACED | {"sender": EVENT["sender"] | {"claims": {"name": "Ann"}}})  # type: ignore[operator]
    assert push["push"]["pub"]["info"] == {"user": "ann", "client": "c", "conn_info": {"name": "Ann"}}


@pytest.mark.parametrize(
    ("frame", "push"),
    [
        (
            {"type": "connection", "channel": "user:42", "event": "join", "user_id": "42", "connection_id": "c"},
            {"channel": "#42", "join": {"info": {"user": "42", "client": "c"}}},
        ),
        (
            {"type": "system", "event": "disconnect", "code": 3501, "name": "revoked", "reconnect": False},
            {"disconnect": {"code": 3503, "reason": "force disconnect"}},
        ),
        (
            {"type": "system", "event": "lagged", "channel": "room:1", "position": {}},
            {"channel": "room:1", "unsubscribe": {"code": 2500, "reason": "insufficient state"}},
        ),
        (
            {"type": "system", "event": "lagged", "channel": "room:1", "position": {}, "by_server": True},
            {"disconnect": {"code": 3010, "reason": "insufficient state"}},
        ),
        (
            {"type": "system", "event": "resubscribe", "channel": "room:1", "reason": "purged"},
            {"channel": "room:1", "unsubscribe": {"code": 2500, "reason": "insufficient state"}},
        ),
        (
            {"type": "system", "event": "resubscribe", "channel": "room:1", "reason": "capabilities"},
            {"channel": "room:1", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}},
        ),
    ],
)
def test_what_else_they_are_told(frame: dict[str, Any], push: dict[str, Any]) -> None:
    assert lines(frame) == [{"push": push}]


def test_what_they_have_no_word_for_is_left_out() -> None:
    frames = [
        {"type": "system", "event": "token_expiring", "expires_at_ms": 1},
        {"type": "presence", "channel": "room:1", "event": "join", "member": {}},
        {"type": "receipt", "channel": "room:1"},
        {"type": "typing", "channel": "room:1", "user_id": "ann", "active": True},
        {"type": "system", "event": "resubscribe", "channel": "room:1", "reason": "purged", "by_server": True},
    ]
    assert translated(encode_frames(frames)) == []


def test_a_message_is_no_larger_than_the_gateway_takes() -> None:
    messages = encode([{"push": {"data": "x" * 10_000}} for _ in range(7)])
    assert [message.count(b"\n") + 1 for message in messages] == [3, 3, 1]
    assert max(map(len, messages)) <= 32_000


def test_every_disconnect_of_ours_says_to_them_whether_to_come_back() -> None:
    for code, comes_back in ((1010, False), (3000, True), (3004, True), (3499, True), (3501, False), (3999, False)):
        assert (disconnect_of(code).code < 3500) is comes_back
    # Theirs comes back with a new token; ours, which has to ask for one first, does not by itself.
    assert disconnect_of(3500).code == 3005


def test_every_error_of_ours_says_to_them_whether_to_try_again() -> None:
    def kinds(kind: type[errors.TidewireError]) -> list[type[errors.TidewireError]]:
        return [one for sub in kind.__subclasses__() for one in (sub, *kinds(sub))]

    for kind in kinds(errors.TidewireError):
        assert error_of(kind()).temporary is kind().temporary, kind
    assert error_of(errors.CommandFailedError("no dice")).to_wire() == {"code": 1013, "message": "no dice"}
