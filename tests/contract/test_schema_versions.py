"""Items and messages say which version they have; a newer one is refused, and stays as it is (docs/adr/0022)."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from bench.ledger.dynamodb import create_tables
from shared.adapters.dynamodb_api_keys import DynamoDbApiKeyStore
from shared.adapters.dynamodb_connections import DynamoDbConnectionStore, DynamoDbTicketStore
from shared.adapters.dynamodb_documents import DynamoDbDocumentStore
from shared.adapters.dynamodb_mailboxes import DynamoDbMailboxStore
from shared.adapters.dynamodb_presence import DynamoDbPresenceStore
from shared.adapters.dynamodb_read_markers import DynamoDbReadMarkers
from shared.adapters.dynamodb_streams import DynamoDbStreamStore
from shared.adapters.eventbridge import broadcast
from shared.adapters.memory import MemoryLaneRecords
from shared.adapters.schema_version import UNDERSTOOD, WRITTEN, marked, versioned
from shared.adapters.sqs import delivery, lane_record, look, message
from shared.domain.api_key import ApiKey
from shared.domain.document import Change
from shared.domain.mailbox import Mailbox, Message
from shared.domain.principal import Principal
from shared.domain.publication import StreamPosition
from shared.domain.segment import Tail
from shared.errors import NewerSchemaError
from shared.ports import Stream
from tests.unit.stack import Clock, MemoryStack, connection, publication
from tests.unit.stack import lane_record as record_of

CLOCK = Clock()
NOW_S = CLOCK() // 1000
LATER_S = NOW_S + 600
SEGMENT = Tail().grow([publication()], now_ms=CLOCK(), expires_at_s=LATER_S)
KEY = f"{'0' * 16}.secret"
ARN = "arn:aws:sqs:us-east-1:000000000000:normal"


@pytest.fixture
def client() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        create_tables(client)
        yield versioned(client)


def fill(client: Any) -> None:
    """Have each kind of item written, by each way of writing."""
    connections = DynamoDbConnectionStore(client, "connections", CLOCK)
    connections.open(connection())
    connections.subscribe(connection(), {"room:a": frozenset()}, expires_at_s=LATER_S)
    DynamoDbTicketStore(client, "connections").issue("t", Principal("ann"), expires_at_s=LATER_S)
    mailboxes = DynamoDbMailboxStore(client, "connections")
    mailboxes.open("m", Mailbox(LATER_S, NOW_S, last=1))
    mailboxes.put("m", Message(1, "{}", CLOCK()), expires_at_s=LATER_S)
    streams = DynamoDbStreamStore(client, "streams")
    streams.open("room:a", Stream("e"), replaces=None)
    streams.append("room:a", "e", SEGMENT)
    DynamoDbDocumentStore(client, "state").append("room:a", "k", Change(1, "i", "ann", 1, value=1), to=None, full=True)
    presence = DynamoDbPresenceStore(client, "presence", CLOCK)
    presence.enter(["room:a"], "ann", "c1", at_ms=CLOCK(), expires_at_s=LATER_S)
    DynamoDbReadMarkers(client, "presence").advance("room:a", "ann", StreamPosition("e", 1), expires_at_s=LATER_S)
    DynamoDbApiKeyStore(client, "limits").add(ApiKey(KEY[:16], "k", {}, 0), "secret", at_most=9)


def items(client: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for table in client.list_tables()["TableNames"]:
        yield from ((table, item) for item in client.scan(TableName=table)["Items"])


def stored(client: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return all that there is, newer items included: asked by a client that refuses nothing."""
    return list(
        items(boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"))
    )


def put_back_as(client: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    plain = boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    for table, item in stored(client):
        plain.put_item(TableName=table, Item=change(item))


# Each way of reading, and each way of writing one item; what they name of it.
USES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "a connection": (
        "connections: CONNECTION#c1 META",
        lambda client: DynamoDbConnectionStore(client, "connections", CLOCK).get("c1"),
    ),
    "connections": (
        "connections: CONNECTION#c1 META",
        lambda client: DynamoDbConnectionStore(client, "connections", CLOCK).get_all(["c1"]),
    ),
    "a connection that opens": (
        "connections: CONNECTION#c1 META",
        lambda client: DynamoDbConnectionStore(client, "connections", CLOCK).open(connection()),
    ),
    "a connection that is announced": (
        "connections: CONNECTION#c1 META",
        lambda client: DynamoDbConnectionStore(client, "connections", CLOCK).announce("c1"),
    ),
    "subscribers": (
        "connections: CHANNEL#room:a#0 c1",
        lambda client: DynamoDbConnectionStore(client, "connections", CLOCK).subscribers("room:a"),
    ),
    "a ticket": (
        "connections: TICKET#",
        lambda client: DynamoDbTicketStore(client, "connections").redeem("t", now_s=NOW_S),
    ),
    "a mailbox": (
        "connections: MAILBOX#m META",
        lambda client: DynamoDbMailboxStore(client, "connections").number("m", now_s=NOW_S),
    ),
    "a look at a mailbox": (
        "connections: MAILBOX#m ",
        lambda client: DynamoDbMailboxStore(client, "connections").look([("m", 1)]),
    ),
    "messages": (
        "connections: MAILBOX#m 000000000001",
        lambda client: DynamoDbMailboxStore(client, "connections").read("m", 0, limit=1),
    ),
    "a stream": ("streams: room:a 0", lambda client: DynamoDbStreamStore(client, "streams").stream("room:a")),
    "a segment": (
        "streams: room:a#e 1",
        lambda client: DynamoDbStreamStore(client, "streams").newest("room:a", "e"),
    ),
    "a segment where one is appended": (
        "streams: room:a#e 1",
        lambda client: DynamoDbStreamStore(client, "streams").append("room:a", "e", SEGMENT),
    ),
    "rings": (
        "streams: room:a#e 1",
        lambda client: list(DynamoDbStreamStore(client, "streams").rings("room:a", "e", 1)),
    ),
    "a document": (
        "state: room:a k#000000000001",
        lambda client: DynamoDbDocumentStore(client, "state").log("room:a", "k"),
    ),
    "who is present": (
        "presence: PRESENCE#room:a ann#c1",
        lambda client: DynamoDbPresenceStore(client, "presence", CLOCK).attendees("room:a"),
    ),
    "who leaves": (
        "presence: PRESENCE#room:a ann#c1",
        lambda client: DynamoDbPresenceStore(client, "presence", CLOCK).leave("room:a", "ann", "c1"),
    ),
    "a read marker": (
        "presence: READ#room:a ann",
        lambda client: DynamoDbReadMarkers(client, "presence").offset("room:a", "ann", "e"),
    ),
    "an API key": ("limits: APIKEY#", lambda client: DynamoDbApiKeyStore(client, "limits").find(KEY)),
}


def test_whatever_is_put_says_its_version(client: Any) -> None:
    fill(client)
    versions = {(table, item["pk"]["S"]): item.get("v") for table, item in stored(client)}
    assert {table for table, _ in versions} == {"connections", "streams", "state", "presence", "limits"}
    # The count of keys is an update's, which writes no version: it is of the first.
    assert versions.pop(("limits", "APIKEYCOUNT")) is None
    assert set(map(str, versions.values())) == {str({"N": str(WRITTEN)})}


@pytest.mark.parametrize("use", USES)
def test_what_has_no_version_is_of_the_first(client: Any, use: str) -> None:
    fill(client)
    put_back_as(client, lambda item: {name: value for name, value in item.items() if name != "v"})
    try:
        USES[use][1](client)
    except NewerSchemaError:
        raise
    except Exception as error:  # the store's own answer, such as that there is one already
        assert type(error).__name__ == "StreamConflictError"


@pytest.mark.parametrize("use", USES)
def test_a_newer_one_is_named_and_left_as_it_is(client: Any, use: str) -> None:
    fill(client)
    put_back_as(client, lambda item: item | {"v": {"N": str(UNDERSTOOD + 1)}})
    before = stored(client)
    named, ask = USES[use]
    with pytest.raises(NewerSchemaError) as refused:
        ask(client)
    error = refused.value
    assert f"{error.place}: {error.key}".startswith(named)
    # Keys have names of people in them, and Lambda writes the text into its log.
    assert str(error) == (
        f"{error.place}: something has schema version {UNDERSTOOD + 1}, and this release understands {UNDERSTOOD}"
    )
    assert stored(client) == before


def queued(body: dict[str, Any], *, tries: int = 1) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": str(tries), "MessageGroupId": "g", "MessageDeduplicationId": "d"}
    return {
        "messageId": "m1",
        "receiptHandle": "r1",
        "body": json.dumps(body),
        "attributes": attributes,
        "eventSourceARN": ARN,
    }


NEWER = {"v": UNDERSTOOD + 1, "channel": "room:a", "frames": [], "attempt": 1}


@pytest.mark.parametrize("read", [message, delivery, look])
def test_a_newer_message_is_refused(read: Callable[[Any], Any]) -> None:
    with pytest.raises(NewerSchemaError, match=r"^normal: something has schema version 2"):
        read(queued(NEWER))


def test_so_is_a_newer_event() -> None:
    with pytest.raises(NewerSchemaError, match=r"^tidewire.pushes: something has schema version 2"):
        broadcast({"id": "e1", "detail-type": "tidewire.pushes", "detail": NEWER})


def test_a_message_without_version_is_of_the_first() -> None:
    assert look(queued({"channel": "room:a"})) == look(queued(marked({"channel": "room:a"})))


def test_a_newer_record_of_a_lane_is_told_of_and_buried_and_its_channel_goes_on() -> None:
    stack, records = MemoryStack(), MemoryLaneRecords()
    worker = replace(stack.worker, records=records)
    urls = {"normal": "http://sqs/normal"}
    for tries in (1, 3):
        newer = lane_record(queued(NEWER, tries=tries), urls)  # type: ignore[arg-type]
        left = worker.work([newer, record_of(publication())])
        assert left == (["m1"] if tries == 1 else [])
    assert [getattr(error, "key", None) for error in stack.failures] == ["m1"] * 2
    assert [record.raw[0] for record in records.buried] == [json.dumps(NEWER)]


def test_a_publication_waits_as_long_as_its_channel_has_newer_segments() -> None:
    stack, records = MemoryStack(), MemoryLaneRecords()

    def newer(*_arguments: Any) -> None:
        raise NewerSchemaError("streams", "room:a#e 1", 2, understood=1)

    object.__setattr__(stack.store, "append", newer)
    record = replace(record_of(publication()), tries=50)
    assert replace(stack.worker, records=records).work([record]) == [record.record_id]
    assert records.buried == []
