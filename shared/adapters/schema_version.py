"""Which version what outlives a deployment has: items, and messages between functions. Why, and how one is raised:
docs/adr/0022-schema-versions.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from shared.contract import PK, SK
from shared.errors import NewerSchemaError

# What is written, and the greatest that is understood. A new one is understood by a release before one writes it.
WRITTEN: Final = 1
UNDERSTOOD: Final = 1

# In items an attribute, in messages a field. What was written before there was one has none, and is of version 1.
VERSION: Final = "v"

_KEPT: Final = f"(attribute_not_exists({VERSION}) OR {VERSION} <= :understood)"
_TABLE: Final = "tidewire_table"
# Of a single item. TransactWriteItems writes nothing but API keys, whose conditions tell enough.
_SINGLE_WRITES: Final = frozenset({"PutItem", "UpdateItem", "DeleteItem"})


def versioned(client: Any) -> Any:
    """Have a DynamoDB client mark what it puts, and refuse newer items than are understood; return the client.

    A write of a single item leaves a newer one as it is. Hooks into botocore's own events, as
    :func:`shared.adapters.aws.guarded` does. The calls raise :class:`shared.errors.NewerSchemaError`.
    """
    events = client.meta.events
    events.register("before-parameter-build", _before)
    events.register("after-call", _after)
    return client


def marked(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message with the version that is written."""
    return {VERSION: WRITTEN, **message}


def understood(message: Mapping[str, Any], *, place: str, key: str) -> Mapping[str, Any]:
    """Return a message that was read in a place, unless it is newer than that.

    Raises:
        NewerSchemaError: It is.
    """
    _check(message.get(VERSION, 1), place, key)
    return message


def _check(version: int, place: str, key: str) -> None:
    if version > UNDERSTOOD:
        raise NewerSchemaError(place, key, version, understood=UNDERSTOOD)


def _before(params: dict[str, Any], model: Any, context: dict[str, Any], **_event: Any) -> None:
    context[_TABLE] = params.get("TableName")
    for item in _put_items(model.name, params):
        item[VERSION] = {"N": str(WRITTEN)}
    if model.name in _SINGLE_WRITES:
        condition = params.get("ConditionExpression")
        params["ConditionExpression"] = f"({condition}) AND {_KEPT}" if condition else _KEPT
        values = params.get("ExpressionAttributeValues", {})
        params["ExpressionAttributeValues"] = {**values, ":understood": {"N": str(UNDERSTOOD)}}
        # A newer one comes back with the refusal, and is known by that. It costs nothing more:
        # docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html
        params["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"


def _put_items(operation: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    match operation:
        case "PutItem":
            yield params["Item"]
        case "BatchWriteItem":
            for requests in params["RequestItems"].values():
                yield from (one["PutRequest"]["Item"] for one in requests if "PutRequest" in one)
        case "TransactWriteItems":
            yield from (one["Put"]["Item"] for one in params["TransactItems"] if "Put" in one)


def _after(parsed: Mapping[str, Any], context: Mapping[str, Any], **_event: Any) -> None:
    for table, item in _read_items(parsed, context[_TABLE]):
        if VERSION in item:
            key = " ".join(str(next(iter(item[name].values()))) for name in (PK, SK) if name in item)
            _check(int(item[VERSION]["N"]), table, key)


def _read_items(parsed: Mapping[str, Any], table: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    # "Item" is also that of an error: what stands where a condition did not hold.
    for name in ("Item", "Attributes"):
        if name in parsed:
            yield table, parsed[name]
    several: Mapping[str, Iterable[Mapping[str, Any]]] = parsed.get("Responses", {})
    for place, items in {table: parsed.get("Items", ()), **several}.items():
        yield from ((place, item) for item in items)
