"""Token buckets in DynamoDB's ``limits`` table (docs/data-model.md, "limits")."""

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from shared.adapters.aws import translated
from shared.adapters.dynamodb import refused
from shared.contract import BUCKET_PREFIX, PK, SK, TTL_ATTRIBUTE
from shared.domain.rate import Rate
from shared.errors import UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_TRIES = 4
_KEYS_REMEMBERED = 5_000


class DynamoDbBucketStore:
    """Items: ``pk BUCKET#<hash of the key>  sk META  full_at_ms N, expires_at_s N``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table
        self._left: OrderedDict[str, float] = OrderedDict()

    def take(self, key: str, rate: Rate, tokens: int, *, now_ms: int) -> float:
        # One write where the guess is right: that the bucket is as this process left it, or else full; then, that it is
        # as it was found. Others can only have taken more from it.
        before_ms = self._left.get(key, 0.0)
        for _ in range(_TRIES):
            if wait_ms := rate.wait_ms(before_ms, now_ms, tokens):
                return wait_ms
            after_ms = rate.full_at_ms(before_ms, now_ms, tokens)
            found_ms = self._put(key, before_ms, after_ms, now_ms)
            if found_ms is None:
                self._remember(key, after_ms)
                return 0
            before_ms = found_ms
            self._remember(key, found_ms)
        raise UnavailableError("a bucket is contended", retry_after_ms=100)

    def _remember(self, key: str, full_at_ms: float) -> None:
        self._left.pop(key, None)  # it goes to the end
        self._left[key] = full_at_ms
        if len(self._left) > _KEYS_REMEMBERED:
            self._left.popitem(last=False)

    def _put(self, key: str, before_ms: float, after_ms: float, now_ms: int) -> float | None:
        """Write if the bucket is as thought; else return how it is."""
        item: dict[str, Any] = {
            PK: {"S": f"{BUCKET_PREFIX}{hashlib.sha256(key.encode()).hexdigest()}"},
            SK: {"S": "META"},
            "full_at_ms": {"N": repr(round(after_ms, 3))},
            TTL_ATTRIBUTE: {"N": str(int(after_ms // 1000) + 60)},
        }
        # A bucket that has filled up meanwhile is as good as one that is not there.
        condition = "attribute_not_exists(pk) OR full_at_ms <= :now" if before_ms <= now_ms else "full_at_ms = :before"
        value = {":now": {"N": str(now_ms)}} if before_ms <= now_ms else {":before": {"N": repr(round(before_ms, 3))}}
        try:
            with translated():
                self._client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=condition,
                    ExpressionAttributeValues=value,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except ClientError as error:
            if not refused(error):
                raise
            found: dict[str, Any] = error.response.get("Item", {})  # type: ignore[assignment]  # only this error has it
            return float(found["full_at_ms"]["N"]) if found else 0.0
        return None
