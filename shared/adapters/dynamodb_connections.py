"""Connections, subscriptions, sessions and tickets in DynamoDB (docs/data-model.md, "connections"), and API keys."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from shared.adapters.aws import translated
from shared.contract import PK, SK, TTL_ATTRIBUTE
from shared.domain.channel import BROADCAST_CHANNEL, personal_channel
from shared.domain.connection import Connection, Session
from shared.domain.principal import Principal
from shared.errors import UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_META: Final = "META"
_SUBSCRIPTION: Final = "SUBSCRIPTION#"
_BATCH_WRITE_MAX: Final = 25  # docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
_BATCH_TRIES: Final = 5
_SHARD: Final = 0

Item = dict[str, Any]


class DynamoDbConnectionStore:
    """The ``connections`` table.

    Items::

        pk CONNECTION#<id>        sk META                    connected_at_ms N, session_id S, principal, expires_at_s N
        pk CONNECTION#<id>        sk SUBSCRIPTION#<channel>  expires_at_s N
        pk CHANNEL#<channel>#0    sk <connection id>         expires_at_s N
        pk SESSION#<id>           sk META                    user_id S, connection_id S, expires_at_s N
    """

    def __init__(self, client: "DynamoDBClient", table: str, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._table = table
        self._now_ms = now_ms

    def open(self, connection: Connection) -> None:
        with translated():
            self._client.put_item(TableName=self._table, Item=_connection_item(connection))

    def get(self, connection_id: str) -> Connection | None:
        item = self._get(f"CONNECTION#{connection_id}")
        return _to_connection(connection_id, item) if item else None

    def authenticate(self, connection: Connection) -> bool:
        try:
            with translated():
                self._client.put_item(
                    TableName=self._table,
                    Item=_connection_item(connection),
                    ConditionExpression="attribute_exists(pk)",
                )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True

    def close(self, connection_id: str) -> None:
        # The list of its subscriptions stays behind for its session, until it expires.
        channels: list[str] = []
        found = False
        for item in self._query(f"CONNECTION#{connection_id}"):
            if item[SK]["S"] == _META:
                found = True
                if "user_id" in item:
                    channels += [personal_channel(item["user_id"]["S"]), BROADCAST_CHANNEL]
            else:
                channels.append(item[SK]["S"].removeprefix(_SUBSCRIPTION))
        if found:
            self._write(_delete(_channel_pk(channel), connection_id) for channel in channels)
            self._write([_delete(f"CONNECTION#{connection_id}", _META)])

    def subscribe(
        self, connection: Connection, channels: Sequence[str], *, expires_at_s: int, kept: bool = True
    ) -> None:
        requests = [_put(_channel_pk(channel), connection.connection_id, expires_at_s) for channel in channels]
        if kept:
            pk = f"CONNECTION#{connection.connection_id}"
            requests += [_put(pk, _SUBSCRIPTION + channel, connection.expires_at_s) for channel in channels]
        self._write(requests)

    def unsubscribe(self, connection_id: str, channels: Sequence[str]) -> None:
        self._write(
            request
            for channel in channels
            for request in (
                _delete(_channel_pk(channel), connection_id),
                _delete(f"CONNECTION#{connection_id}", _SUBSCRIPTION + channel),
            )
        )

    def subscriptions(self, connection_id: str) -> frozenset[str]:
        items = self._query(f"CONNECTION#{connection_id}", prefix=_SUBSCRIPTION)
        return frozenset(item[SK]["S"].removeprefix(_SUBSCRIPTION) for item in items if self._alive(item))

    def subscribers(self, channel: str) -> Iterator[str]:
        return (item[SK]["S"] for item in self._query(_channel_pk(channel)) if self._alive(item))

    def put_session(self, session: Session) -> None:
        item = _key(f"SESSION#{session.session_id}", _META) | {
            "user_id": {"S": session.user_id},
            "connection_id": {"S": session.connection_id},
            TTL_ATTRIBUTE: {"N": str(session.expires_at_s)},
        }
        with translated():
            self._client.put_item(TableName=self._table, Item=item)

    def session(self, session_id: str) -> Session | None:
        item = self._get(f"SESSION#{session_id}")
        if item is None:
            return None
        expires_at_s = int(item[TTL_ATTRIBUTE]["N"])
        return Session(session_id, item["user_id"]["S"], item["connection_id"]["S"], expires_at_s)

    def _alive(self, item: Item) -> bool:
        # TTL deletes late, up to days: docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
        return int(item[TTL_ATTRIBUTE]["N"]) > self._now_ms() // 1000

    def _get(self, pk: str) -> Item | None:
        with translated():
            answer = self._client.get_item(TableName=self._table, Key=_key(pk, _META), ConsistentRead=True)
        item = answer.get("Item")
        return item if item and self._alive(item) else None

    def _query(self, pk: str, *, prefix: str = "") -> Iterator[Item]:
        request: Item = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": pk}},
            "ConsistentRead": True,
        }
        if prefix:
            request["KeyConditionExpression"] += " AND begins_with(sk, :prefix)"
            request["ExpressionAttributeValues"][":prefix"] = {"S": prefix}
        while True:
            with translated():
                answer = self._client.query(**request)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _write(self, requests: Iterable[Item]) -> None:
        """Write all; what DynamoDB hands back unprocessed goes in again.

        Raises:
            UnavailableError: It hands something back every time.
        """
        waiting = iter(requests)
        while True:
            chunk: list[Any] = list(islice(waiting, _BATCH_WRITE_MAX))
            if not chunk:
                return
            for _ in range(_BATCH_TRIES):
                with translated():
                    answer = self._client.batch_write_item(RequestItems={self._table: chunk})
                chunk = list(answer.get("UnprocessedItems", {}).get(self._table, []))
                if not chunk:
                    break
            else:
                raise UnavailableError("the store is busy", retry_after_ms=1000)


class DynamoDbTicketStore:
    """Tickets in the ``connections`` table: ``pk TICKET#<sha256>  sk META  principal, expires_at_s N``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def issue(self, ticket: str, principal: Principal, *, expires_at_s: int) -> None:
        item = _key(f"TICKET#{_hash(ticket)}", _META) | principal_attributes(principal)
        with translated():
            self._client.put_item(TableName=self._table, Item=item | {TTL_ATTRIBUTE: {"N": str(expires_at_s)}})

    def redeem(self, ticket: str, *, now_s: int) -> Principal | None:
        # The delete decides: of two at the same time one is handed the item.
        with translated():
            answer = self._client.delete_item(
                TableName=self._table, Key=_key(f"TICKET#{_hash(ticket)}", _META), ReturnValues="ALL_OLD"
            )
        item = answer.get("Attributes")
        if not item or int(item[TTL_ATTRIBUTE]["N"]) <= now_s:
            return None
        return to_principal(item)


class DynamoDbApiKeyStore:
    """API keys in the ``limits`` table: ``pk APIKEY#<id>  sk META  hash S, principal``; a key is ``<id>.<secret>``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def add(self, key: str, principal: Principal) -> None:
        key_id, _, secret = key.partition(".")
        item = _key(f"APIKEY#{key_id}", _META) | principal_attributes(principal) | {"hash": {"S": _hash(secret)}}
        with translated():
            self._client.put_item(TableName=self._table, Item=item)

    def find(self, key: str) -> Principal | None:
        key_id, _, secret = key.partition(".")
        with translated():
            answer = self._client.get_item(TableName=self._table, Key=_key(f"APIKEY#{key_id}", _META))
        item = answer.get("Item")
        if not item or not hmac.compare_digest(item["hash"]["S"], _hash(secret)):
            return None
        return to_principal(item)


def principal_attributes(principal: Principal) -> Item:
    """Return the attributes that say who it is."""
    attributes: Item = {
        "user_id": {"S": principal.user_id},
        "capabilities": {"S": json.dumps({k: list(v) for k, v in principal.capabilities.items()})},
        "is_server": {"BOOL": principal.server},
        "token_issued_at_s": {"N": str(principal.issued_at_s)},
    }
    if principal.expires_at_s is not None:
        attributes["token_expires_at_s"] = {"N": str(principal.expires_at_s)}
    return attributes


def to_principal(item: Item) -> Principal:
    """Read what :func:`principal_attributes` wrote."""
    expires_at_s = item.get("token_expires_at_s")
    return Principal(
        user_id=item["user_id"]["S"],
        capabilities=json.loads(item["capabilities"]["S"]),
        server=item["is_server"]["BOOL"],
        issued_at_s=int(item["token_issued_at_s"]["N"]),
        expires_at_s=int(expires_at_s["N"]) if expires_at_s else None,
    )


def _connection_item(connection: Connection) -> Item:
    item = _key(f"CONNECTION#{connection.connection_id}", _META) | {
        "connected_at_ms": {"N": str(connection.connected_at_ms)},
        TTL_ATTRIBUTE: {"N": str(connection.expires_at_s)},
    }
    if connection.session_id is not None:
        item["session_id"] = {"S": connection.session_id}
    if connection.principal is not None:
        item |= principal_attributes(connection.principal)
    return item


def _to_connection(connection_id: str, item: Item) -> Connection:
    return Connection(
        connection_id=connection_id,
        connected_at_ms=int(item["connected_at_ms"]["N"]),
        expires_at_s=int(item[TTL_ATTRIBUTE]["N"]),
        principal=to_principal(item) if "user_id" in item else None,
        session_id=item["session_id"]["S"] if "session_id" in item else None,
    )


def _channel_pk(channel: str) -> str:
    return f"CHANNEL#{channel}#{_SHARD}"


def _key(pk: str, sk: str) -> Item:
    return {PK: {"S": pk}, SK: {"S": sk}}


def _put(pk: str, sk: str, expires_at_s: int) -> Item:
    return {"PutRequest": {"Item": _key(pk, sk) | {TTL_ATTRIBUTE: {"N": str(expires_at_s)}}}}


def _delete(pk: str, sk: str) -> Item:
    return {"DeleteRequest": {"Key": _key(pk, sk)}}


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
