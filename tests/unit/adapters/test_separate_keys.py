"""Whatever clients name, in DynamoDB each name is a key of its own: none reaches an item of another kind or name."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.dynamodb_api_keys import DynamoDbApiKeyStore
from shared.adapters.dynamodb_buckets import DynamoDbBucketStore
from shared.adapters.dynamodb_commands import DynamoDbPendingCommandStore
from shared.adapters.dynamodb_connections import DynamoDbConnectionStore, DynamoDbTicketStore
from shared.adapters.dynamodb_presence import DynamoDbPresenceStore
from shared.adapters.dynamodb_read_markers import DynamoDbReadMarkers
from shared.adapters.dynamodb_streams import DynamoDbStreamStore
from shared.domain.channel import is_channel
from shared.domain.rate import Rate


class Recorder:
    """A client that finds nothing, and keeps what was asked for: table, partition and, of items, sort key."""

    def __init__(self) -> None:
        self.asked: set[tuple[str, ...]] = set()

    def _item(self, TableName: str, Key: Any = None, Item: Any = None, **_more: Any) -> dict[str, Any]:
        key = Key or Item
        self.asked.add((TableName, key["pk"]["S"], *(key["sk"].values())))
        return {}

    get_item = delete_item = put_item = update_item = _item

    def query(self, TableName: str, ExpressionAttributeValues: Any, **_more: Any) -> dict[str, Any]:
        self.asked.add((TableName, ExpressionAttributeValues[":pk"]["S"]))
        return {"Items": []}


def asked(call: Callable[[Any], Any]) -> set[tuple[str, ...]]:
    client = Recorder()
    call(client)
    assert client.asked
    return client.asked


# What a client may choose freely, with all that separates the parts of keys.
FREE = st.one_of(
    st.sampled_from(
        ["", "#", "META", "a", "a#0", "#META", "SUB#room:a", "CONNECTION#a", "a\x00", "\uffff", "*", "%23"]
    ),
    st.text(alphabet="a#:/*%\x00ü", max_size=6),
)
CHANNEL = st.builds("{}:{}".format, *[st.text(alphabet="ab%.", min_size=1, max_size=3)] * 2)

# By kind: what is looked up for a name.
LOOKUPS: dict[str, Callable[[str], Callable[[Any], Any]]] = {
    "a connection": lambda name: lambda client: DynamoDbConnectionStore(client, "connections", lambda: 0).get(name),
    "a session": lambda name: lambda client: DynamoDbConnectionStore(client, "connections", lambda: 0).session(name),
    "a ticket": lambda name: lambda client: DynamoDbTicketStore(client, "connections").redeem(name, now_s=0),
    "a command": lambda name: lambda client: DynamoDbPendingCommandStore(client, "connections").get(name),
    "a bucket": lambda name: lambda client: DynamoDbBucketStore(client, "limits").take(name, Rate(1, 1), 1, now_ms=0),
}


@given(
    one=st.tuples(st.sampled_from([*LOOKUPS]), FREE),
    other=st.tuples(st.sampled_from([*LOOKUPS]), FREE),
)
def test_what_is_named_freely(one: tuple[str, str], other: tuple[str, str]) -> None:
    same = asked(LOOKUPS[one[0]](one[1])) & asked(LOOKUPS[other[0]](other[1]))
    assert bool(same) is (one == other)


@given(one=st.tuples(CHANNEL, FREE), other=st.tuples(CHANNEL, FREE))
def test_no_epoch_that_a_client_makes_up_reaches_another_channels_stream(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    assert is_channel(one[0])

    def read(channel: str, epoch: str) -> set[tuple[str, ...]]:
        return asked(lambda client: list(DynamoDbStreamStore(client, "streams").forward(channel, epoch, 1)))

    assert (read(*one) == read(*other)) is (one == other)
    stream = asked(lambda client: DynamoDbStreamStore(client, "streams").stream(other[0]))
    assert not {key[:2] for key in stream} & read(*one), "nor the record of one"


@given(one=st.tuples(CHANNEL, FREE), other=st.tuples(CHANNEL, FREE))
def test_no_user_reaches_what_another_has_read_or_said(one: tuple[str, str], other: tuple[str, str]) -> None:
    def marker(channel: str, user_id: str) -> set[tuple[str, ...]]:
        return asked(lambda client: DynamoDbReadMarkers(client, "presence").offset(channel, user_id, "e"))

    assert (marker(*one) == marker(*other)) is (one == other)
    people = asked(lambda client: DynamoDbPresenceStore(client, "presence", lambda: 0).attendees(other[0]))
    assert not {key[:2] for key in people} & {key[:2] for key in marker(*one)}


@given(name=FREE, secret=FREE)
def test_no_api_key_that_is_made_up_is_looked_up_elsewhere(name: str, secret: str) -> None:
    client = Recorder()
    assert DynamoDbApiKeyStore(client, "limits").find(f"{name}.{secret}") is None  # type: ignore[arg-type]
    assert all(pk.startswith("APIKEY#") and "#" not in pk[7:] for _, pk, _ in client.asked)
