"""State documents in DynamoDB's ``state`` table (docs/data-model.md, "state")."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.aws import translated
from shared.adapters.dynamodb import Item, if_so, pages, write_all
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
_GONE: Final = "~"  # sorts behind all of the document's items
_READ_TRIES: Final = 5


class DynamoDbDocumentStore:
    """The ``state`` table.

    Items::

        pk <channel>  sk <key>#000000000000     version N, value S (JSON; missing: deleted), user_id S, at_ms N
        pk <channel>  sk <key>#<first version>  last_version N, last_id S, changes L of S (JSON), full BOOL
        pk <channel>  sk <key>#~                version N: chunks up to there may be gone; read last
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def log(self, channel: str, key: str, *, known: DocumentLog | None = None) -> DocumentLog:
        if known is not None and known.chunks:
            first = known.chunks[-1].first
            end = _Read(self._query(channel, "sk BETWEEN :sk AND :end", _sk(key, first), end=key))
            extended = known.extended(end.chunks)
            if extended is not None and end.gone_up_to < first:
                return extended
        snapshot_before = -1
        for _ in range(_READ_TRIES):
            read = _Read(self._query(channel, "begins_with(sk, :sk)", key + _SEPARATOR))
            log = log_of(key, read.snapshot, read.chunks)
            # Nothing is deleted before the snapshot is there: whoever compacts was stopped before that.
            if log is not None and (read.whole or snapshot_before == log.snapshot.version):
                return log
            snapshot_before = read.snapshot.version
        raise ContentionError("the document changes too quickly to be read", retry_after_ms=200)

    def logs(self, channel: str, *, after: str = "") -> Iterator[DocumentLog]:
        items = self._query(channel, "sk > :sk", after + _BEHIND_SEPARATOR)
        for key, group in groupby(items, key=_key_of):
            read = _Read(group)
            log = log_of(key, read.snapshot, read.chunks) if read.whole else None
            yield self.log(channel, key) if log is None else log

    def append(self, channel: str, key: str, change: Change, *, to: Chunk | None, full: bool) -> bool:
        if to is not None:
            return self._grow(channel, key, to, change, full=full)
        item = _key(channel, key, change.version) | {
            "last_version": {"N": str(change.version)},
            "last_id": {"S": change.change_id},
            "changes": {"L": [{"S": change.to_record()}]},
            "full": {"BOOL": full},
        }
        free = "attribute_not_exists(pk)"
        if not if_so(self._client.put_item, TableName=self._table, Item=item, ConditionExpression=free):
            return False
        # A place looks free, too, when what stood there was deleted while this writer was held up. How far that may go
        # was written before.
        with translated():
            gone = self._client.get_item(TableName=self._table, Key=_key(channel, key, _GONE), ConsistentRead=True)
        return "Item" not in gone or int(gone["Item"]["version"]["N"]) < change.version

    def compact(self, channel: str, log: DocumentLog) -> None:
        snapshot = log.snapshot
        version = {"version": {"N": str(snapshot.version)}}
        item: Item = version | {"user_id": {"S": snapshot.user_id}, "at_ms": {"N": str(snapshot.at_ms)}}
        if snapshot.value is not None:
            item["value"] = {"S": to_json(snapshot.value).decode()}
        if self._advance(_key(channel, log.key, _GONE) | version, "version <= :version"):
            self._advance(_key(channel, log.key, _SNAPSHOT) | item, "version < :version")
            # There is this snapshot now, or a newer one.
            gone = [{"DeleteRequest": {"Key": _key(channel, log.key, chunk.first)}} for chunk in log.stale]
            write_all(self._client, self._table, gone)

    def count(self, channel: str, *, at_most: int) -> int:
        keys = groupby(self._query(channel, "sk > :sk", _BEHIND_SEPARATOR, ProjectionExpression=SK), key=_key_of)
        return sum(1 for _ in islice(keys, at_most))

    def _grow(self, channel: str, key: str, to: Chunk, change: Change, *, full: bool) -> bool:
        changes = "#changes = list_append(#changes, :more), last_version = :version, last_id = :id, #full = :full"
        return if_so(
            self._client.update_item,
            TableName=self._table,
            Key=_key(channel, key, to.first),
            UpdateExpression=f"SET {changes}",
            # By its id as well: in the place of a chunk that was deleted there may be what a late writer left.
            ConditionExpression="last_version = :before AND last_id = :id_before",
            ExpressionAttributeNames={"#changes": "changes", "#full": "full"},
            ExpressionAttributeValues={
                ":more": {"L": [{"S": change.to_record()}]},
                ":version": {"N": str(change.version)},
                ":id": {"S": change.change_id},
                ":before": {"N": str(to.last)},
                ":id_before": {"S": to.changes[-1].change_id},
                ":full": {"BOOL": full},
            },
        )

    def _advance(self, item: Item, condition: str) -> bool:
        return if_so(
            self._client.put_item,
            TableName=self._table,
            Item=item,
            ConditionExpression=f"attribute_not_exists(pk) OR {condition}",
            ExpressionAttributeValues={":version": item["version"]},
        )

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
        return chain.from_iterable(pages(self._client, request))


def _key(channel: str, key: str, place: int | str) -> Item:
    return {PK: {"S": channel}, SK: {"S": _sk(key, place)}}


def _sk(key: str, place: int | str) -> str:
    return f"{key}{_SEPARATOR}{place:012}" if isinstance(place, int) else f"{key}{_SEPARATOR}{place}"


def _key_of(item: Item) -> str:
    return str(item[SK]["S"].partition(_SEPARATOR)[0])


@dataclass(slots=True)
class _Read:
    """A document's items, as they were read one after the other.

    Attributes:
        gone_up_to: Chunks up to this version may have been deleted before the end of reading.
    """

    snapshot: Document
    chunks: list[Chunk]
    gone_up_to: int

    def __init__(self, items: Iterable[Item]) -> None:
        self.snapshot, self.chunks, self.gone_up_to = Document(), [], 0
        for item in items:
            if "changes" in item:
                changes = tuple(Change.from_record(record["S"]) for record in item["changes"]["L"])
                self.chunks.append(Chunk(changes, item["full"]["BOOL"]))
            elif "user_id" in item:
                value = json.loads(item["value"]["S"]) if "value" in item else None
                version, at_ms = int(item["version"]["N"]), int(item["at_ms"]["N"])
                self.snapshot = Document(version, value, item["user_id"]["S"], at_ms)
            else:
                self.gone_up_to = int(item["version"]["N"])

    @property
    def whole(self) -> bool:
        """Whether the snapshot has all that may have been deleted."""
        return self.gone_up_to <= self.snapshot.version
