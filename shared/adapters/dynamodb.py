"""What the DynamoDB adapters share: queries in pages, writes in batches, writes on a condition."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from shared.adapters.aws import translated
from shared.errors import UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

Item = dict[str, Any]

_BATCH_WRITE_MAX: Final = 25  # docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
_BATCH_READ_MAX: Final = 100  # docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_BATCH_TRIES: Final = 5


def pages(client: "DynamoDBClient", request: Item) -> Iterator[list[Item]]:
    """Yield the items of a query, page by page."""
    request = dict(request)
    while True:
        with translated():
            answer = client.query(**request)
        yield answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def write_all(client: "DynamoDBClient", table: str, requests: Iterable[Any]) -> None:
    """Put and delete all; what DynamoDB hands back unprocessed goes in again.

    Raises:
        UnavailableError: It hands something back every time.
    """
    waiting = iter(requests)
    some: list[Any]
    while some := list(islice(waiting, _BATCH_WRITE_MAX)):
        for _ in range(_BATCH_TRIES):
            with translated():
                answer = client.batch_write_item(RequestItems={table: some})
            some = list(answer.get("UnprocessedItems", {}).get(table, []))
            if not some:
                break
        else:
            raise UnavailableError("the store is busy", retry_after_ms=1000)


def get_all(client: "DynamoDBClient", table: str, keys: Iterable[Item]) -> Iterator[Item]:
    """Yield the items that are there, strongly consistent, in any order; no key may come twice.

    Raises:
        UnavailableError: DynamoDB hands something back unread every time.
    """
    waiting = iter(keys)
    some: list[Any]
    while some := list(islice(waiting, _BATCH_READ_MAX)):
        for _ in range(_BATCH_TRIES):
            with translated():
                answer: Any = client.batch_get_item(RequestItems={table: {"Keys": some, "ConsistentRead": True}})
            yield from answer["Responses"].get(table, [])
            some = list(answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", []))
            if not some:
                break
        else:
            raise UnavailableError("the store is busy", retry_after_ms=1000)


def if_so(write: Callable[..., object], **request: Any) -> bool:
    """Write on the request's condition; return whether it held, and so whether it was written."""
    try:
        with translated():
            write(**request)
    except ClientError as error:
        if refused(error):
            return False
        raise
    return True


def refused(error: ClientError) -> bool:
    """Tell whether it is a condition that did not hold."""
    return error.response["Error"]["Code"] == "ConditionalCheckFailedException"
