"""What it costs to tell subscribers in order, in DynamoDB's units; docs/centrifugo.md says so to who turns it on."""

from collections.abc import Iterator
from typing import Any

import pytest

from bench.ledger.dynamodb import Calls, charged_dynamodb
from shared.adapters.dynamodb_connections import DynamoDbConnectionStore
from shared.adapters.dynamodb_telling import DynamoDbTelling
from shared.adapters.memory import MemoryStreamStore
from shared.domain.publication import StreamPosition
from shared.domain.telling import Positioned
from shared.namespaces import parse
from shared.services.history import History
from shared.services.in_order import InOrder
from shared.services.streams import Streams
from tests.contract.test_charged_dynamodb import Charged
from tests.unit.stack import Clock, InlineExecutor, connection

CHANNEL = "exact:a-channel-of-24-ch"
UNTIL_S = 1_800_007_000


@pytest.fixture
def charged() -> Iterator[Charged]:
    calls = Calls()
    with charged_dynamodb(calls):
        yield Charged(calls)


def event(offset: int) -> dict[str, Any]:
    return {"type": "event", "channel": CHANNEL, "epoch": "1-0123456789ab", "offset": offset}


def test_what_order_costs(charged: Charged) -> None:
    def failed(_channel: str, error: Exception) -> None:
        raise error

    clock = Clock()
    connections = DynamoDbConnectionStore(charged.client, "connections", clock)
    telling = DynamoDbTelling(charged.client, "connections", clock)
    history = History(Streams(MemoryStreamStore(), parse(""), clock))
    in_order = InOrder(telling, history, InlineExecutor(), lambda _s: None, clock, failed)

    def subscribe(number: int, *, positioned: bool, since: int = 6) -> None:
        one = connection(f"centrifugo.L0SM9cOFvHcCI{number:02}=")
        connections.subscribe_in_order(
            one,
            CHANNEL,
            frozenset(),
            expires_at_s=UNTIL_S,
            ends_at_s=UNTIL_S,
            command_id=number,
            positioned=positioned,
        )
        if positioned:
            shard = connections.shard_of(one.connection_id, CHANNEL)
            fresh = Positioned(one.connection_id, number, StreamPosition("1-0123456789ab", since))
            assert telling.start(CHANNEL, shard, fresh)

    def tell(offset: int) -> tuple[float, float]:
        charged.units()
        assert in_order.tell(CHANNEL, 0, [event(offset)], lambda ids, _frames: ids[:0]) == []
        return charged.units()

    subscribe(0, positioned=False)
    as_it_was = charged.units()
    subscribe(1, positioned=True)
    charged.units()
    subscribe(2, positioned=True)
    read, written = charged.units()
    assert (read - as_it_was[0], written - as_it_was[1]) == (-1, 1)  # the first has read how many shards there are
    assert tell(7) == (1, 2 + 2), "each is written once more when it is first told"
    assert tell(8) == (1, 2)
    for number in range(3, 30):
        subscribe(number, positioned=True, since=8)
    tell(9)
    assert tell(10) == (1, 2), "30 subscribers take one read unit"
    assert tell(10) == (1, 2), "what comes again finds all of it told"
