"""moto's DynamoDB, made to say what AWS would: units from item sizes, of refused writes too, noted by table.

moto says 0.5 or 1 whatever is read or written. ``shared.adapters.meter`` counts what DynamoDB says, so it is told here.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import boto3
from moto import mock_aws

from bench.ledger.capacity import TRANSACTION, read_units, write_units
from shared.contract import PK, SK

REGION: Final = "us-east-1"
_MOTOS: Final = "ledger"  # moto takes any key
_STREAMS: Final = "streams"
TABLES: Final = ("connections", "limits", "presence", "state", _STREAMS)
_BEFORE: Final = "tidewire_ledger"
_REFUSED: Final = ("ConditionalCheckFailedException", "TransactionCanceledException")


@dataclass
class Calls:
    """What was called.

    Attributes:
        units: By table and ``read`` or ``write``.
        calls: By ``service.Operation``, of any service.
    """

    units: Counter[tuple[str, str]] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def called(self, service: str, operation: str) -> None:
        """Note a call; fan-out has threads."""
        with self._lock:
            self.calls[f"{service}.{operation}"] += 1

    def charged(self, table: str, kind: str, units: float) -> None:
        """Note units."""
        with self._lock:
            self.units[table, kind] += units  # type: ignore[assignment]  # halves as well


@contextmanager
def charged_dynamodb(calls: Calls) -> Iterator[None]:
    """Have boto3's clients talk to tables of their own, and say what AWS would charge."""
    session_before = boto3.DEFAULT_SESSION
    with mock_aws():
        keys: Any = {"aws_access_key_id": _MOTOS, "aws_secret_access_key": _MOTOS, "region_name": REGION}
        client = boto3.Session(**keys).client("dynamodb")
        create_tables(client)
        tables = _Tables(client, calls)
        boto3.setup_default_session(**keys)
        assert boto3.DEFAULT_SESSION is not None
        events = boto3.DEFAULT_SESSION.events
        # By the service's name: such handlers are called before the meter's, which name none.
        events.register("before-parameter-build.dynamodb", tables.before)
        events.register("after-call.dynamodb", tables.after)
        try:
            yield
        finally:
            boto3.DEFAULT_SESSION = session_before


def create_tables(client: Any) -> None:
    """Create the tables, as infra/constructs has them."""
    for table in TABLES:
        sort_key = "N" if table == _STREAMS else "S"
        client.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": PK, "KeyType": "HASH"}, {"AttributeName": SK, "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": PK, "AttributeType": "S"},
                {"AttributeName": SK, "AttributeType": sort_key},
            ],
            BillingMode="PAY_PER_REQUEST",
        )


class _Tables:
    """The tables, and what each call of them takes."""

    def __init__(self, client: Any, calls: Calls) -> None:
        self._client = client  # without these hooks
        self._calls = calls

    def before(self, params: dict[str, Any], model: Any, context: dict[str, Any], **_event: Any) -> None:
        """Keep what the call asks, and how the items that it writes were before."""
        writes = _writes(model.name, params)
        context[_BEFORE] = dict(params), [(*write, self._item(write[0], write[1])) for write in writes]

    def after(self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_event: Any) -> None:
        """Have the answer say what it takes."""
        self._calls.called("dynamodb", model.name)
        if "Error" in parsed and parsed["Error"]["Code"] not in _REFUSED:
            raise AssertionError(f"{model.name}: {parsed['Error']}")
        params, writes = context[_BEFORE]
        units: Counter[str] = Counter()
        for table, consumed in self._reads(model.name, params, parsed):
            self._calls.charged(table, "read", consumed)
            units[table] += consumed  # type: ignore[assignment]
        for table, key, new, old in writes:
            after = self._item(table, key) if new is None else new
            consumed = write_units(after, old) * (TRANSACTION if model.name == "TransactWriteItems" else 1)
            self._calls.charged(table, "write", consumed)
            units[table] += consumed
        told = [{"TableName": table, "CapacityUnits": consumed} for table, consumed in units.items()]
        parsed["ConsumedCapacity"] = told if len(told) > 1 else told[0]

    def _reads(self, operation: str, params: dict[str, Any], parsed: dict[str, Any]) -> Iterator[tuple[str, float]]:
        match operation:
            case "GetItem":
                assert "ProjectionExpression" not in params, "what is left out is billed as well"
                yield params["TableName"], _read([parsed.get("Item", {})], params)
            case "Query":
                yield params["TableName"], _read(self._passed(params, parsed), params)
            case "BatchGetItem":
                for table, wanted in params["RequestItems"].items():
                    yield table, sum(_read([self._item(table, key)], wanted) for key in wanted["Keys"])

    def _passed(self, params: dict[str, Any], parsed: dict[str, Any]) -> list[Any]:
        """Return what a query has read, whatever it hands out of that."""
        narrowing = ("ProjectionExpression", "FilterExpression", "ReturnConsumedCapacity")
        if "ProjectionExpression" not in params and "FilterExpression" not in params:
            return list(parsed["Items"])
        return list(self._client.query(**{name: v for name, v in params.items() if name not in narrowing})["Items"])

    def _item(self, table: str, key: dict[str, Any]) -> dict[str, Any]:
        return dict(self._client.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item", {}))


def _read(items: list[dict[str, Any]], params: dict[str, Any]) -> float:
    return read_units(items, consistent=params.get("ConsistentRead", False))


def _writes(operation: str, params: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any] | None]]:
    """Return table, key, and the new item (``None``: to be read behind it) of each that is written."""
    match operation:
        case "GetItem" | "Query" | "BatchGetItem":
            return []
        case "PutItem":
            return [_put(params)]
        case "UpdateItem" | "DeleteItem":
            return [(params["TableName"], params["Key"], None)]
        case "BatchWriteItem":
            return [_of_batch(table, one) for table, some in params["RequestItems"].items() for one in some]
        case "TransactWriteItems":
            return [_of_transaction(one) for one in params["TransactItems"]]
        case _:
            raise ValueError(f"nobody knows what {operation} takes")


def _put(params: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    item = params["Item"]
    return params["TableName"], {PK: item[PK], SK: item[SK]}, item


def _of_batch(table: str, request: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
    if "PutRequest" in request:
        return _put({"TableName": table, "Item": request["PutRequest"]["Item"]})
    return table, request["DeleteRequest"]["Key"], None


def _of_transaction(action: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any] | None]:
    [(kind, params)] = action.items()
    return _put(params) if kind == "Put" else (params["TableName"], params["Key"], None)
