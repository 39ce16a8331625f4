"""moto's DynamoDB says what AWS would charge, and the meter counts what it says."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from bench.ledger.dynamodb import Calls, charged_dynamodb
from shared.adapters.memory import MemoryMetrics
from shared.adapters.meter import metered

KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}
OTHER = {"pk": {"S": "a"}, "sk": {"S": "c"}}
NEW = {"ConditionExpression": "attribute_not_exists(pk)"}


def item(size_bytes: int, key: Any = KEY) -> dict[str, Any]:
    """Return an item of that size: its key has 6 bytes, and its text's name 1."""
    return {**key, "x": {"S": "x" * (size_bytes - 7)}}


class Charged:
    """A metered client, and what was counted since it was last asked."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.metrics = MemoryMetrics()
        self.client = metered(boto3.client("dynamodb"), self.metrics)

    def units(self) -> tuple[float, float]:
        """Return units read and written, and forget them; by table they are the same."""
        read, written = (sum(self.metrics.values[f"DynamoDb{kind}Units"]) for kind in ("Read", "Write"))
        by_table = [
            sum(units for (_, kind), units in self.calls.units.items() if kind == one) for one in ("read", "write")
        ]
        assert by_table == [read, written]
        self.metrics.values.clear()
        self.calls.units.clear()
        return read, written


@pytest.fixture
def charged() -> Iterator[Charged]:
    calls = Calls()
    with charged_dynamodb(calls):
        yield Charged(calls)


def test_writes(charged: Charged) -> None:
    put = {"TableName": "connections"}
    charged.client.put_item(**put, Item=item(1025))
    assert charged.units() == (0, 2)
    charged.client.put_item(**put, Item=item(10))
    assert charged.units() == (0, 2), "what was there was larger"
    charged.client.update_item(
        **put, Key=KEY, UpdateExpression="SET y = :y", ExpressionAttributeValues={":y": {"S": "y" * 2048}}
    )
    assert charged.units() == (0, 3)
    charged.client.delete_item(**put, Key=KEY)
    assert charged.units() == (0, 3)
    charged.client.delete_item(**put, Key=KEY)
    assert charged.units() == (0, 1)


def test_a_refused_write_is_charged_by_the_larger_item(charged: Charged) -> None:
    charged.client.put_item(TableName="limits", Item=item(3000), **NEW)
    assert charged.units() == (0, 3)
    for size_bytes, units in ((10, 3), (5000, 5)):
        with pytest.raises(ClientError, match="ConditionalCheckFailed"):
            charged.client.put_item(TableName="limits", Item=item(size_bytes), **NEW)
        assert charged.units() == (0, units)


def test_several_writes(charged: Charged) -> None:
    puts = [{"PutRequest": {"Item": item(1025)}}, {"PutRequest": {"Item": item(10, OTHER)}}]
    third = item(1025, {**KEY, "pk": {"S": "b"}})
    charged.client.batch_write_item(RequestItems={"presence": puts, "limits": [{"PutRequest": {"Item": third}}]})
    assert charged.units() == (0, 5)
    charged.client.batch_write_item(RequestItems={"presence": [{"DeleteRequest": {"Key": KEY}}]})
    assert charged.units() == (0, 2)
    transaction = [{"Put": {"TableName": "state", "Item": item(1025)}}]
    charged.client.transact_write_items(TransactItems=transaction)
    assert charged.units() == (0, 4)


def test_reads(charged: Charged) -> None:
    for number in range(5):
        charged.client.put_item(TableName="connections", Item=item(1500, {**KEY, "sk": {"S": str(number)}}))
    charged.units()
    where: dict[str, Any] = {
        "TableName": "connections",
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": "a"}},
    }
    for options, units in (({}, 1), ({"Limit": 2}, 0.5), ({"ProjectionExpression": "sk"}, 1)):
        for consistent in (False, True):
            charged.client.query(**where, **options, ConsistentRead=consistent)
            assert charged.units() == (units * (1 + consistent), 0)
    charged.client.get_item(TableName="connections", Key=KEY, ConsistentRead=True)
    assert charged.units() == (1, 0), "nothing is there"
    keys = [{**KEY, "sk": {"S": str(number)}} for number in range(7)]
    charged.client.batch_get_item(RequestItems={"connections": {"Keys": keys, "ConsistentRead": True}})
    assert charged.units() == (7, 0)
