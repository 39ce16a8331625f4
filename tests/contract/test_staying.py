"""Commands about a user's personal channel, in DynamoDB: the subscriber stays there whatever comes between."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from shared.adapters.dynamodb_connections import DynamoDbConnectionStore
from shared.domain.connection import Interest
from shared.ports import ConnectionStore
from tests.contract.test_stores import NOW_S, dynamodb
from tests.unit.stack import connection, events_of

OWN = "user:ann"
SEEN = frozenset[Interest]({"presence"})


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectionStore]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    for stores in dynamodb():
        stores.connections.open(connection("c"))
        stores.connections.subscribe(connection("c"), events_of(OWN), expires_at_s=NOW_S + 60, kept=False)
        yield stores.connections


def subscribe(store: ConnectionStore, command_id: int) -> bool:
    return store.subscribe_in_order(
        connection("c"), OWN, SEEN, expires_at_s=NOW_S + 60, ends_at_s=NOW_S + 90, command_id=command_id
    )


def there(store: ConnectionStore, interest: Interest | None = None) -> list[str]:
    return list(store.subscribers(OWN, interest=interest).connection_ids)


def test_a_subscribing_that_is_overtaken_takes_nobody_out(
    store: ConnectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, leave = DynamoDbConnectionStore._get_item, DynamoDbConnectionStore._want_events_in_order
    late: list[Callable[[], None]] = []

    def overtaken(self: DynamoDbConnectionStore, *key: Any) -> Any:
        if not late and key[0] == "CONNECTION#c":  # all is written, and it looks whether that counts
            assert store.unsubscribe_in_order("c", OWN, command_id=2, stays=True)
        return read(self, *key)

    def leave_later(self: DynamoDbConnectionStore, *args: Any) -> None:
        late.append(partial(leave, self, *args))

    monkeypatch.setattr(DynamoDbConnectionStore, "_get_item", overtaken)
    monkeypatch.setattr(DynamoDbConnectionStore, "_want_events_in_order", leave_later)
    assert not subscribe(store, 1)
    assert there(store) == ["c"]
    (rest,) = late
    rest()
    assert there(store) == ["c"]
    assert there(store, "presence") == []


def test_numbers_begin_anew_where_the_server_has_taken_it_out(store: ConnectionStore) -> None:
    assert subscribe(store, 5)
    store.unsubscribe("c", [OWN], stays=True)
    assert there(store, "presence") == []
    assert subscribe(store, store.last_command("c", OWN))
    assert there(store, "presence") == ["c"]
