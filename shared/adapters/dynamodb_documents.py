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
_MARK: Final = "!"  # how far chunks may be gone
_SNAPSHOT: Final = 0  # versions begin at 1
_READ_TRIES: Final = 5
_BATCH_WRITE_MAX: Final = 25  # docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html

Item = dict[str, Any]


class DynamoDbDocumentStore:
    """The ``state`` table.

    Items::

        pk <channel>  sk <key>#!                version N
        pk <channel>  sk <key>#000000000000     version N, value S (JSON; missing: deleted), user_id S, at_ms N
        pk <channel>  sk <key>#<first version>  last_version N, changes L of S (JSON), full BOOL
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def log(self, channel: str, key: str, *, known: DocumentLog | None = None) -> DocumentLog:
        if known is not None and known.chunks:
            behind = list(self._query(channel, "sk BETWEEN :sk AND :end", _sk(key, known.chunks[-1].first), end=key))
            extended = known.extended([_to_chunk(item) for item in behind])
            if extended is not None:
                return extended
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
        # A place looks free, too, when what stood there was compacted while this writer was held up. The mark was set
        # before anything was deleted.
        with translated():
            mark = self._client.get_item(TableName=self._table, Key=_key(channel, key, _MARK), ConsistentRead=True)
        return "Item" not in mark or int(mark["Item"]["version"]["N"]) < change.version

    def compact(self, channel: str, log: DocumentLog) -> None:
        snapshot = log.snapshot
        version = {"version": {"N": str(snapshot.version)}}
        item: Item = version | {"user_id": {"S": snapshot.user_id}, "at_ms": {"N": str(snapshot.at_ms)}}
        if snapshot.value is not None:
            item["value"] = {"S": to_json(snapshot.value).decode()}
        # Whoever was faster does all of it.
        if self._advance(_key(channel, log.key, _MARK) | version, "version <= :version") and self._advance(
            _key(channel, log.key, _SNAPSHOT) | item, "version < :version"
        ):
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

    def _advance(self, item: Item, condition: str) -> bool:
        try:
            with translated():
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=f"attribute_not_exists(pk) OR {condition}",
                    ExpressionAttributeValues={":version": item["version"]},
                )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def _query(
        self, channel: str, condition: str, sk: str, *, end: str | None = None, **options: Any
    ) -> Iterator[Item]:
        request: Item = {
            "TableName": self._table,
            "KeyConditionExpression": f"pk = :pk AND {condition}",
            "ExpressionAttributeValues": {":pk": {"S": channel}, ":sk": {"S": sk}},
            "ConsistentRead": True,
            **options,
        }
        if end is not None:
            request["ExpressionAttributeValues"][":end"] = {"S": end + _BEHIND_SEPARATOR}
        while True:
            with translated():
                answer = self._client.query(**request)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _key(channel: str, key: str, place: int | str) -> Item:
    return {PK: {"S": channel}, SK: {"S": _sk(key, place)}}


def _sk(key: str, place: int | str) -> str:
    return f"{key}{_SEPARATOR}{place:012}" if isinstance(place, int) else f"{key}{_SEPARATOR}{place}"


def _key_of(item: Item) -> str:
    return str(item[SK]["S"].partition(_SEPARATOR)[0])


def _to_chunk(item: Item) -> Chunk:
    changes = tuple(Change.from_record(record["S"]) for record in item["changes"]["L"])
    return Chunk(changes, item["full"]["BOOL"])


def _to_log(key: str, items: Sequence[Item]) -> DocumentLog | None:
    snapshot, chunks = Document(), []
    for item in items:
        if "changes" in item:
            chunks.append(_to_chunk(item))
        elif "user_id" in item:
            value = json.loads(item["value"]["S"]) if "value" in item else None
            snapshot = Document(int(item["version"]["N"]), value, item["user_id"]["S"], int(item["at_ms"]["N"]))
    return log_of(key, snapshot, chunks)
