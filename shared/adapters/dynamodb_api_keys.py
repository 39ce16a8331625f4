"""API keys in DynamoDB's ``limits`` table (docs/data-model.md, "limits")."""

import hashlib
import hmac
import json
from collections.abc import Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from shared.adapters.aws import translated
from shared.adapters.dynamodb import Item, pages
from shared.contract import PK, SK
from shared.domain.api_key import ApiKey, is_key_id
from shared.errors import ContentionError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_LIST: Final = "APIKEYS"
_META: Final = "META"
_COUNT: Final = {PK: {"S": "APIKEYCOUNT"}, SK: {"S": _META}}
_ADD: Final = "ADD key_count :by"


class DynamoDbApiKeyStore:
    """A key is ``<id>.<secret>``.

    Items::

        pk APIKEY#<id>   sk META  hash S, name S, capabilities S, created_at_ms N
        pk APIKEYS       sk <id>  name S, capabilities S, created_at_ms N
        pk APIKEYCOUNT   sk META  key_count N

    All three are written in one transaction: what is listed works, what works is listed.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def add(self, key: ApiKey, secret: str, *, at_most: int) -> bool:
        attributes: Item = {
            "name": {"S": key.name},
            "capabilities": {"S": json.dumps({k: list(v) for k, v in key.capabilities.items()})},
            "created_at_ms": {"N": str(key.created_at_ms)},
        }
        return self._write(
            [
                {
                    "Update": self._of(
                        Key=_COUNT,
                        UpdateExpression=_ADD,
                        ConditionExpression="attribute_not_exists(pk) OR key_count < :most",
                        ExpressionAttributeValues={":by": {"N": "1"}, ":most": {"N": str(at_most)}},
                    )
                },
                {"Put": self._of(Item=_key(key.key_id) | attributes | {"hash": {"S": _hash(secret)}})},
                {"Put": self._of(Item=_listed(key.key_id) | attributes)},
            ]
        )

    def find(self, key: str) -> ApiKey | None:
        key_id, _, secret = key.partition(".")
        if not is_key_id(key_id):
            return None
        with translated():
            answer = self._client.get_item(TableName=self._table, Key=_key(key_id), ConsistentRead=True)
        item = answer.get("Item")
        if not item or not hmac.compare_digest(item["hash"]["S"], _hash(secret)):
            return None
        return _to_api_key(key_id, item)

    def page(self, after: str, *, limit: int) -> Sequence[ApiKey]:
        request: Item = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": _LIST}},
            "ConsistentRead": True,
            "Limit": limit,
        }
        if after:
            request["ExclusiveStartKey"] = _listed(after)
        items = islice(chain.from_iterable(pages(self._client, request)), limit)
        return [_to_api_key(item[SK]["S"], item) for item in items]

    def remove(self, key_id: str) -> bool:
        if not is_key_id(key_id):
            return False
        less = {":by": {"N": "-1"}}
        return self._write(
            [
                {"Update": self._of(Key=_COUNT, UpdateExpression=_ADD, ExpressionAttributeValues=less)},
                {"Delete": self._of(Key=_key(key_id), ConditionExpression="attribute_exists(pk)")},
                {"Delete": self._of(Key=_listed(key_id))},
            ]
        )

    def _of(self, **write: Any) -> Item:
        return {"TableName": self._table, **write}

    def _write(self, writes: list[Any]) -> bool:
        """Write all or nothing; return whether the conditions held, and so whether it was written.

        Raises:
            ContentionError: Somebody else adds or removes one at this moment.
        """
        try:
            with translated():
                self._client.transact_write_items(TransactItems=writes)
        except ClientError as error:
            if error.response["Error"]["Code"] != "TransactionCanceledException":
                raise
            reasons: list[Item] = error.response.get("CancellationReasons", [])  # type: ignore[assignment]
            if any(reason.get("Code") == "ConditionalCheckFailed" for reason in reasons):
                return False
            raise ContentionError("other keys are being changed", retry_after_ms=200) from error
        return True


def _to_api_key(key_id: str, item: Item) -> ApiKey:
    return ApiKey(
        key_id, item["name"]["S"], json.loads(item["capabilities"]["S"]), created_at_ms=int(item["created_at_ms"]["N"])
    )


def _key(key_id: str) -> Item:
    return {PK: {"S": f"APIKEY#{key_id}"}, SK: {"S": _META}}


def _listed(key_id: str) -> Item:
    return {PK: {"S": _LIST}, SK: {"S": key_id}}


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
