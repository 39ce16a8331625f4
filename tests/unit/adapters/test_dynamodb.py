"""What moto does not do to the stores: hand writes back, and throttle. Their contracts are in tests/contract."""

from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from shared.adapters.dynamodb_api_keys import DynamoDbApiKeyStore
from shared.adapters.dynamodb_buckets import DynamoDbBucketStore
from shared.adapters.dynamodb_connections import DynamoDbConnectionStore, DynamoDbTicketStore
from shared.adapters.dynamodb_streams import DynamoDbStreamStore
from shared.domain.principal import Principal
from shared.domain.rate import Rate
from shared.domain.segment import Ring, Tail
from shared.errors import ContentionError, UnavailableError
from shared.ports import Stream
from tests.unit.stack import Clock, connection, events_of, publication


class BusyTable:
    """Takes two writes of each batch, ``refusals`` times; then all of them."""

    def __init__(self, refusals: int) -> None:
        self.written: list[Any] = []
        self._refusals = refusals

    def get_item(self, **_request: Any) -> dict[str, Any]:
        return {}  # no channel has more than one shard

    def batch_write_item(self, *, RequestItems: dict[str, list[Any]]) -> dict[str, Any]:
        (requests,) = RequestItems.values()
        assert 0 < len(requests) <= 25
        taken = 2 if self._refusals else len(requests)
        self._refusals = max(0, self._refusals - 1)
        self.written += requests[:taken]
        return {"UnprocessedItems": {"connections": requests[taken:]} if requests[taken:] else {}}


def subscribe(client: Any, channels: int) -> None:
    store = DynamoDbConnectionStore(client, "connections", Clock())
    store.subscribe(connection("c"), events_of(*(f"room:{n}" for n in range(channels))), expires_at_s=1_900_000_000)


def keys(table: BusyTable) -> list[tuple[str, str]]:
    items = [request["PutRequest"]["Item"] for request in table.written]
    return sorted((item["pk"]["S"], item["sk"]["S"]) for item in items)


def test_what_is_handed_back_is_written_again() -> None:
    quiet, busy = BusyTable(0), BusyTable(4)
    for table in (quiet, busy):
        subscribe(table, 15)
    assert len(quiet.written) == 30
    assert keys(busy) == keys(quiet)


class BusyReads:
    """Reads two of each batch, ``refusals`` times; then all of them."""

    def __init__(self, refusals: int) -> None:
        self.asked: list[int] = []
        self._refusals = refusals

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:
        keys = RequestItems["connections"]["Keys"]
        assert RequestItems["connections"]["ConsistentRead"]
        self.asked.append(len(keys))
        read = 2 if self._refusals else len(keys)
        self._refusals = max(0, self._refusals - 1)
        items = [{**key, "connected_at_ms": {"N": "1"}, "expires_at_s": {"N": "1900000000"}} for key in keys[:read]]
        left = {"connections": {"Keys": keys[read:]}} if keys[read:] else {}
        return {"Responses": {"connections": items}, "UnprocessedKeys": left}


def read(client: Any, connections: int) -> Any:
    store = DynamoDbConnectionStore(client, "connections", Clock())
    return store.get_all([f"c{number}" for number in range(connections)])


def test_what_was_left_unread_is_read_again() -> None:
    reads = BusyReads(2)
    assert len(read(reads, 150)) == 150
    assert reads.asked == [100, 98, 96, 50]


def test_a_table_that_leaves_something_unread_every_time_is_unavailable() -> None:
    with pytest.raises(UnavailableError):
        read(BusyReads(1000), 30)


def test_a_table_that_hands_back_every_time_is_unavailable() -> None:
    with pytest.raises(UnavailableError):
        subscribe(BusyTable(1000), 30)


SEGMENT = Tail().grow([publication()], now_ms=0, expires_at_s=1)


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("get_item", lambda client: DynamoDbStreamStore(client, "t").stream("room:a")),
        ("put_item", lambda client: DynamoDbStreamStore(client, "t").open("room:a", Stream("e"), replaces=None)),
        ("put_item", lambda client: DynamoDbStreamStore(client, "t").append("room:a", "e", SEGMENT)),
        ("query", lambda client: DynamoDbStreamStore(client, "t").newest("room:a", "e")),
        ("get_item", lambda client: DynamoDbConnectionStore(client, "t", Clock()).get("c")),
        ("put_item", lambda client: DynamoDbConnectionStore(client, "t", Clock()).open(connection())),
        ("put_item", lambda client: DynamoDbConnectionStore(client, "t", Clock()).authenticate(connection())),
        ("query", lambda client: DynamoDbConnectionStore(client, "t", Clock()).subscribers("room:a")),
        ("batch_write_item", lambda client: subscribe(client, 1)),
        ("put_item", lambda client: DynamoDbTicketStore(client, "t").issue("t", Principal("ann"), expires_at_s=1)),
        ("delete_item", lambda client: DynamoDbTicketStore(client, "t").redeem("t", now_s=0)),
        ("get_item", lambda client: DynamoDbApiKeyStore(client, "t").find("id.secret")),
        ("query", lambda client: DynamoDbApiKeyStore(client, "t").page("", limit=1)),
        ("transact_write_items", lambda client: DynamoDbApiKeyStore(client, "t").remove("id")),
    ],
)
def test_a_throttle_is_told_as_unavailable(operation: str, call: Any) -> None:
    client = boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_client_error(operation, "ProvisionedThroughputExceededException", http_status_code=400)
        with pytest.raises(UnavailableError):
            call(client)


class LongLog:
    """Answers a query in two pages, as DynamoDB does when there is more than 1 MB."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def query(self, **request: Any) -> dict[str, Any]:
        self.asked.append(dict(request))
        first = 101 if len(self.asked) == 1 else 1
        ring = Ring().extended([publication()] * 64, 0).to_bytes(0)
        last = {"N": str(first + 63)}
        item = {"sk": {"N": str(first)}, "last_offset": last, "ring": {"B": ring}, "appended_at_ms": {"N": "0"}}
        return {"Items": [item], "LastEvaluatedKey": {"sk": {"N": "101"}}} if first > 1 else {"Items": [item]}


def test_rings_are_asked_for_in_the_largest_pages_and_without_the_publications() -> None:
    log = LongLog()
    rings = DynamoDbStreamStore(log, "t").rings("room:a", "e", 164)  # type: ignore[arg-type]
    assert [ring.end for ring in rings] == [164, 64]
    assert len(log.asked) == 2
    for request in log.asked:
        assert "Limit" not in request
        assert "publications" not in request["ProjectionExpression"]


def test_a_bucket_that_one_process_uses_costs_one_write_each_time() -> None:
    client = boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    buckets, rate = DynamoDbBucketStore(client, "limits"), Rate(per_s=1, burst=10)
    put = dict.fromkeys(["TableName", "Item", "ReturnValuesOnConditionCheckFailure"], ANY)
    with Stubber(client) as stub:
        conditions = [
            ("attribute_not_exists(pk) OR full_at_ms <= :now", {":now": {"N": "50000"}}),
            ("full_at_ms = :before", {":before": {"N": "54000.0"}}),
            ("attribute_not_exists(pk) OR full_at_ms <= :now", {":now": {"N": "60000"}}),
        ]
        for condition, values in conditions:
            expected = put | {"ConditionExpression": condition, "ExpressionAttributeValues": values}
            stub.add_response("put_item", {}, expected)
        assert buckets.take("k", rate, 4, now_ms=50_000) == 0
        assert buckets.take("k", rate, 4, now_ms=50_000) == 0
        assert buckets.take("k", rate, 4, now_ms=50_000) == 2_000, "it is known to have 2, so nobody is asked"
        assert buckets.take("k", rate, 4, now_ms=60_000) == 0
        stub.assert_no_pending_responses()


class TestApiKeys:
    def test_are_read_consistently_so_that_a_revoked_one_is_refused_at_once(self) -> None:
        client = boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        with Stubber(client) as stub:
            stub.add_response("get_item", {}, {"TableName": "t", "Key": ANY, "ConsistentRead": True})
            assert DynamoDbApiKeyStore(client, "t").find("id.secret") is None

    @pytest.mark.parametrize("key_id", ["", "x" * 65, "x" * 3_000, "a#b", "a\n", "ü"])
    def test_what_is_no_id_is_not_even_asked_for(self, key_id: str) -> None:
        """DynamoDB refuses keys that are empty or too long: that would be told as a failure of ours."""
        client = boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        store = DynamoDbApiKeyStore(client, "t")
        with Stubber(client):  # fails at whatever is asked
            assert store.find(f"{key_id}.secret") is None
            assert not store.remove(key_id)

    def test_somebody_elses_change_at_the_same_moment_may_be_tried_again(self) -> None:
        client = boto3.client("dynamodb", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        with Stubber(client) as stub:
            stub.add_client_error(
                "transact_write_items",
                "TransactionCanceledException",
                http_status_code=400,
                modeled_fields={"CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}]},
            )
            with pytest.raises(ContentionError):
                DynamoDbApiKeyStore(client, "t").remove("id")
