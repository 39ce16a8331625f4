"""Nobody hides: whatever a client does to its own personal channel, it is found there, and can be thrown out."""

from collections.abc import Callable

import pytest

from shared.domain.principal import Principal
from tests.unit.centrifugo.client import CHANNELS, Client, token
from tests.unit.centrifugo.test_in_order import failing, stored
from tests.unit.centrifugo.test_server_api import call
from tests.unit.stack import MemoryStack

ADMIN = Principal("root", {"*": ["admin"]})
OWN = "#ann"


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(CHANNELS)


@pytest.fixture
def ann(stack: MemoryStack) -> Client:
    client = Client(stack, "a=")
    client.connect("ann")
    client.pushes()
    return client


def found(stack: MemoryStack) -> list[str]:
    """Return whom a revocation of the user's has found: those that it has ended."""
    there = stack.revocation.connections_of("ann")
    stack.revocation.revoke_user(ADMIN, "ann")
    assert [stack.connections.get(one) for one in there] == [None] * len(there)
    return there


def leave(ann: Client) -> None:
    assert ann.ask("unsubscribe", channel=OWN) == {}


def leave_and_come_late(ann: Client) -> None:
    ann.send({"id": 9, "unsubscribe": {"channel": OWN}})
    ann.send({"id": 8, "subscribe": {"channel": OWN}})


def be_taken_out(ann: Client) -> None:
    assert call(ann.stack, "unsubscribe", user="ann", channel=OWN) == {"result": {}}
    assert [push["unsubscribe"]["code"] for push in ann.pushes()] == [2000]


def recover_or_nothing(ann: Client) -> None:
    reply = ann.ask("subscribe", channel=OWN, recover=True, epoch="bad", flag=2)
    assert reply["error"]["code"] == 112


def _ends_s(ann: Client, in_s: int = 60) -> int:
    return ann.stack.clock() // 1000 + in_s


def let_the_subscription_end(ann: Client) -> None:
    ann.ask("subscribe", channel=OWN, token=token("ann", channel=OWN, exp=_ends_s(ann)))
    ann.stack.clock.pass_s(61)


def let_the_refreshed_one_end(ann: Client) -> None:
    ann.ask("sub_refresh", channel=OWN, token=token("ann", channel=OWN, exp=_ends_s(ann)))
    ann.ask("refresh", token=token("ann", exp=_ends_s(ann, 600)))
    ann.stack.clock.pass_s(61)


@pytest.mark.parametrize(
    "hide",
    [
        leave,
        leave_and_come_late,
        be_taken_out,
        recover_or_nothing,
        let_the_subscription_end,
        let_the_refreshed_one_end,
    ],
)
def test_a_revocation_finds_who(stack: MemoryStack, ann: Client, hide: Callable[[Client], None]) -> None:
    hide(ann)
    assert found(stack) == [ann.name]


def test_who_left_is_told_as_ever_and_lists_it_no_more(stack: MemoryStack, ann: Client) -> None:
    assert "user:ann" in stack.connections.subscriptions(ann.name)
    leave(ann)
    assert "user:ann" not in stack.connections.subscriptions(ann.name)
    call(stack, "publish", channel=OWN, data=1)
    assert ann.publications() == [(OWN, 1)]


def test_who_left_is_seen_there_no_more() -> None:
    stack = MemoryStack('[namespaces.user]\npresence = "members"\nsubscribers_may = ["presence"]\n')
    ann = Client(stack, "a=")
    ann.connect("ann")
    ann.subscribe(OWN, "ann")
    assert ann.ask("presence", channel=OWN)["presence"].keys() == {ann.name}
    leave(ann)
    assert not stack.presence_store.attendees("user:ann").members
    assert not stack.connections.subscribers("user:ann", interest="presence").connection_ids
    assert found(stack) == [ann.name]


def test_what_the_server_subscribes_to_may_be_unrecovered(stack: MemoryStack) -> None:
    ann, sent = Client(stack, "a="), {"recover": True, "epoch": "bad", "flag": 2}
    subs = ann.ask("connect", token=token("ann", channels=["news"]), subs={OWN: sent, "news": sent})["subs"]
    assert {name: (one["was_recovering"], one["recovered"]) for name, one in subs.items()} == {
        OWN: (True, False),
        "news": (True, False),
    }
    assert found(stack) == [ann.name]


def test_who_can_t_be_told_in_order_is_found() -> None:
    stack = MemoryStack("[namespaces.user]\nforce_positioning = true\n")
    ann = Client(stack, "a=")
    ann.connect("ann")
    ann.subscribe(OWN, "ann")
    (one,) = stored(stack, 1, channel="user:ann")
    failing(stack, "a=").deliver(one)
    assert found(stack) == [ann.name]


def test_who_speaks_ours_is_found(stack: MemoryStack) -> None:
    stack.connect("ours", "ann")
    for kind in ("subscribe", "unsubscribe"):
        assert "result" in stack.ask("ours", {"type": kind, "channel": "user:ann"})
    assert "user:ann" not in stack.connections.subscriptions("ours")
    assert found(stack) == ["ours"]
