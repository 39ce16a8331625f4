"""State documents in DynamoDB's ``state`` table (docs/data-model.md, "state")."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from shared.adapters.aws import translated
from shared.contract import PK, SK
from shared.domain.document import Change, Chunk, Document, DocumentLog, log_of
from shared.errors import ContentionError
from shared.protocol.encode import to_json

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# "#" is in no key, and sorts before all that is; "$" comes next.
_SEPARATOR: Final = "#"
_BEHIND_SEPARATOR: Final = "$"
_SNAPSHOT: Final = 0  # versions begin at 1
_READ_TRIES: Final = 5
_BATCH_WRITE_MAX: Final = 25  # docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html

Item = dict[str, Any]


class DynamoDbDocumentStore:
    """The ``state`` table.

    Items::

        pk <channel>  sk <key>#000000000000     version N, value S (JSON; missing: deleted), user_id S, at_ms N
        pk <channel>  sk <key>#<first version>  last_version N, changes L of S (JSON), full BOOL
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def log(self, channel: str, key: str) -> DocumentLog:
        for _ in range(_READ_TRIES):
            log = _to_log(key, list(self._query(channel, "begins_with(sk, :sk)", key + _SEPARATOR)))
            if log is not None:
                return log
            # Its snapshot was read before somebody wrote a newer one, and its changes after they were deleted.
        raise ContentionError("the document changes too quickly to be read", retry_after_ms=200)

    def logs(self, channel: str, *, after: str = "") -> Iterator[DocumentLog]:
        items = self._query(channel, "sk > :sk", after + _BEHIND_SEPARATOR)
        for key, group in groupby(items, key=_key_of):
            yield _to_log(key, list(group)) or self.log(channel, key)

    def append(self, channel: str, key: str, change: Change, *, to: Chunk | None, full: bool) -> bool:
        record = {"S": change.to_record()}
        try:
            with translated():
                if to is not None:
                    self._grow(channel, key, to, record, change.version, full=full)
                    return True
                self._client.put_item(
                    TableName=self._table,
                    Item=_key(channel, key, change.version)
                    | {"last_version": {"N": str(change.version)}, "changes": {"L": [record]}, "full": {"BOOL": full}},
                    ConditionExpression="attribute_not_exists(pk)",
                )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        # A place looks free, too, when what stood there was compacted while this writer was held up. The snapshot was
        # written before anything was deleted.
        snapshot = self._get(channel, key, _SNAPSHOT)
        return snapshot is None or int(snapshot["version"]["N"]) < change.version

    def compact(self, channel: str, log: DocumentLog) -> None:
        snapshot = log.snapshot
        item = _key(channel, log.key, _SNAPSHOT) | {
            "version": {"N": str(snapshot.version)},
            "user_id": {"S": snapshot.user_id},
            "at_ms": {"N": str(snapshot.at_ms)},
        }
        if snapshot.value is not None:
            item["value"] = {"S": to_json(snapshot.value).decode()}
        try:
            with translated():
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression="attribute_not_exists(pk) OR version < :version",
                    ExpressionAttributeValues={":version": item["version"]},
                )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return  # whoever was faster deletes
        self._delete(channel, log.key, log.stale)

    def count(self, channel: str, *, at_most: int) -> int:
        keys = groupby(self._query(channel, "sk > :sk", _BEHIND_SEPARATOR, ProjectionExpression=SK), key=_key_of)
        return sum(1 for _ in islice(keys, at_most))

    def _grow(self, channel: str, key: str, to: Chunk, record: Item, version: int, *, full: bool) -> None:
        self._client.update_item(
            TableName=self._table,
            Key=_key(channel, key, to.first),
            UpdateExpression="SET #changes = list_append(#changes, :more), last_version = :version, #full = :full",
            ConditionExpression="last_version = :before",
            ExpressionAttributeNames={"#changes": "changes", "#full": "full"},
            ExpressionAttributeValues={
                ":more": {"L": [record]},
                ":version": {"N": str(version)},
                ":before": {"N": str(to.last)},
                ":full": {"BOOL": full},
            },
        )

    def _delete(self, channel: str, key: str, chunks: Sequence[Chunk]) -> None:
        waiting = iter(chunks)
        while some := list(islice(waiting, _BATCH_WRITE_MAX)):
            requests: list[Any] = [{"DeleteRequest": {"Key": _key(channel, key, chunk.first)}} for chunk in some]
            with translated():
                # What is handed back stays until the next time.
                self._client.batch_write_item(RequestItems={self._table: requests})

    def _get(self, channel: str, key: str, place: int) -> Item | None:
        with translated():
            return self._client.get_item(TableName=self._table, Key=_key(channel, key, place), ConsistentRead=True).get(
                "Item"
            )

    def _query(self, channel: str, condition: str, sk: str, **options: Any) -> Iterator[Item]:
        request: Item = {
            "TableName": self._table,
            "KeyConditionExpression": f"pk = :pk AND {condition}",
            "ExpressionAttributeValues": {":pk": {"S": channel}, ":sk": {"S": sk}},
            "ConsistentRead": True,
            **options,
        }
        while True:
            with translated():
                answer = self._client.query(**request)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _key(channel: str, key: str, place: int) -> Item:
    return {PK: {"S": channel}, SK: {"S": f"{key}{_SEPARATOR}{place:012}"}}


def _key_of(item: Item) -> str:
    return str(item[SK]["S"].partition(_SEPARATOR)[0])


def _to_log(key: str, items: Sequence[Item]) -> DocumentLog | None:
    snapshot, chunks = Document(), []
    for item in items:
        if "changes" in item:
            changes = tuple(Change.from_record(record["S"]) for record in item["changes"]["L"])
            chunks.append(Chunk(changes, item["full"]["BOOL"]))
        else:
            value = json.loads(item["value"]["S"]) if "value" in item else None
            snapshot = Document(int(item["version"]["N"]), value, item["user_id"]["S"], int(item["at_ms"]["N"]))
    return log_of(key, snapshot, chunks)
