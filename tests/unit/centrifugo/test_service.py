"""Centrifugo's commands on the services, in memory."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from shared.domain.commands import CommandContext, command
from shared.domain.principal import Principal
from shared.errors import ThrottledError, UnavailableError
from tests.unit.centrifugo.client import CHANNELS, Client, in_seconds, token
from tests.unit.services.test_token_life import run_deadlines
from tests.unit.stack import ALL, MemoryStack


class Number(BaseModel):
    value: int


def double(given: Number, _context: CommandContext) -> Number:
    return Number(value=2 * given.value)


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(CHANNELS)


@pytest.fixture
def ann(stack: MemoryStack) -> Client:
    client = Client(stack, "a=")
    client.connect("ann")
    return client


@pytest.fixture
def bob(stack: MemoryStack) -> Client:
    client = Client(stack, "b=")
    client.connect("bob")
    return client


def code(reply: dict[str, Any]) -> int:
    found: int = reply["error"]["code"]
    return found


def told_and_closed(client: Client) -> list[int]:
    """Return the disconnect codes that it was told; it was closed, and nothing is left of it."""
    codes = [push["disconnect"]["code"] for push in client.pushes() if "disconnect" in push]
    assert client.websocket_id in client.stack.transport.closed
    for name in (client.websocket_id, client.name):
        assert client.stack.connections.get(name) is None
    return codes


def test_connecting_says_who_one_is_and_what_one_is_subscribed_to(stack: MemoryStack) -> None:
    result = Client(stack, "a=").connect("ann", exp=in_seconds(100_000), channels=["news"])

    assert result["expires"] is True
    assert list(result["subs"]) == ["#ann", "news"]
    assert result["subs"]["news"] == {"recoverable": True, "positioned": True} | result["subs"]["news"]
    assert not {"ping", "pong"} & result.keys()


def test_a_token_need_not_end(stack: MemoryStack) -> None:
    assert "expires" not in Client(stack, "a=").connect("ann")


@pytest.mark.parametrize("shown", ["", "nonsense", token("key:x"), token("ann") + "x"])
def test_who_shows_no_good_token_is_sent_away_for_good(stack: MemoryStack, shown: str) -> None:
    client = Client(stack, "a=")
    assert client.ask("connect", token=shown) == {}
    assert told_and_closed(client) == [3500]


def test_whose_token_has_ended_is_told_to_get_another(stack: MemoryStack) -> None:
    for ended_s in (-60, -1):  # no leeway: what a token that has just ended gave would be over at once
        assert code(Client(stack, f"{ended_s}=").ask("connect", token=token("ann", exp=in_seconds(ended_s)))) == 109


def test_a_revoked_user_is_sent_away(stack: MemoryStack, ann: Client) -> None:
    stack.revocation.revoke_user(Principal("root", {"*": ["admin"]}), "ann")
    assert [push["disconnect"]["code"] for push in ann.pushes()] == [3503]
    late = Client(stack, "l=")
    late.ask("connect", token=token("ann"))
    assert told_and_closed(late) == [3500]


def test_commands_without_a_right_are_denied(ann: Client) -> None:
    assert code(ann.ask("subscribe", channel="news")) == 103
    assert code(ann.ask("publish", channel="news", data=1)) == 103
    assert code(ann.ask("history", channel="news", limit=1)) == 103
    assert code(ann.ask("presence", channel="news")) == 103
    assert code(ann.ask("rpc", method="x", data=1)) == 103
    assert code(ann.ask("subscribe", channel="user:ann")) == 107
    assert code(ann.ask("presence", channel="#ann")) == 108


def test_a_subscription_token_is_one_users_and_one_channels(ann: Client) -> None:
    for shown in ("no token", token("bob", channel="news"), token("ann", channel="other"), token("ann")):
        assert code(ann.ask("subscribe", channel="news", token=shown)) == 103
    for ended_s in (-60, -1):
        shown = token("ann", channel="news", exp=in_seconds(ended_s))
        assert code(ann.ask("subscribe", channel="news", token=shown)) == 109
    assert ann.subscribe("news", "ann")["recoverable"]


def test_a_channel_that_names_its_users_has_no_others(ann: Client) -> None:
    assert code(ann.subscribe("dialog#bob,cho", "ann")) == 103
    assert ann.subscribe("dialog#bob,ann", "ann")["recoverable"]


def test_a_token_of_ours_has_its_capabilities(stack: MemoryStack) -> None:
    client = Client(stack, "a=")
    client.ask("connect", token=stack.token("ann", ALL))
    assert client.ask("subscribe", channel="room:1")["recoverable"]
    assert client.ask("publish", channel="room:1", data=1) == {}


def test_what_is_published_is_pushed_and_in_the_history(ann: Client, bob: Client) -> None:
    for client, user_id in ((ann, "ann"), (bob, "bob")):
        client.subscribe("news", user_id)
    ann.pushes()
    for number in range(3):
        assert ann.ask("publish", channel="news", data={"n": number}) == {}

    (first, *_) = [push["pub"] for push in bob.pushes() if "pub" in push]
    assert first == first | {"data": {"n": 0}, "offset": 1, "info": {"user": "ann", "client": ann.name}}
    assert ann.publications() == [("news", {"n": number}) for number in range(3)]

    history = bob.ask("history", channel="news", limit=-1)
    assert [pub["offset"] for pub in history["publications"]] == [1, 2, 3]
    assert history["offset"] == 3
    assert "publications" not in bob.ask("history", channel="news")
    since = {"offset": 1, "epoch": history["epoch"]}
    assert [pub["offset"] for pub in bob.ask("history", channel="news", limit=1, since=since)["publications"]] == [2]
    reverse = bob.ask("history", channel="news", limit=2, reverse=True)
    assert [pub["offset"] for pub in reverse["publications"]] == [3, 2]
    assert code(bob.ask("history", channel="news", limit=1, since={"offset": 1, "epoch": "x"})) == 112


def test_what_was_missed_is_recovered(ann: Client, bob: Client) -> None:
    position = bob.subscribe("news", "bob")
    bob.ask("unsubscribe", channel="news")
    ann.subscribe("news", "ann")
    for number in range(3):
        ann.ask("publish", channel="news", data=number)
    assert bob.publications() == []

    since = {"recover": True, "offset": position["offset"], "epoch": position["epoch"]}
    back = bob.subscribe("news", "bob", **since)
    assert (back["recovered"], back["was_recovering"], back["offset"]) == (True, True, 3)
    assert [pub["data"] for pub in back["publications"]] == [0, 1, 2]
    # Who has no position begins with the stream, whatever that is.
    assert len(bob.subscribe("news", "bob", recover=True)["publications"]) == 3


def test_what_can_t_be_recovered_whole_is_not(stack: MemoryStack, ann: Client) -> None:
    position = ann.subscribe("short:a", "ann")
    since = {"recover": True, "offset": position["offset"], "epoch": position["epoch"]}
    for number in range(3):
        ann.ask("publish", channel="short:a", data=number)
    ann.ask("unsubscribe", channel="short:a")

    assert code(ann.subscribe("short:a", "ann", flag=2, **since)) == 112
    assert "short:a" not in stack.connections.subscriptions(ann.name)
    lost = ann.subscribe("short:a", "ann", **since)
    assert (lost["recovered"], lost["was_recovering"]) == (False, True)
    assert "publications" not in lost


def test_more_than_one_reply_holds_is_not_recovered(ann: Client) -> None:
    position = ann.subscribe("news", "ann")
    for _ in range(3):
        ann.ask("publish", channel="news", data="x" * 15_000)
    back = ann.subscribe("news", "ann", recover=True, offset=0, epoch=position["epoch"])
    assert back["recovered"] is False
    assert "publications" not in back


def test_presence_is_by_connection(stack: MemoryStack, ann: Client, bob: Client) -> None:
    again = Client(stack, "a2=")
    again.connect("ann")
    for client, user_id in ((ann, "ann"), (again, "ann"), (bob, "bob")):
        client.subscribe("news", user_id)

    found = bob.ask("presence", channel="news")["presence"]
    assert found == {
        client.name: {"user": user_id, "client": client.name}
        for client, user_id in ((ann, "ann"), (again, "ann"), (bob, "bob"))
    }
    assert bob.ask("presence_stats", channel="news") == {"num_clients": 3, "num_users": 2}


def test_coming_and_going_is_told_of_each_connection(stack: MemoryStack, ann: Client, bob: Client) -> None:
    own = ann.send({"id": 9, "subscribe": {"channel": "news", "token": token("ann", channel="news")}})
    assert own[1:] == [{"push": {"channel": "news", "join": {"info": {"user": "ann", "client": ann.name}}}}]
    stack.drain()
    assert ann.pushes() == []
    bob.subscribe("news", "bob")
    bob.subscribe("news", "bob")  # which is no news
    stack.drain()
    info = {"user": "bob", "client": bob.name}
    assert ann.pushes() == [{"channel": "news", "join": {"info": info}}]
    bob.ask("unsubscribe", channel="news")
    stack.drain()
    assert ann.pushes() == [{"channel": "news", "leave": {"info": info}}]


def test_who_has_disconnected_leaves_when_the_time_to_come_back_is_over(
    stack: MemoryStack, ann: Client, bob: Client
) -> None:
    for client, user_id in ((ann, "ann"), (bob, "bob")):
        client.subscribe("news", user_id)
    stack.drain()
    ann.pushes()
    stack.sessions.disconnect(bob.websocket_id)
    assert stack.connections.get(bob.name) is None
    stack.drain()
    assert ann.pushes() == []
    assert {delay_s for _, delay_s in stack.looks.sent} == {11}
    stack.clock.pass_s(11)
    stack.looks.sent = [(look, 0) for look, _ in stack.looks.sent]
    stack.drain()
    assert ann.pushes() == [{"channel": "news", "leave": {"info": {"user": "bob", "client": bob.name}}}]
    assert ann.ask("presence_stats", channel="news") == {"num_clients": 1, "num_users": 1}


def test_both_protocols_meet_in_a_channel(stack: MemoryStack) -> None:
    theirs = Client(stack, "t=")
    theirs.ask("connect", token=stack.token("ann", ALL))
    stack.connect("ours", "bob")
    stack.ask("ours", {"type": "subscribe", "channel": "room:1", "presence": True})
    theirs.ask("subscribe", channel="room:1")
    stack.drain()

    theirs.ask("publish", channel="room:1", data="from theirs")
    stack.ask("ours", {"type": "publish", "channel": "room:1", "name": "said", "data": "from ours"})
    stack.drain()
    assert theirs.publications() == [("room:1", "from theirs"), ("room:1", "from ours")]
    events = [event for event in stack.events("ours") if event["type"] == "event"]
    assert [(event["name"], event["data"]) for event in events] == [("message", "from theirs"), ("said", "from ours")]
    assert events[0]["sender"] == {"user_id": "ann", "connection_id": theirs.name}

    members = stack.ask("ours", {"type": "presence.get", "channel": "room:1"})["result"]["members"]
    assert [member["user_id"] for member in members] == ["ann", "bob"]
    assert theirs.ask("presence", channel="room:1")["presence"]["ours"] == {"user": "bob", "client": "ours"}
    ours = stack.ask("ours", {"type": "history", "channel": "room:1"})["result"]["publications"]
    assert [entry["offset"] for entry in ours] == [1, 2]
    assert len(theirs.ask("history", channel="room:1", limit=-1)["publications"]) == 2


def test_a_connection_speaks_one_protocol(stack: MemoryStack, ann: Client) -> None:
    frame = json.dumps({"type": "subscribe", "id": 1, "channel": "room:1"})
    refused, disconnect = stack.dispatcher.handle("a=", frame, max_bytes=32_000, received_at_ms=stack.clock())
    assert refused["error"]["name"] == "forbidden"
    assert (disconnect["code"], disconnect["name"]) == (3502, "protocol_violation")

    stack.connect("ours", "bob")
    inbox = stack.transport.inboxes["ours"]
    stack.centrifugo.handle("ours", '{"id":1,"connect":{"token":"x"}}', received_at_ms=stack.clock())
    assert json.loads(inbox[-1]) == {"push": {"disconnect": {"code": 3501, "reason": "bad request"}}}
    assert stack.transport.closed == ["ours"]


@pytest.mark.parametrize(
    "body",
    [
        '{"id":5,"connect":{"token":"x"}}',  # once more
        '{"id":0,"subscribe":{"channel":"news"}}',
        '{"id":5,"subscribe":{}}',
        '{"id":5,"ping":{}}\n{"type":"ping"}',
        '{"id":5,"subscribe":{"channel":7}}',
    ],
)
def test_what_is_no_command_ends_the_connection(ann: Client, body: str) -> None:
    assert ann.stack.centrifugo.handle("a=", body, received_at_ms=ann.stack.clock()) == []
    assert told_and_closed(ann) == [3501]


def test_a_store_that_does_not_answer_has_clients_come_back(ann: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def get(*_: Any) -> None:
        monkeypatch.undo()
        raise ThrottledError

    monkeypatch.setattr(ann.stack.connections, "get", get)
    assert ann.ask("ping") == {}
    assert told_and_closed(ann) == [3004]


def test_who_has_gone_here_and_not_there_is_to_come_back(stack: MemoryStack, ann: Client) -> None:
    stack.sessions.disconnect("a=")
    assert ann.ask("ping") == {}
    assert told_and_closed(ann) == [3004]


def test_who_can_t_be_told_the_end_is_closed_all_the_same(
    stack: MemoryStack, ann: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack.transport, "push_all", lambda connections, *_: [UnavailableError()] * len(connections))
    stack.centrifugo.handle("a=", "{]", received_at_ms=stack.clock())
    assert told_and_closed(ann) == []


def test_a_token_for_a_subscription_connects_nobody(stack: MemoryStack) -> None:
    client = Client(stack, "b=")
    assert client.ask("connect", token=token("ann", channel="news")) == {}
    assert told_and_closed(client) == [3500]


def test_a_command_named_message_takes_what_is_sent(stack: MemoryStack) -> None:
    taken = []

    def take(given: Number, context: CommandContext) -> Number:
        taken.append((given.value, context.principal.user_id))
        if given.value == 0:
            raise RuntimeError("secret")
        return given

    stack.catalogue["message"] = command("message")(take)
    client = Client(stack, "a=")
    client.ask("connect", token=stack.token("ann", ALL))
    sent = ({"send": {"data": {"value": value}}} for value in (1, 0, 2))
    assert client.send(*sent, {"send": {"data": "four"}}, {"id": 9, "send": {"data": {"value": 3}}}) == []
    assert taken == [(1, "ann"), (0, "ann"), (2, "ann"), (3, "ann")]
    assert [type(failure) for failure in stack.failures] == [RuntimeError]
    assert client.ask("ping") == {}


def test_who_sends_where_nothing_takes_it_learns_that(stack: MemoryStack, ann: Client) -> None:
    client = Client(stack, "b=")
    client.ask("connect", token=stack.token("bob", ALL))
    client.send({"send": {"data": 1}})
    assert told_and_closed(client) == [3508]
    stack.catalogue["message"] = command("message")(double)
    ann.send({"send": {"data": 1}})
    assert told_and_closed(ann) == [3508], "its token does not allow it"


def test_a_pong_and_a_ping(ann: Client) -> None:
    assert ann.send({}, {"id": 4, "ping": {}}) == [{"id": 4, "ping": {}}]


def test_commands_of_one_message_are_handled_in_order(stack: MemoryStack) -> None:
    client = Client(stack, "a=")
    replies = client.send(
        {"id": 1, "connect": {"token": token("ann")}},
        {"id": 2, "subscribe": {"channel": "news", "token": token("ann", channel="news")}},
        {"id": 3, "publish": {"channel": "news", "data": 1}},
        {"id": 4, "history": {"channel": "news", "limit": -1}},
    )
    assert [reply["id"] for reply in replies if "id" in reply] == [1, 2, 3, 4]
    (history,) = [reply["history"] for reply in replies if "history" in reply]
    assert len(history["publications"]) == 1


def test_what_is_published_before_a_subscription_is_answered_comes_behind_the_answer(
    stack: MemoryStack, ann: Client, bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An SDK drops what is pushed into a channel before it knows that it is subscribed."""
    ann.subscribe("news", "ann")
    push_all = stack.sinks.push_all

    def publish_before(connection_ids: Any, messages: Any, gate: Any = None) -> Any:
        if connection_ids == ["b="] and messages and b'"subscribe"' in messages[0]:
            ann.ask("publish", channel="news", data="meanwhile")
        return push_all(connection_ids, messages, gate)

    monkeypatch.setattr(type(stack.sinks), "push_all", lambda _self, *arguments: publish_before(*arguments))
    reply, *behind = bob.send({"id": 7, "subscribe": {"channel": "news", "token": token("bob", channel="news")}})
    assert reply["subscribe"]["offset"] == 0
    assert [push["push"]["pub"]["data"] for push in behind if "pub" in push["push"]] == ["meanwhile"]
    assert bob.publications() == [("news", "meanwhile")], "the first, which is dropped"


def test_who_has_missed_too_much_meanwhile_begins_anew(stack: MemoryStack, ann: Client) -> None:
    ann.subscribe("news", "ann")
    position = stack.streams.position(stack.streams.end("centrifugo:news"))
    for _ in range(3):
        ann.ask("publish", channel="news", data="x" * 15_000)
    (push,) = stack.centrifugo_reading.missed("centrifugo:news", position, by_server=False) or []
    assert push["push"]["unsubscribe"]["code"] == 2500


def test_a_command_that_overtakes_connecting_waits_for_it(stack: MemoryStack) -> None:
    client = Client(stack, "a=")

    def connect_meanwhile(_seconds: float) -> None:
        connect = json.dumps({"id": 1, "connect": {"token": token("ann")}})
        stack.centrifugo.handle("a=", connect, received_at_ms=stack.clock())

    object.__setattr__(stack.centrifugo, "sleep", connect_meanwhile)
    replies = client.send({"id": 2, "subscribe": {"channel": "news", "token": token("ann", channel="news")}})
    assert [next(iter(reply.keys() - {"id"})) for reply in replies if "id" in reply] == ["connect", "subscribe"]


def test_who_never_connects_is_not_waited_for_long(stack: MemoryStack) -> None:
    client = Client(stack, "a=")
    client.subscribe("news", "ann")
    assert told_and_closed(client) == [3501]
    assert 0 < sum(stack.slept_s) <= 1


def late(client: Client, command_id: int, name: str) -> None:
    """Have a command be handled after later ones."""
    fields = {"channel": "news", "token": token("ann", channel="news")}
    (reply, *_) = client.send({"id": command_id, name: fields})
    assert name in reply, "who asks does not wait for it any more; it is answered all the same"


def test_an_older_command_about_a_channel_does_nothing(stack: MemoryStack, ann: Client) -> None:
    late(ann, 12, "subscribe")
    late(ann, 11, "unsubscribe")
    assert ann.ask("presence_stats", channel="news") == {"num_clients": 1, "num_users": 1}
    assert ann.name in stack.connections.subscribers("centrifugo:news").connection_ids

    late(ann, 14, "unsubscribe")
    late(ann, 13, "subscribe")
    assert ann.name not in stack.connections.subscribers("centrifugo:news").connection_ids
    assert not stack.presence_store.attendees("centrifugo:news").members


def test_a_coming_that_a_late_going_has_undone_is_made_good(stack: MemoryStack, ann: Client) -> None:
    late(ann, 11, "subscribe")
    leave = stack.presence_store.leave
    meanwhile = [lambda: late(ann, 13, "subscribe")]

    def leave_late(*arguments: Any, **keywords: Any) -> bool:
        if meanwhile:
            meanwhile.pop()()
        return leave(*arguments, **keywords)

    stack.presence_store.leave = leave_late  # type: ignore[method-assign]
    late(ann, 12, "unsubscribe")
    assert ann.ask("presence_stats", channel="news") == {"num_clients": 1, "num_users": 1}


def test_a_command_of_ours_is_their_rpc(stack: MemoryStack) -> None:
    stack.catalogue["double"] = command("double")(double)
    client = Client(stack, "a=")
    client.ask("connect", token=stack.token("ann", ALL))
    assert client.ask("rpc", method="double", data={"value": 4}) == {"data": {"value": 8}}
    assert code(client.ask("rpc", method="triple", data=4)) == 104
    assert code(client.ask("rpc", method="double", data="four")) == 107


def test_a_token_is_refreshed_and_subscriptions_stay(stack: MemoryStack) -> None:
    client = Client(stack, "a=")
    now_s = stack.clock() // 1000
    client.connect("ann", exp=now_s + 1000)
    client.subscribe("news", "ann")
    shown = token("ann", channel="short:a", exp=now_s + 1200)
    client.ask("subscribe", channel="short:a", token=shown)
    refreshed = client.ask("refresh", token=token("ann", exp=now_s + 2000))
    assert refreshed == refreshed | {"client": client.name, "expires": True, "ttl": 1975}
    stack.clock.pass_s(1500)
    assert client.name in stack.connections.subscribers("centrifugo:news").connection_ids
    assert client.name not in stack.connections.subscribers("short:a").connection_ids, "its own token has ended"
    client.ask("refresh", token=token("bob"))
    assert told_and_closed(client) == [3500]


def test_a_subscription_ends_with_its_token_unless_that_is_refreshed(stack: MemoryStack, ann: Client) -> None:
    ends_s = stack.clock() // 1000 + 100
    shown = token("ann", channel="news", exp=ends_s)
    result = ann.ask("subscribe", channel="news", token=shown)
    assert (result["expires"], result["ttl"]) == (True, 75)
    stack.clock.pass_s(50)
    later = token("ann", channel="news", exp=ends_s + 100)
    assert ann.ask("sub_refresh", channel="news", token=later) == {"expires": True, "ttl": 125}
    stack.clock.pass_s(100)
    assert ann.name in stack.connections.subscribers("centrifugo:news").connection_ids
    stack.clock.pass_s(100)
    assert ann.name not in stack.connections.subscribers("centrifugo:news").connection_ids
    assert code(ann.ask("sub_refresh", channel="news", token=token("ann", channel="other"))) == 103


@pytest.mark.parametrize("left_s", [2, 3, 10, 60, 1000])
def test_who_refreshes_when_it_is_told_to_is_in_time(stack: MemoryStack, left_s: int) -> None:
    now_s = stack.clock() // 1000
    client = Client(stack, "a=")
    stack.clock.now_ms += 999
    told = client.connect("ann", exp=now_s + left_s)["ttl"]
    shown = token("ann", channel="news", exp=now_s + left_s)
    assert client.ask("subscribe", channel="news", token=shown)["ttl"] == told
    client.pushes()
    stack.clock.pass_s(told)
    later = now_s + 5000
    assert client.ask("refresh", token=token("ann", exp=later))["expires"]
    assert client.ask("sub_refresh", channel="news", token=token("ann", channel="news", exp=later))["expires"]
    stack.clock.pass_s(1000)
    assert client.pushes() == []
    assert client.name in stack.connections.subscribers("centrifugo:news").connection_ids


def test_who_refreshes_a_subscription_too_late_subscribes_anew(stack: MemoryStack, ann: Client, bob: Client) -> None:
    ends_s = stack.clock() // 1000 + 100
    position = ann.ask("subscribe", channel="news", token=token("ann", channel="news", exp=ends_s))
    stack.clock.pass_s(101)
    bob.subscribe("news", "bob")
    bob.ask("publish", channel="news", data="missed")
    later = {"channel": "news", "token": token("ann", channel="news", exp=ends_s + 1000)}
    reply, push = ann.send({"id": 50, "sub_refresh": later})
    assert reply == {"id": 50, "sub_refresh": {}}
    assert push["push"] == {"channel": "news", "unsubscribe": {"code": 2501, "reason": "subscription expired"}}
    recover = {"recover": True, "epoch": position["epoch"], "offset": position["offset"]}
    reply, *_ = ann.send({"id": 51, "subscribe": later | recover})
    assert reply["subscribe"]["recovered"]
    assert [missed["data"] for missed in reply["subscribe"]["publications"]] == ["missed"]


def test_a_subscription_is_not_refreshed_by_a_token_that_has_ended(stack: MemoryStack, ann: Client) -> None:
    ann.subscribe("news", "ann")
    ann.pushes()
    shown = token("ann", channel="news", exp=in_seconds(-1))
    reply, push = ann.send({"id": 50, "sub_refresh": {"channel": "news", "token": shown}})
    assert reply == {"id": 50, "sub_refresh": {}}
    assert push["push"]["unsubscribe"]["code"] == 2501


def test_a_late_refresh_does_not_undo_what_came_after_it(ann: Client) -> None:
    late(ann, 12, "unsubscribe")
    fields = {"channel": "news", "token": token("ann", channel="news")}
    assert ann.send({"id": 11, "sub_refresh": fields}) == [{"id": 11, "sub_refresh": {}}]


def test_who_shows_an_ended_token_to_refresh_may_come_back(stack: MemoryStack, ann: Client) -> None:
    ann.ask("refresh", token=token("ann", exp=in_seconds(-1)))
    assert told_and_closed(ann) == [3005]


def test_whose_token_ends_is_told_and_may_come_back(stack: MemoryStack) -> None:
    client = Client(stack, "a=")
    ends_s = stack.clock() // 1000 + 100
    client.connect("ann", exp=ends_s)
    run_deadlines(stack, 101)
    assert [push["disconnect"]["code"] for push in client.pushes()] == [3005]
    assert stack.connections.get(client.name) is None


def test_the_time_to_say_who_one_is_is_no_affair_of_who_has(stack: MemoryStack, ann: Client) -> None:
    run_deadlines(stack, 10)
    assert ann.pushes() == []
    assert ann.ask("ping") == {}


def test_it_is_looked_after_and_found_gone_as_any_other(stack: MemoryStack, ann: Client, bob: Client) -> None:
    del stack.transport.inboxes["b="]
    stack.clock.pass_s(1000)
    stack.transport.active_ms["a="] = stack.clock()
    assert stack.janitor.sweep(lambda: True) == 1
    assert stack.connections.get(ann.name) is not None
    assert stack.connections.get(bob.name) is None
    assert stack.metrics.values["Disconnects"] == [1]


def test_a_push_that_meets_a_gone_connection_takes_it_out(stack: MemoryStack, ann: Client, bob: Client) -> None:
    for client, user_id in ((ann, "ann"), (bob, "bob")):
        client.subscribe("news", user_id)
    del stack.transport.inboxes["b="]
    ann.ask("publish", channel="news", data=1)
    assert stack.connections.get(bob.name) is None
    assert ann.publications() == [("news", 1)]


def test_our_faults_are_told_no_more_of_than_that(stack: MemoryStack, ann: Client, monkeypatch: Any) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(type(stack.subscriptions), "unsubscribe_in_order", broken)
    reply = ann.ask("unsubscribe", channel="news")
    assert reply["error"] == {"code": 100, "message": "internal server error", "temporary": True}
    assert [type(failure) for failure in stack.failures] == [RuntimeError]
