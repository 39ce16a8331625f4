"""Streams in DynamoDB: one item a stream, one item a segment (docs/data-model.md, "streams")."""

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from shared.adapters.aws import translated
from shared.adapters.dynamodb import pages, refused
from shared.adapters.schema_version import VERSION
from shared.contract import PK, SK, TTL_ATTRIBUTE
from shared.domain.publication import Publication
from shared.domain.segment import SEGMENT_MAX_PUBLICATIONS, Ring, Segment
from shared.ports import Stream, StreamConflictError
from shared.protocol.encode import to_json

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_STREAM_SK: Final = "0"  # segments begin at 1
_PAGE_SEGMENTS: Final = 20  # read in small steps: most readers want the last few


class DynamoDbStreamStore:
    """The ``streams`` table.

    Items::

        pk <channel>           sk 0               epoch S, used_at_ms N
        pk <channel>#<epoch>   sk <first offset>  last_offset N, publications S (JSON), ring B, tails S,
                                                  appended_at_ms N, expires_at_s N
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def stream(self, channel: str) -> Stream | None:
        with translated():
            answer = self._client.get_item(
                TableName=self._table, Key={PK: {"S": channel}, SK: {"N": _STREAM_SK}}, ConsistentRead=True
            )
        return _to_stream(answer["Item"]) if "Item" in answer else None

    def open(self, channel: str, stream: Stream, *, replaces: Stream | None) -> Stream:
        item: dict[str, Any] = {PK: {"S": channel}, SK: {"N": _STREAM_SK}, "epoch": {"S": stream.epoch}}
        if stream.used_at_ms is not None:
            item["used_at_ms"] = {"N": str(stream.used_at_ms)}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
        if replaces is not None:
            condition = {
                "ConditionExpression": "epoch = :replaces",
                "ExpressionAttributeValues": {":replaces": {"S": replaces.epoch}},
            }
        current = self._put(item, condition)
        return stream if current is None else _to_stream(current)

    def append(self, channel: str, epoch: str, segment: Segment) -> None:
        current = self._put(_to_item(channel, epoch, segment), {"ConditionExpression": "attribute_not_exists(pk)"})
        if current is not None:
            raise StreamConflictError(_to_segment(current))

    def newest(self, channel: str, epoch: str, count: int = 1) -> Sequence[Segment]:
        page = next(self._pages(channel, epoch, "sk > :offset", 0, forward=False, Limit=count))
        return [_to_segment(item) for item in page]

    def holding(self, channel: str, epoch: str, offset: int) -> Segment | None:
        segments = self._query(channel, epoch, "sk <= :offset", offset, forward=False, page=1)
        return next((segment for segment in segments if not segment.seal), None)

    def forward(self, channel: str, epoch: str, offset: int) -> Iterator[Segment]:
        # The segment that holds the offset may begin up to 9 before it.
        for segment in self._query(channel, epoch, "sk > :offset", offset - SEGMENT_MAX_PUBLICATIONS, forward=True):
            if segment.last >= offset and not segment.seal:
                yield segment

    def backward(self, channel: str, epoch: str, offset: int) -> Iterator[Segment]:
        for segment in self._query(channel, epoch, "sk <= :offset", offset, forward=False):
            if not segment.seal:
                yield segment

    def rings(self, channel: str, epoch: str, offset: int) -> Iterator[Ring]:
        # No limit: a page has up to 1 MB, counted before the projection, which saves the way and the reading alone.
        # docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
        wanted = f"{PK}, {SK}, last_offset, ring, appended_at_ms, {VERSION}"
        pages = self._pages(channel, epoch, "sk <= :offset", offset, forward=False, ProjectionExpression=wanted)
        for item in chain.from_iterable(pages):
            if int(item[SK]["N"]) <= offset:
                ring = _to_ring(item)
                yield ring
                offset = ring.start

    def _put(self, item: dict[str, Any], condition: dict[str, Any]) -> dict[str, Any] | None:
        """Put on condition; return what stands there instead, or ``None`` if it was put."""
        try:
            with translated():
                self._client.put_item(
                    TableName=self._table, Item=item, ReturnValuesOnConditionCheckFailure="ALL_OLD", **condition
                )
        except ClientError as error:
            if not refused(error):
                raise
            return dict(error.response["Item"])  # type: ignore[typeddict-item]  # only this error has it
        return None

    def _query(
        self, channel: str, epoch: str, condition: str, offset: int, *, forward: bool, page: int = _PAGE_SEGMENTS
    ) -> Iterator[Segment]:
        pages = self._pages(channel, epoch, condition, offset, forward=forward, Limit=page)
        return map(_to_segment, chain.from_iterable(pages))

    def _pages(
        self, channel: str, epoch: str, condition: str, offset: int, *, forward: bool, **options: Any
    ) -> Iterator[list[dict[str, Any]]]:
        request: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": f"pk = :pk AND {condition}",
            "ExpressionAttributeValues": {":pk": {"S": f"{channel}#{epoch}"}, ":offset": {"N": str(offset)}},
            "ScanIndexForward": forward,
            "ConsistentRead": True,
            **options,
        }
        return pages(self._client, request)


def _to_stream(item: dict[str, Any]) -> Stream:
    used_at_ms = item.get("used_at_ms")
    return Stream(item["epoch"]["S"], int(used_at_ms["N"]) if used_at_ms else None)


def _to_item(channel: str, epoch: str, segment: Segment) -> dict[str, Any]:
    return {
        PK: {"S": f"{channel}#{epoch}"},
        SK: {"N": str(segment.first)},
        "last_offset": {"N": str(segment.last)},
        "publications": {"S": to_json([p.to_record() for p in segment.publications]).decode()},
        "ring": {"B": segment.ring.to_bytes(segment.appended_at_ms // 1000)},
        "tails": {"S": ",".join(map(str, segment.tails_before))},
        "appended_at_ms": {"N": str(segment.appended_at_ms)},
        TTL_ATTRIBUTE: {"N": str(segment.expires_at_s)},
    }


def _to_segment(item: dict[str, Any]) -> Segment:
    return Segment(
        first=int(item[SK]["N"]),
        publications=tuple(Publication.from_record(record) for record in json.loads(item["publications"]["S"])),
        tails_before=tuple(map(int, item["tails"]["S"].split(","))),
        ring=_to_ring(item),
        appended_at_ms=int(item["appended_at_ms"]["N"]),
        expires_at_s=int(item[TTL_ATTRIBUTE]["N"]),
    )


def _to_ring(item: dict[str, Any]) -> Ring:
    at_s = int(item["appended_at_ms"]["N"]) // 1000
    return Ring.from_bytes(item["ring"]["B"], at_s=at_s, end=int(item["last_offset"]["N"]))
