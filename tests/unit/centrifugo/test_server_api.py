"""Centrifugo's HTTP API for servers, on the services in memory."""

from typing import Any

import pytest

from shared.domain.principal import Principal
from tests.unit.centrifugo.client import CHANNELS, Client
from tests.unit.stack import MemoryStack

SERVER = Principal("key:shop", {"*": ["publish", "history", "presence", "admin"]}, server=True)
NOBODY = Principal("key:nobody", {}, server=True)


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(CHANNELS)


@pytest.fixture
def ann(stack: MemoryStack) -> Client:
    client = Client(stack, "a=")
    client.connect("ann")
    client.subscribe("news", "ann")
    client.pushes()
    return client


def call(stack: MemoryStack, method: str, principal: Principal = SERVER, **body: Any) -> dict[str, Any]:
    return stack.centrifugo_server.call(principal, method, body)


def code(answer: dict[str, Any]) -> int:
    assert answer.keys() == {"error"}
    assert answer["error"].keys() == {"code", "message"}
    found: int = answer["error"]["code"]
    return found


def test_publish_tells_the_place_in_the_history(stack: MemoryStack, ann: Client) -> None:
    answer = call(stack, "publish", channel="news", data={"a": 1})
    assert answer["result"]["offset"] == 1
    (push,) = ann.pushes()
    assert push == {"channel": "news", "pub": {"data": {"a": 1}, "offset": 1, "time": stack.clock()}}
    assert call(stack, "history", channel="news", limit=10)["result"]["publications"] == [push["pub"]]
    assert call(stack, "history", channel="news")["result"] == answer["result"]


def test_what_is_sent_again_by_its_key_is_stored_once(stack: MemoryStack) -> None:
    first, second = (call(stack, "publish", channel="news", data=1, idempotency_key="k") for _ in range(2))
    assert first == second
    assert call(stack, "history", channel="news", limit=10)["result"]["offset"] == 1


def test_what_skips_the_history_is_only_pushed(stack: MemoryStack, ann: Client) -> None:
    assert call(stack, "publish", channel="news", data=1, skip_history=True) == {"result": {}}
    stack.drain()
    assert ann.publications() == [("news", 1)]
    assert call(stack, "history", channel="news")["result"]["offset"] == 0


def test_a_tag_named_name_is_the_events_name(stack: MemoryStack, ann: Client) -> None:
    call(stack, "publish", channel="news", data=1, tags={"name": "moved"})
    assert ann.pushes()[0]["pub"]["tags"] == {"name": "moved"}


def test_broadcast_tells_what_became_of_each(stack: MemoryStack, ann: Client) -> None:
    answer = call(stack, "broadcast", channels=["news", "user:wrong", "other"], data=7)
    first, refused, last = answer["result"]["responses"]
    assert first["result"]["offset"] == last["result"]["offset"] == 1
    assert code(refused) == 107
    assert ann.publications() == [("news", 7)]


def test_a_batch_is_answered_one_by_one(stack: MemoryStack, ann: Client) -> None:
    answer = stack.centrifugo_server.call(
        SERVER,
        "batch",
        {
            "commands": [
                {"publish": {"channel": "news", "data": 1}},
                {"presence_stats": {"channel": "news"}},
                {"publish": {"channel": "news"}},
                {"batch": {"commands": []}},
                {},
            ]
        },
    )
    assert [next(iter(reply)) for reply in answer["replies"]] == [
        "publish",
        "presence_stats",
        "error",
        "error",
        "error",
    ]
    assert answer["replies"][1] == {"presence_stats": {"num_clients": 1, "num_users": 1}}
    assert [code(reply) for reply in answer["replies"][2:]] == [107, 104, 104]


def test_a_call_publishes_100_times_at_most(stack: MemoryStack) -> None:
    channels = [f"room:{number}" for number in range(50)]
    half = {"broadcast": {"channels": channels, "data": 1}}
    assert len(call(stack, "batch", commands=[half, half])["replies"]) == 2
    one = {"publish": {"channel": "room:0", "data": 1}}
    assert call(stack, "batch", commands=[half, half, one])["error"]["code"] == 106


def test_presence_is_by_connection(stack: MemoryStack, ann: Client) -> None:
    answer = call(stack, "presence", channel="news")
    assert answer == {"result": {"presence": {ann.name: {"user": "ann", "client": ann.name}}}}


def test_history_is_removed_and_subscribers_begin_anew(stack: MemoryStack, ann: Client) -> None:
    call(stack, "publish", channel="news", data=1)
    ann.pushes()
    assert call(stack, "history_remove", channel="news") == {"result": {}}
    stack.drain()
    assert [push["unsubscribe"]["code"] for push in ann.pushes()] == [2500]
    assert call(stack, "history", channel="news", limit=10)["result"]["publications"] == []


def test_a_user_is_unsubscribed_and_told(stack: MemoryStack, ann: Client) -> None:
    assert call(stack, "unsubscribe", user="ann", channel="news", client="another") == {"result": {}}
    assert ann.pushes() == []
    assert call(stack, "unsubscribe", user="ann", channel="news") == {"result": {}}
    assert [push["unsubscribe"]["code"] for push in ann.pushes()] == [2000]
    assert call(stack, "presence_stats", channel="news")["result"] == {"num_clients": 0, "num_users": 0}
    call(stack, "publish", channel="news", data=1)
    assert ann.publications() == []


def test_connections_of_a_user_are_ended(stack: MemoryStack, ann: Client) -> None:
    others = [Client(stack, name) for name in ("b=", "c=", "d=")]
    for other in others:
        other.connect("ann")
    assert call(stack, "disconnect", user="ann", client=ann.name) == {"result": {}}
    assert call(stack, "disconnect", user="ann", whitelist=[others[0].name]) == {"result": {}}
    ended = [[push["disconnect"]["code"] for push in client.pushes()] for client in (ann, *others)]
    assert ended == [[3503], [], [3503], [3503]]
    Client(stack, "e=").connect("ann")  # tokens are as good as before


def test_who_has_no_right_is_told_so(stack: MemoryStack, ann: Client) -> None:
    for method, body in (
        ("publish", {"channel": "news", "data": 1}),
        ("history", {"channel": "news", "limit": 1}),
        ("presence", {"channel": "news"}),
        ("history_remove", {"channel": "news"}),
        ("disconnect", {"user": "ann"}),
        ("unsubscribe", {"user": "ann", "channel": "news"}),
    ):
        assert code(call(stack, method, NOBODY, **body)) == 103, method
    assert ann.pushes() == []


def test_what_there_is_not(stack: MemoryStack) -> None:
    assert code(call(stack, "nonsense")) == 104


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("publish", {"channel": "news"}),
        ("publish", {"channel": 5, "data": 1}),
        ("publish", {"channel": "news", "data": 1, "b64data": "AAAA"}),
        ("publish", {"channel": "news", "data": 1, "version": 3}),
        ("publish", {"channel": "news", "data": 1, "tags": {"colour": "red"}}),
        ("publish", {"channel": "news", "data": "x" * 24_001}),
        ("publish", {"channel": "", "data": 1}),
        ("publish", {"channel": "news", "data": 1, "idempotency_key": "x" * 65}),
        ("broadcast", {"channels": [], "data": 1}),
        ("history", {"channel": "news", "limit": "1"}),
        ("disconnect", {"user": ""}),
        ("batch", {"commands": [{}] * 101}),
    ],
)
def test_what_can_t_be_is_a_bad_request(stack: MemoryStack, method: str, body: dict[str, Any]) -> None:
    assert code(call(stack, method, **body)) == 107


def test_our_faults_are_told_no_more_of_than_that(stack: MemoryStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(type(stack.publishing), "publish", broken)
    assert call(stack, "publish", channel="news", data=1)["error"] == {"code": 100, "message": "internal server error"}
    assert [type(failure) for failure in stack.failures] == [RuntimeError]
