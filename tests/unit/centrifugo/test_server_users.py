"""What servers do to users' connections by Centrifugo's HTTP API, and who they are told is there."""

import time
from typing import Any

import pytest

from shared.errors import UnavailableError
from shared.services import centrifugo_census
from tests.unit.centrifugo.client import CHANNELS, Client, token
from tests.unit.centrifugo.test_server_api import NOBODY, call, code
from tests.unit.services.test_token_life import run_deadlines
from tests.unit.stack import MemoryStack


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(CHANNELS)


@pytest.fixture
def ann(stack: MemoryStack) -> Client:
    client = Client(stack, "a=")
    client.connect("ann")
    client.pushes()
    return client


def test_a_user_is_subscribed_and_told(stack: MemoryStack, ann: Client) -> None:
    call(stack, "publish", channel="news", data="before")
    assert call(stack, "subscribe", user="ann", channel="news", data={"a": 1}) == {"result": {}}
    told, join = ann.pushes()
    position = call(stack, "history", channel="news")["result"]
    subscribed = {"recoverable": True, "positioned": True, "data": {"a": 1}} | position
    assert told == {"channel": "news", "subscribe": subscribed}
    assert join == {"channel": "news", "join": {"info": {"user": "ann", "client": ann.name}}}
    call(stack, "publish", channel="news", data="behind")
    assert ann.publications() == [("news", "behind")]
    assert call(stack, "presence_stats", channel="news")["result"] == {"num_clients": 1, "num_users": 1}


def test_one_connection_alone_is_subscribed(stack: MemoryStack, ann: Client) -> None:
    other = Client(stack, "b=")
    other.connect("ann")
    stack.connect("ours", "ann")
    call(stack, "subscribe", user="ann", channel="news", client=other.name)
    assert ann.pushes() == []
    assert [push["channel"] for push in other.pushes() if "subscribe" in push] == ["news"]
    call(stack, "subscribe", user="ann", channel="room:1")
    assert "room:1" not in stack.connections.subscriptions("ours"), "it would not know what it is told"
    assert call(stack, "subscribe", user="nobody", channel="news") == {"result": {}}


def test_what_was_missed_since_is_pushed_behind_it(stack: MemoryStack, ann: Client) -> None:
    since = call(stack, "publish", channel="news", data=1)["result"]
    call(stack, "publish", channel="news", data=2)
    call(stack, "subscribe", user="ann", channel="news", recover_since=since)
    first, *rest = ann.pushes()
    assert first["subscribe"]["offset"] == 2
    assert [push["pub"]["data"] for push in rest if "pub" in push] == [2]
    call(stack, "unsubscribe", user="ann", channel="news")
    ann.pushes()
    call(stack, "subscribe", user="ann", channel="news", recover_since={"offset": 1, "epoch": "another"})
    assert ann.publications() == []


def test_what_is_published_before_it_is_told_is_pushed_behind_it(
    stack: MemoryStack, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_all = stack.sinks.push_all

    def publish_before(connection_ids: Any, messages: Any, gate: Any = None) -> Any:
        if messages and b'"subscribe"' in messages[0]:
            call(stack, "publish", channel="news", data="meanwhile")
        return push_all(connection_ids, messages, gate)

    monkeypatch.setattr(type(stack.sinks), "push_all", lambda _self, *arguments: publish_before(*arguments))
    call(stack, "subscribe", user="ann", channel="news")
    kinds = [next(iter(push.keys() - {"channel"})) for push in ann.pushes()]
    assert kinds == ["pub", "subscribe", "join", "pub"]


def test_who_has_unsubscribed_by_itself_can_be_subscribed_by_a_server(stack: MemoryStack, ann: Client) -> None:
    ann.subscribe("news", "ann")
    ann.ask("unsubscribe", channel="news")
    ann.pushes()
    call(stack, "subscribe", user="ann", channel="news")
    assert ann.name in stack.connections.subscribers("centrifugo:news").connection_ids
    ann.ask("unsubscribe", channel="news")
    assert ann.name not in stack.connections.subscribers("centrifugo:news").connection_ids


def test_a_connection_that_has_gone_is_not_told(stack: MemoryStack, ann: Client) -> None:
    del stack.transport.inboxes["a="]
    assert call(stack, "subscribe", user="ann", channel="news") == {"result": {}}
    assert call(stack, "refresh", user="ann", expire_at=stack.clock() // 1000 + 100) == {"result": {}}


def test_a_gateway_that_fails_is_told_of(stack: MemoryStack, ann: Client) -> None:
    stack.transport.failures = {"a=": UnavailableError("the gateway fails")}
    assert code(call(stack, "subscribe", user="ann", channel="news")) == 100


def test_a_connection_is_refreshed_and_told(stack: MemoryStack) -> None:
    client = Client(stack, "a=")
    now_s = stack.clock() // 1000
    client.connect("ann", exp=now_s + 100)
    client.subscribe("news", "ann")
    client.pushes()
    assert call(stack, "refresh", user="ann", expire_at=now_s + 500) == {"result": {}}
    assert client.pushes() == [{"refresh": {"expires": True, "ttl": 475}}]
    run_deadlines(stack, 300)
    assert client.name in stack.connections.subscribers("centrifugo:news").connection_ids
    assert client.ask("ping") == {}
    run_deadlines(stack, 201)
    assert [push["disconnect"]["code"] for push in client.pushes()] == [3005]


def test_a_connection_may_end_sooner_or_never(stack: MemoryStack) -> None:
    now_s = stack.clock() // 1000
    sooner, never = Client(stack, "a="), Client(stack, "b=")
    for client in (sooner, never):
        client.connect("ann", exp=now_s + 1000)
        client.pushes()
    call(stack, "refresh", user="ann", client=sooner.name, expire_at=now_s + 50)
    call(stack, "refresh", user="ann", client=never.name)
    assert sooner.pushes() == [{"refresh": {"expires": True, "ttl": 25}}]
    assert never.pushes() == [{"refresh": {}}]
    run_deadlines(stack, 51)
    assert [push["disconnect"]["code"] for push in sooner.pushes()] == [3005]
    run_deadlines(stack, 1000)
    assert never.pushes() == []
    assert never.ask("ping") == {}


@pytest.mark.parametrize("body", [{"expired": True}, {"expire_at": 1}])
def test_a_connection_expires_at_once(stack: MemoryStack, ann: Client, body: dict[str, Any]) -> None:
    stack.connect("ours", "ann")
    assert call(stack, "refresh", user="ann", **body) == {"result": {}}
    assert [push["disconnect"] for push in ann.pushes()] == [{"code": 3005, "reason": "connection expired"}]
    assert stack.transport.closed == ["a="]
    assert stack.connections.get("ours") is not None


def test_a_server_says_why_it_disconnects(stack: MemoryStack, ann: Client) -> None:
    stack.connect("ours", "ann")
    why = {"code": 4007, "reason": "moved"}
    assert call(stack, "disconnect", user="ann", disconnect=why) == {"result": {}}
    assert [push["disconnect"] for push in ann.pushes()] == [why]
    assert stack.events("ours")[-1] == {
        "type": "system",
        "event": "disconnect",
        "code": 3501,
        "name": "revoked",
        "reconnect": False,
    }


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("disconnect", {"user": "ann", "disconnect": {"code": 0, "reason": ""}}),
        ("disconnect", {"user": "ann", "disconnect": {"code": 2999, "reason": ""}}),
        ("disconnect", {"user": "ann", "disconnect": {"code": 5000, "reason": ""}}),
        ("disconnect", {"user": "ann", "disconnect": {"code": 3500, "reason": "é" * 62}}),
        ("disconnect", {"user": "x" * 3_000}),
        ("disconnect", {"user": ".."}),
        ("unsubscribe", {"user": "x" * 3_000, "channel": "news"}),
        ("subscribe", {"user": "ann"}),
        ("subscribe", {"user": "ann", "channel": "user:wrong"}),
        ("subscribe", {"user": "ann", "channel": "news", "info": {"a": 1}}),
        ("subscribe", {"user": "ann", "channel": "news", "b64data": "AAAA"}),
        ("subscribe", {"user": "ann", "channel": "news", "override": {"presence": {"value": True}}}),
        ("subscribe", {"user": "ann", "channel": "news", "data": "x" * 24_001}),
        ("refresh", {"user": "ann", "expire_at": -1}),
        ("refresh", {"user": "ann", "expire_at": 2**70}),
        ("refresh", {"user": "ann", "session": "s"}),
        ("channels", {"pattern": "{a,b}"}),
        ("channels", {"pattern": "x" * 256}),
    ],
)
def test_what_can_t_be_is_a_bad_request(stack: MemoryStack, ann: Client, method: str, body: dict[str, Any]) -> None:
    assert code(call(stack, method, **body)) == 107
    assert ann.pushes() == []


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("subscribe", {"user": "ann", "channel": "news"}),
        ("refresh", {"user": "ann", "expired": True}),
        ("channels", {}),
        ("info", {}),
    ],
)
def test_who_is_no_admin_may_not(stack: MemoryStack, ann: Client, method: str, body: dict[str, Any]) -> None:
    assert code(call(stack, method, NOBODY, **body)) == 103
    assert ann.pushes() == []


def test_channels_are_those_of_who_is_connected(stack: MemoryStack, ann: Client) -> None:
    bob = Client(stack, "b=")
    bob.connect("bob")
    stack.connect("ours", "ann")
    for client, user_id in ((ann, "ann"), (bob, "bob")):
        client.subscribe("news", user_id)
    stack.ask("ours", {"type": "subscribe", "channel": "room:1"})
    Client(stack, "pending=")

    clients = {"#ann": 2, "#bob": 1, "news": 2, "room:1": 1}
    assert call(stack, "channels")["result"] == {
        "channels": {name: {"num_clients": count} for name, count in clients.items()}
    }
    for pattern, names in (
        ("room:*", ["room:1"]),
        ("new?", ["news"]),
        ("#[ab]*", ["#ann", "#bob"]),
        ("", list(clients)),
        ("no", []),
    ):
        assert list(call(stack, "channels", pattern=pattern)["result"]["channels"]) == names

    (node,) = call(stack, "info")["result"]["nodes"]
    counts = {"num_clients": 3, "num_users": 2, "num_channels": 4, "num_subs": 6}
    assert node == {"uid": "tidewire", "name": "tidewire", "version": "tidewire"} | counts


def test_nobody_walks_through_all_of_a_large_stage(
    stack: MemoryStack, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(centrifugo_census, "_PAGES_MAX", 1)
    for number in range(250):
        stack.connect(f"c{number}", "ann")
    assert code(call(stack, "channels")) == 106
    assert code(call(stack, "info")) == 106


def test_who_was_revoked_meanwhile_is_not_refreshed(stack: MemoryStack, ann: Client) -> None:
    stack.revocations.revoke("ann", at_ms=int(time.time() * 1000))
    assert call(stack, "refresh", user="ann", expire_at=stack.clock() // 1000 + 100) == {"result": {}}
    assert ann.pushes() == []


def test_a_token_of_the_clients_counts_from_then_on(stack: MemoryStack, ann: Client) -> None:
    now_s = stack.clock() // 1000
    call(stack, "refresh", user="ann", expire_at=now_s + 100)
    assert ann.ask("refresh", token=token("ann", exp=now_s + 500))["ttl"] == 475
