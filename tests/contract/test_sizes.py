"""The largest that clients may send, in the items that hold it: docs/data-model.md gives these bounds."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import boto3
import pytest
from moto import mock_aws

from bench.ledger.capacity import item_bytes
from shared.adapters.dynamodb_streams import DynamoDbStreamStore
from shared.domain.channel import CHANNEL_MAX_LENGTH, is_user_id
from shared.domain.principal import PUBLIC_CLAIMS_MAX_BYTES
from shared.domain.publication import Publication
from shared.domain.segment import RING_SIZE, SEGMENT_MAX_PUBLICATIONS, Ring, Tail
from shared.protocol.decode import validate
from shared.protocol.encode import to_json
from shared.protocol.limits import DATA_MAX_BYTES

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

ITEM_MAX_BYTES: Final = 400 * 1024  # docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
SEGMENT_BOUND_BYTES: Final = 270_000
RECORD_BOUND_BYTES: Final = 26_500
NOW_MS: Final = 1_800_000_000_000
CHANNEL: Final = "room:".ljust(CHANNEL_MAX_LENGTH, "c")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator["DynamoDBClient"]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        made = boto3.client("dynamodb", region_name="us-east-1")
        made.create_table(
            TableName="streams",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "N"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield made


def largest(character: str) -> Publication:
    """Return the largest publication that is let in, all of its strings made of this character."""
    encoded_bytes = len(to_json(character)) - 2
    frame = {
        "type": "publish",
        "id": 1,
        "channel": CHANNEL,
        "name": character * 100,
        "message_id": character * 64,
        "data": character * ((DATA_MAX_BYTES - 2) // encoded_bytes),
    }
    request: Any = validate(frame)
    user_id = next(character * count for count in range(128, 0, -1) if is_user_id(character * count))
    claims = {"c": character * ((PUBLIC_CLAIMS_MAX_BYTES - len(to_json({"c": ""}))) // encoded_bytes)}
    return Publication(
        request.message_id,
        request.name,
        request.data,
        user_id,
        "c" * 16,
        "express",
        NOW_MS,
        receipt=True,
        claims=claims,
    )


# One byte each; escaped as \" and as ; four bytes of UTF-8.
@pytest.mark.parametrize("character", ["a", '"', "\x01", "\U0001f600"], ids=["plain", "quotes", "controls", "emoji"])
def test_ten_of_the_largest_publications_fit_one_item(client: "DynamoDBClient", character: str) -> None:
    full_ring = Ring(tuple((b"01234567", 0) for _ in range(RING_SIZE)), 10**12)
    tail = Tail(10**12, (10**12,) * 4, full_ring)
    publications = [largest(character)] * SEGMENT_MAX_PUBLICATIONS
    segment = tail.grow(publications, now_ms=NOW_MS, expires_at_s=NOW_MS // 1000)
    DynamoDbStreamStore(client, "streams").append(CHANNEL, "e" * 11, segment)

    [item] = client.scan(TableName="streams")["Items"]
    assert item_bytes(item) < SEGMENT_BOUND_BYTES < ITEM_MAX_BYTES
    assert len(to_json(publications[0].to_record())) < RECORD_BOUND_BYTES
