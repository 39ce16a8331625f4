"""Connections from the first byte to the last: tickets, sessions, deadlines, and sockets that just vanish."""

import secrets
from collections.abc import Iterator
from dataclasses import replace

import boto3
import httpx
import pytest
from websockets.exceptions import InvalidStatus

from localstack.edge.faults import Fault, NoFaults, Operation
from localstack.stack import LocalStack
from shared.adapters.dynamodb_connections import DynamoDbConnectionStore
from shared.bootstrap import now_ms
from shared.contract import ENV_CONNECTIONS_TABLE, OUTPUT_TABLE_NAMES
from shared.domain.connection import SESSION_GRACE_S, Session
from tests.integration.checks import Tables, eventually
from tests.integration.client import Client, RequestError, dev_token
from tests.integration.conftest import Connect


def ticket_for(http: httpx.Client, user_id: str) -> str:
    token = dev_token(str(http.base_url), user_id)
    answer = http.post("/v1/tickets", headers={"Authorization": f"Bearer {token}"}).raise_for_status().json()
    assert answer["expires_in_s"] == 30
    ticket: str = answer["ticket"]
    return ticket


async def test_a_ticket_says_who_it_is_and_hello_needs_no_token(
    connect: Connect, http: httpx.Client, channel: str
) -> None:
    ann = await connect(None, ticket=ticket_for(http, "ann"))
    await ann.ask("subscribe", channel=channel)
    assert (await ann.hello())["user_id"] == "ann"
    bob = await connect("bob")
    await bob.publish(channel, "hi")
    [event] = await ann.wait_for_events(channel, 1)
    assert event["data"] == "hi"
    with pytest.raises(RequestError, match="1005 forbidden"):
        await ann.hello(dev_token(str(http.base_url), "bob"))


async def test_a_ticket_opens_one_connection_once(stack: LocalStack, connect: Connect, http: httpx.Client) -> None:
    ticket = ticket_for(http, "ann")
    await connect(None, ticket=ticket)
    for bad in (ticket, "unknown", ""):
        with pytest.raises(InvalidStatus) as refused:
            await Client.open(stack.url, ticket=bad)
        assert refused.value.response.status_code == 401


async def test_a_ticket_that_is_too_old_is_refused(stack: LocalStack, http: httpx.Client) -> None:
    before = Tables(stack).all_keys()
    ticket = ticket_for(http, "ann")
    [(pk, sk)] = {key for key in Tables(stack).all_keys() - before if key[0].startswith("TICKET#")}
    boto3.client("dynamodb").update_item(
        TableName=stack.outputs[OUTPUT_TABLE_NAMES[ENV_CONNECTIONS_TABLE]],
        Key={"pk": {"S": pk}, "sk": {"S": sk}},
        UpdateExpression="SET expires_at_s = expires_at_s - :ttl",
        ExpressionAttributeValues={":ttl": {"N": "31"}},
    )
    with pytest.raises(InvalidStatus) as refused:
        await Client.open(stack.url, ticket=ticket)
    assert refused.value.response.status_code == 401


async def test_a_session_takes_its_subscriptions_to_the_next_connection(connect: Connect, channel: str) -> None:
    first = await connect("ann", subscribe=[{"channel": channel}])
    session_id = first.welcome["session_id"]
    bob = await connect("bob")
    second = await connect("ann", session_id=session_id)
    assert second.welcome["session_id"] == session_id
    assert second.welcome["connection_id"] != first.welcome["connection_id"]
    await first.close()
    await bob.publish(channel, "after the move")
    assert (await second.wait_for_events(channel, 1))[0]["data"] == "after the move"

    await second.cut()
    third = await connect("ann", session_id=session_id)
    await bob.publish(channel, "after the cut")
    assert (await third.wait_for_events(channel, 1))[0]["data"] == "after the cut"


@pytest.mark.parametrize("whose", ["another user's", "nobody's"])
async def test_a_session_that_is_not_ones_own_is_refused(connect: Connect, channel: str, whose: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    session_id = ann.welcome["session_id"] if whose == "another user's" else secrets.token_urlsafe(16)
    with pytest.raises(RequestError, match="1011 session_unknown"):
        await connect("bob", session_id=session_id)
    await ann.publish(channel, "still mine")
    await ann.wait_for_events(channel, 1)


async def test_a_session_that_nobody_came_back_to_in_time_has_ended(stack: LocalStack, connect: Connect) -> None:
    table = stack.outputs[OUTPUT_TABLE_NAMES[ENV_CONNECTIONS_TABLE]]
    store = DynamoDbConnectionStore(boto3.client("dynamodb"), table, now_ms)
    ann = await connect("ann")
    session_id = ann.welcome["session_id"]
    await ann.close()

    def left() -> Session | None:
        session = store.session(session_id)
        return session if session and session.expires_at_s <= now_ms() // 1000 + SESSION_GRACE_S else None

    session = await eventually(left)
    assert session is not None
    assert (await connect("ann", session_id=session_id)).welcome["session_id"] == session_id
    store.put_session(replace(session, expires_at_s=now_ms() // 1000))
    with pytest.raises(RequestError, match="1011 session_unknown"):
        await connect("ann", session_id=session_id)


async def test_who_says_nothing_is_sent_away_after_ten_seconds(connect: Connect, stack: LocalStack) -> None:
    silent, said_hello = await connect(None), await connect("ann")
    with pytest.raises(RequestError, match="1004 unauthenticated"):
        await silent.ask("sync", positions={})
    assert await silent.wait_closed() == 1000
    assert silent.frames[-1] == {
        "type": "system",
        "event": "disconnect",
        "code": 3503,
        "name": "not_authenticated_in_time",
        "reconnect": False,
    }
    assert await said_hello.ask("sync", positions={}) == {"behind": {}}


class LostDisconnects:
    """``$disconnect`` never arrives, as may happen on AWS."""

    def __init__(self) -> None:
        self.lost = 0

    def next(self, operation: Operation) -> Fault | None:
        if operation != "invoke":
            return None
        self.lost += 1
        return Fault(status=500)


@pytest.fixture
def no_faults(stack: LocalStack) -> Iterator[None]:
    yield
    stack.edge.gateway.faults = NoFaults()


def places(tables: Tables, connection_id: str) -> set[tuple[str, str]]:
    """Return the keys of what there is of a connection; the janitor's reminder of it has its own end."""
    keys = {(pk, sk) for pk, sk in tables.all_keys() if not pk.startswith("DUE#")}
    return {(pk, sk) for pk, sk in keys if sk == connection_id or pk == f"CONNECTION#{connection_id}"}


async def test_a_connection_of_which_no_end_was_heard_is_taken_out_by_the_next_push(
    stack: LocalStack, connect: Connect, channel: str, no_faults: None
) -> None:
    ann, bob = [await connect(user_id, subscribe=[{"channel": channel}]) for user_id in ("ann", "bob")]
    gone = ann.welcome["connection_id"]
    tables = Tables(stack)

    def left() -> set[tuple[str, str]]:
        return {(pk, sk) for pk, sk in places(tables, gone) if pk != f"CONNECTION#{gone}" or sk == "META"}

    everywhere = {(f"CHANNEL#{name}#0", gone) for name in (channel, "user:ann", "broadcast:all")}
    assert left() == everywhere | {(f"CONNECTION#{gone}", "META")}

    lost = LostDisconnects()
    stack.edge.gateway.faults = lost
    await ann.cut()
    await eventually(lambda: lost.lost)
    stack.edge.gateway.faults = NoFaults()
    assert len(left()) == 4

    await bob.publish(channel, "is anybody there?")
    await bob.wait_for_events(channel, 1)
    await eventually(lambda: not left())
    back = await connect("ann", session_id=ann.welcome["session_id"])
    await bob.publish(channel, "welcome back")
    await back.wait_for_events(channel, 1)


async def test_a_proper_end_takes_everything_out(stack: LocalStack, connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    connection_id = ann.welcome["connection_id"]
    await ann.close()
    tables = Tables(stack)
    await eventually(lambda: not any(sk == connection_id for _pk, sk in places(tables, connection_id)))
