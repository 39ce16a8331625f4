"""Subscribers that are told in order, and whose turn it is to tell them (docs/data-model.md, "Connections")."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from shared.adapters.aws import translated
from shared.adapters.dynamodb import Item, if_so, pages, refused
from shared.contract import PK, SK, TTL_ATTRIBUTE
from shared.domain.publication import StreamPosition
from shared.domain.telling import ALIVE_S, Positioned, Turn

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# Longer than any subscription that was told so far: connections live 2 hours.
_KEPT_S: Final = 86_400
_SAME: Final = "command_id = :command_id"


class DynamoDbTelling:
    """In the ``connections`` table.

    Items::

        pk CHANNEL#<channel>#<shard>  sk <connection id>  positioned BOOL (false: not yet to be told, and
                                                          subscribed_at_s N), since S, and what every subscriber has
        pk TURN#<channel>#<shard>     sk META             epoch S, offset N, holder S, until_ms N, expires_at_s N
    """

    def __init__(self, client: "DynamoDBClient", table: str, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._table = table
        self._now_ms = now_ms

    def positioned(self, channel: str, shard: int) -> Sequence[Positioned]:
        now_s = self._now_ms() // 1000
        request: Item = {
            "TableName": self._table,
            "KeyConditionExpression": f"{PK} = :pk",
            "FilterExpression": f"(positioned = :true OR subscribed_at_s < :late) AND {TTL_ATTRIBUTE} > :now",
            "ExpressionAttributeValues": {
                ":pk": {"S": f"CHANNEL#{channel}#{shard}"},
                ":true": {"BOOL": True},
                ":late": {"N": str(now_s - ALIVE_S)},
                ":now": {"N": str(now_s)},
            },
            "ConsistentRead": True,
        }
        return [_positioned(item) for page in pages(self._client, request) for item in page]

    def start(self, channel: str, shard: int, one: Positioned) -> bool:
        assert one.since is not None
        return self._update(
            channel,
            shard,
            one,
            UpdateExpression="SET positioned = :true, since = :since REMOVE subscribed_at_s",
            values={":true": {"BOOL": True}, ":since": {"S": f"{one.since.epoch} {one.since.offset}"}},
        )

    def mark_told(self, channel: str, shard: int, one: Positioned) -> None:
        self._update(channel, shard, one, UpdateExpression="REMOVE since")

    def stop(self, channel: str, shard: int, one: Positioned) -> None:
        if_so(
            self._client.delete_item,
            TableName=self._table,
            Key=_key(channel, shard, one),
            ConditionExpression=_SAME,
            ExpressionAttributeValues={":command_id": {"N": str(one.command_id)}},
        )

    def take(self, channel: str, shard: int, *, holder: str, until_ms: int) -> Turn:
        try:
            with translated():
                answer: Any = self._client.update_item(
                    TableName=self._table,
                    Key=_turn_key(channel, shard),
                    UpdateExpression=f"SET holder = :holder, until_ms = :until_ms, {TTL_ATTRIBUTE} = :expires_at_s",
                    # The SDK repeats a call whose answer got lost: then it is this one's already.
                    ConditionExpression="attribute_not_exists(holder) OR holder = :holder OR until_ms < :now_ms",
                    ExpressionAttributeValues={
                        ":holder": {"S": holder},
                        ":until_ms": {"N": str(until_ms)},
                        ":now_ms": {"N": str(self._now_ms())},
                        ":expires_at_s": self._kept(),
                    },
                    ReturnValues="ALL_OLD",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except ClientError as error:
            if not refused(error):
                raise
            item: Any = error.response.get("Item", {})
            return Turn(False, _place(item))
        return Turn(True, _place(answer.get("Attributes", {})))

    def end(self, channel: str, shard: int, *, holder: str, position: StreamPosition | None) -> None:
        expression, values = "REMOVE holder, until_ms", {":holder": {"S": holder}}
        if position is not None:
            expression = f"SET epoch = :epoch, #offset = :offset, {TTL_ATTRIBUTE} = :expires_at_s {expression}"
            values |= {
                ":epoch": {"S": position.epoch},
                ":offset": {"N": str(position.offset)},
                ":expires_at_s": self._kept(),
            }
        request: Item = {"ExpressionAttributeNames": {"#offset": "offset"}} if position is not None else {}
        if_so(
            self._client.update_item,
            TableName=self._table,
            Key=_turn_key(channel, shard),
            UpdateExpression=expression,
            ConditionExpression="holder = :holder",
            ExpressionAttributeValues=values,
            **request,
        )

    def _kept(self) -> Item:
        return {"N": str(self._now_ms() // 1000 + _KEPT_S)}

    def _update(self, channel: str, shard: int, one: Positioned, *, values: Item | None = None, **request: Any) -> bool:
        return if_so(
            self._client.update_item,
            TableName=self._table,
            Key=_key(channel, shard, one),
            ConditionExpression=_SAME,
            ExpressionAttributeValues={":command_id": {"N": str(one.command_id)}} | (values or {}),
            **request,
        )


def _key(channel: str, shard: int, one: Positioned) -> Item:
    return {PK: {"S": f"CHANNEL#{channel}#{shard}"}, SK: {"S": one.connection_id}}


def _turn_key(channel: str, shard: int) -> Item:
    return {PK: {"S": f"TURN#{channel}#{shard}"}, SK: {"S": "META"}}


def _positioned(item: Item) -> Positioned:
    since = None
    if "since" in item:
        epoch, offset = item["since"]["S"].split(" ")
        since = StreamPosition(epoch, int(offset))
    fossil = "fossil" in item.get("wants", {"S": ""})["S"].split()
    return Positioned(item[SK]["S"], int(item["command_id"]["N"]), since, fossil, item["positioned"]["BOOL"])


def _place(item: Item) -> StreamPosition | None:
    return StreamPosition(item["epoch"]["S"], int(item["offset"]["N"])) if "epoch" in item else None
