"""Until when users' tokens are revoked, in DynamoDB's ``connections`` table (docs/data-model.md, "connections")."""

from typing import TYPE_CHECKING, Any

from shared.adapters.aws import translated
from shared.adapters.dynamodb import if_so
from shared.contract import PK, SK

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient


class DynamoDbRevocationStore:
    """``pk REVOCATION#<user id>  sk META  revoked_at_ms N``. Without TTL: nobody knows how long a token may live."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def revoke(self, user_id: str, *, at_ms: int) -> None:
        if_so(
            self._client.put_item,
            TableName=self._table,
            Item=_key(user_id) | {"revoked_at_ms": {"N": str(at_ms)}},
            ConditionExpression="attribute_not_exists(pk) OR revoked_at_ms < :at",
            ExpressionAttributeValues={":at": {"N": str(at_ms)}},
        )

    def revoked_at_ms(self, user_id: str) -> int | None:
        with translated():
            answer = self._client.get_item(TableName=self._table, Key=_key(user_id), ConsistentRead=True)
        return int(answer["Item"]["revoked_at_ms"]["N"]) if "Item" in answer else None


def _key(user_id: str) -> dict[str, Any]:
    return {PK: {"S": f"REVOCATION#{user_id}"}, SK: {"S": "META"}}
