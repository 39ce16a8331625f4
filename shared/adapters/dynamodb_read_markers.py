"""Read markers in DynamoDB's ``presence`` table (docs/data-model.md, "presence")."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.aws import translated
from shared.adapters.dynamodb import if_so
from shared.contract import PK, SK, TTL_ATTRIBUTE
from shared.domain.publication import StreamPosition
from shared.errors import UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_BATCH_GET_MAX: Final = 100  # docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_BATCH_TRIES: Final = 5


class DynamoDbReadMarkers:
    """Items: ``pk READ#<channel>  sk <user id>  epoch S, last_offset N, expires_at_s N``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def offset(self, channel: str, user_id: str, epoch: str) -> int:
        with translated():
            answer = self._client.get_item(TableName=self._table, Key=_key(channel, user_id), ConsistentRead=True)
        item = answer.get("Item")
        return int(item["last_offset"]["N"]) if item and item["epoch"]["S"] == epoch else 0

    def offsets(self, channel: str, user_ids: Sequence[str], epoch: str) -> Mapping[str, int]:
        found = {}
        for start in range(0, len(user_ids), _BATCH_GET_MAX):
            for item in self._some([_key(channel, user_id) for user_id in user_ids[start : start + _BATCH_GET_MAX]]):
                if item["epoch"]["S"] == epoch:
                    found[item[SK]["S"]] = int(item["last_offset"]["N"])
        return found

    def _some(self, keys: list[Any]) -> list[Any]:
        """Return the items that are there; what DynamoDB hands back unprocessed is asked for again."""
        items: list[Any] = []
        for _ in range(_BATCH_TRIES):
            with translated():
                answer: Any = self._client.batch_get_item(
                    RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}}
                )
            items += answer["Responses"].get(self._table, [])
            keys = list(answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", []))
            if not keys:
                return items
        raise UnavailableError("the store is busy", retry_after_ms=1000)

    def advance(self, channel: str, user_id: str, position: StreamPosition, *, expires_at_s: int) -> bool:
        item: dict[str, Any] = _key(channel, user_id) | {
            "epoch": {"S": position.epoch},
            "last_offset": {"N": str(position.offset)},
            TTL_ATTRIBUTE: {"N": str(expires_at_s)},
        }
        return if_so(
            self._client.put_item,
            TableName=self._table,
            Item=item,
            ConditionExpression="attribute_not_exists(pk) OR epoch <> :epoch OR last_offset < :offset",
            ExpressionAttributeValues={":epoch": item["epoch"], ":offset": item["last_offset"]},
        )


def _key(channel: str, user_id: str) -> dict[str, Any]:
    return {PK: {"S": f"READ#{channel}"}, SK: {"S": user_id}}
