"""Connections, subscriptions, sessions and tickets in DynamoDB (docs/data-model.md, "connections")."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.aws import translated
from shared.adapters.dynamodb import Item, get_all, if_so, pages, write_all
from shared.contract import PK, SK, TTL_ATTRIBUTE
from shared.domain.channel import BROADCAST_CHANNEL, personal_channel
from shared.domain.connection import INTERESTS, Connection, Interest, Interests, Session
from shared.domain.principal import Principal
from shared.ports import Shard
from shared.protocol.encode import to_json

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

_META: Final = "META"
_SUBSCRIPTION: Final = "SUBSCRIPTION#"
_JANITOR: Final = "JANITOR"
_PART: Final = "PART"
# What a connection's or session's principal may be written over: its user's, by a token that was issued before, or in
# that second.
_NO_OLDER: Final = "user_id = :user_id AND token_issued_at_s <= :token_issued_at_s"
# A later command has not been there.
_NO_LATER: Final = "attribute_not_exists(command_id) OR command_id <= :command_id"
_DUE_KEPT_MINUTES: Final = 180  # longer than the janitor looks back
# Sorts before every connection's id, so that the first page of shard 0 tells it.
_SHARDS_SK: Final = "!SHARDS"
# How long a writer remembers into how many shards it spreads: who knows fewer only spreads less.
_SHARDS_TRUST_MS: Final = 60_000
_SHARDS_REMEMBERED: Final = 1_000


class DynamoDbConnectionStore:
    """The ``connections`` table.

    Items::

        pk CONNECTION#<id>        sk META                    connected_at_ms N, session_id S, announced BOOL, alias S,
                                                             principal, expires_at_s N
        pk CONNECTION#<id>        sk SUBSCRIPTION#<channel>  shard N, wants S, user_id S, command_id N, expires_at_s N
        pk CHANNEL#<channel>#<shard>  sk <connection id>     wants S, command_id N, expires_at_s N,
                                                             positioned BOOL, subscribed_at_s N, since S
                                                             (dynamodb_telling.py)
        pk CHANNEL#<channel>#0    sk !SHARDS                 shards N: how many there are, if more than one
        pk DUE#<minute>           sk <connection id>         expires_at_s N
        pk JANITOR                sk META                    minute N
        pk JANITOR                sk PART                    minute N, connection_id S
        pk SESSION#<id>           sk META                    connection_id S, version S, principal, expires_at_s N
    """

    def __init__(self, client: "DynamoDBClient", table: str, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._table = table
        self._now_ms = now_ms
        self._shards: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def open(self, connection: Connection) -> None:
        with translated():
            self._client.put_item(TableName=self._table, Item=_connection_item(connection))

    def get(self, connection_id: str) -> Connection | None:
        item = self._get(f"CONNECTION#{connection_id}")
        return _to_connection(connection_id, item) if item else None

    def authenticate(self, connection: Connection) -> bool:
        assert connection.principal is not None
        who = principal_attributes(connection.principal)
        return if_so(
            self._client.put_item,
            TableName=self._table,
            Item=_connection_item(connection),
            ConditionExpression=f"attribute_exists(pk) AND (attribute_not_exists(user_id) OR ({_NO_OLDER}))",
            ExpressionAttributeValues={f":{name}": who[name] for name in ("user_id", "token_issued_at_s")},
        )

    def refresh(self, connection_id: str, principal: Principal) -> Connection | None:
        answer: Item = {}

        def update(**request: Any) -> None:
            answer.update(self._client.update_item(**request))

        written = if_so(
            update,
            TableName=self._table,
            Key=_key(f"CONNECTION#{connection_id}", _META),
            ConditionExpression=_NO_OLDER,
            ReturnValues="ALL_NEW",
            **_update_of(principal),
        )
        return _to_connection(connection_id, answer["Attributes"]) if written else None

    def announce(self, connection_id: str) -> bool:
        return if_so(
            self._client.update_item,
            TableName=self._table,
            Key=_key(f"CONNECTION#{connection_id}", _META),
            UpdateExpression="SET announced = :announced",
            ConditionExpression="attribute_exists(pk) AND attribute_not_exists(announced)",
            ExpressionAttributeValues={":announced": {"BOOL": True}},
        )

    def rename(self, connection_id: str, named: Connection) -> bool:
        renamed = if_so(
            self._client.update_item,
            TableName=self._table,
            Key=_key(f"CONNECTION#{connection_id}", _META),
            UpdateExpression="SET alias = :alias",
            ConditionExpression=" AND ".join(
                ("attribute_exists(pk)", "attribute_not_exists(user_id)", "attribute_not_exists(alias)")
            ),
            ExpressionAttributeValues={":alias": {"S": named.connection_id}},
        )
        if renamed:
            self.open(named)
        return renamed

    def close(self, connection_id: str, *, found_in: str | None = None) -> Connection | None:
        # The list of its subscriptions stays behind for its session, until it expires.
        places: set[tuple[str, int]] = set()  # a batch of writes must not name an item twice
        unlisted = [found_in] if found_in else []
        there = False
        for item in self._query(f"CONNECTION#{connection_id}"):
            if item[SK]["S"] != _META:
                if "shard" in item:  # else it was never subscribed there
                    places.add((item[SK]["S"].removeprefix(_SUBSCRIPTION), int(item["shard"]["N"])))
                continue
            there = True
            if "user_id" in item:
                unlisted = [personal_channel(item["user_id"]["S"]), BROADCAST_CHANNEL]
        places.update(self._unlisted(connection_id, *unlisted))
        keys = [_key(_channel_pk(channel, shard), connection_id) for channel, shard in places]
        if not there:
            # Closed before, as nearly all are that the janitor asks after: to look costs a fifth of a write.
            keys = [{PK: item[PK], SK: item[SK]} for item in get_all(self._client, self._table, keys)]
        write_all(self._client, self._table, ({"DeleteRequest": {"Key": key}} for key in keys))
        if not there:
            return None
        # Last, so that whoever fails on the way is found by the next.
        with translated():
            answer = self._client.delete_item(
                TableName=self._table, Key=_key(f"CONNECTION#{connection_id}", _META), ReturnValues="ALL_OLD"
            )
        return _to_connection(connection_id, answer["Attributes"]) if "Attributes" in answer else None

    def subscribe(
        self,
        connection: Connection,
        channels: Mapping[str, Interests],
        *,
        expires_at_s: int,
        kept: bool = True,
    ) -> None:
        requests = []
        for channel, interests in channels.items():
            shard = self._shard(connection.connection_id, channel, kept=kept)
            wants: Item = {"wants": {"S": " ".join(sorted(interests))}} if interests else {}
            requests.append(_put(_channel_pk(channel, shard), connection.connection_id, expires_at_s, **wants))
            if kept:
                listed = wants | {"shard": {"N": str(shard)}}
                if "presence" in interests and connection.principal is not None:
                    listed["user_id"] = {"S": connection.principal.user_id}
                pk = f"CONNECTION#{connection.connection_id}"
                requests.append(_put(pk, _SUBSCRIPTION + channel, connection.expires_at_s, **listed))
        write_all(self._client, self._table, requests)

    def unsubscribe(self, connection_id: str, channels: Sequence[str], *, stays: bool = False) -> None:
        for channel in channels:
            with translated():
                answer = self._client.delete_item(
                    TableName=self._table,
                    Key=_key(f"CONNECTION#{connection_id}", _SUBSCRIPTION + channel),
                    ReturnValues="ALL_OLD",
                )
            if "Attributes" in answer:
                pk = _channel_pk(channel, int(answer["Attributes"]["shard"]["N"]))
                if stays:
                    self._want_events_alone(_key(pk, connection_id))
                else:
                    write_all(self._client, self._table, [_delete(pk, connection_id)])

    def _want_events_alone(self, key: Item) -> None:
        if_so(
            self._client.update_item,
            TableName=self._table,
            Key=key,
            # Numbers begin anew, as where it is deleted.
            UpdateExpression="REMOVE wants, command_id",
            ConditionExpression=f"attribute_exists({PK})",
        )

    def subscribe_in_order(
        self,
        connection: Connection,
        channel: str,
        interests: Interests,
        *,
        expires_at_s: int,
        ends_at_s: int,
        command_id: int,
        positioned: bool = False,
    ) -> bool:
        connection_id = connection.connection_id
        shard = self._shard(connection_id, channel, kept=True)
        number: Item = {"command_id": {"N": str(command_id)}}
        wants: Item = {"wants": {"S": " ".join(sorted(interests))}} if interests else {}
        listed = _key(f"CONNECTION#{connection_id}", _SUBSCRIPTION + channel) | wants | number
        listed |= {"shard": {"N": str(shard)}, TTL_ATTRIBUTE: {"N": str(ends_at_s)}}
        if "presence" in interests and connection.principal is not None:
            listed["user_id"] = {"S": connection.principal.user_id}
        if not if_so(self._client.put_item, TableName=self._table, Item=listed, **_in_order(command_id)):
            return False
        subscriber = _key(_channel_pk(channel, shard), connection_id) | wants | number
        subscriber |= {TTL_ATTRIBUTE: {"N": str(expires_at_s)}}
        if positioned:
            subscriber |= {"positioned": {"BOOL": False}, "subscribed_at_s": {"N": str(self._now_ms() // 1000)}}
        if_so(self._client.put_item, TableName=self._table, Item=subscriber, **_in_order(command_id))
        # An unsubscribing that came in between has found nothing to delete.
        last = self._get_item(f"CONNECTION#{connection_id}", _SUBSCRIPTION + channel)
        if last is None or int(last["command_id"]["N"]) == command_id:
            return True
        if not self._alive(last) and not connection.stays_in(channel):
            self._delete_in_order(_key(_channel_pk(channel, shard), connection_id), command_id)
        return False

    def prolong(self, connection_id: str, *, expires_at_s: int) -> None:
        for listed in self._query(f"CONNECTION#{connection_id}", prefix=_SUBSCRIPTION):
            if not self._alive(listed):
                continue
            self._prolong(connection_id, listed, min(expires_at_s, int(listed[TTL_ATTRIBUTE]["N"])))

    def prolong_one(
        self, connection_id: str, channel: str, *, expires_at_s: int, ends_at_s: int, command_id: int
    ) -> bool:
        answer: Item = {}

        def update(**request: Any) -> None:
            answer.update(self._client.update_item(**request))

        there = if_so(
            update,
            TableName=self._table,
            Key=_key(f"CONNECTION#{connection_id}", _SUBSCRIPTION + channel),
            UpdateExpression=f"SET {TTL_ATTRIBUTE} = :ends_at_s",
            ConditionExpression=f"command_id <= :command_id AND {TTL_ATTRIBUTE} > :now",
            ExpressionAttributeValues={
                ":ends_at_s": {"N": str(ends_at_s)},
                ":command_id": {"N": str(command_id)},
                ":now": {"N": str(self._now_ms() // 1000)},
            },
            ReturnValues="ALL_NEW",
        )
        if there:
            self._prolong(connection_id, answer["Attributes"], expires_at_s)
        return there

    def _prolong(self, connection_id: str, listed: Item, expires_at_s: int) -> None:
        channel = listed[SK]["S"].removeprefix(_SUBSCRIPTION)
        if_so(
            self._client.update_item,
            TableName=self._table,
            Key=_key(_channel_pk(channel, int(listed["shard"]["N"])), connection_id),
            UpdateExpression=f"SET {TTL_ATTRIBUTE} = :expires_at_s",
            # Not where it has been unsubscribed or taken out, or subscribed anew, since it was read.
            ConditionExpression="command_id <= :command_id",
            ExpressionAttributeValues={":expires_at_s": {"N": str(expires_at_s)}, ":command_id": listed["command_id"]},
        )

    def unsubscribe_in_order(self, connection_id: str, channel: str, *, command_id: int, stays: bool = False) -> bool:
        answer: Item = {}

        def update(**request: Any) -> None:
            answer.update(self._client.update_item(**request))

        # It stays, as one that has expired: TTL takes its time, and commands that are late don't take that long.
        gone = if_so(
            update,
            TableName=self._table,
            Key=_key(f"CONNECTION#{connection_id}", _SUBSCRIPTION + channel),
            UpdateExpression=f"SET command_id = :command_id, {TTL_ATTRIBUTE} = :now REMOVE wants, user_id",
            ConditionExpression=_NO_LATER,
            ExpressionAttributeValues={
                ":command_id": {"N": str(command_id)},
                ":now": {"N": str(self._now_ms() // 1000)},
            },
            ReturnValues="ALL_OLD",
        )
        before = answer.get("Attributes", {})
        if gone and "shard" in before:
            key = _key(_channel_pk(channel, int(before["shard"]["N"])), connection_id)
            if stays:
                self._want_events_in_order(key, command_id)
            else:
                self._delete_in_order(key, command_id)
        return gone

    def _want_events_in_order(self, key: Item, command_id: int) -> None:
        request = _in_order(command_id)
        request["ConditionExpression"] = f"attribute_exists({PK}) AND ({request['ConditionExpression']})"
        expression = "SET command_id = :command_id REMOVE wants"
        if_so(self._client.update_item, TableName=self._table, Key=key, UpdateExpression=expression, **request)

    def _delete_in_order(self, key: Item, command_id: int) -> None:
        if_so(self._client.delete_item, TableName=self._table, Key=key, **_in_order(command_id))

    def last_command(self, connection_id: str, channel: str) -> int:
        listed = self._get_item(f"CONNECTION#{connection_id}", _SUBSCRIPTION + channel)
        return int(listed["command_id"]["N"]) if listed and "command_id" in listed else 0

    def shard_of(self, connection_id: str, channel: str) -> int:
        return self._shard(connection_id, channel, kept=True)

    def subscriptions(self, connection_id: str) -> Mapping[str, Interests]:
        items = self._query(f"CONNECTION#{connection_id}", prefix=_SUBSCRIPTION)
        return {item[SK]["S"].removeprefix(_SUBSCRIPTION): _wants(item) for item in items if self._alive(item)}

    def attended(self, connection_id: str) -> Mapping[str, str]:
        return _attended(self._query(f"CONNECTION#{connection_id}", prefix=_SUBSCRIPTION))

    def attending(self, connection_id: str) -> Mapping[str, str]:
        items = list(self._query(f"CONNECTION#{connection_id}"))
        there = any(item[SK]["S"] == _META and self._alive(item) for item in items)
        return _attended(item for item in items if item[SK]["S"] != _META) if there else {}

    def subscribers(
        self, channel: str, shard: int = 0, *, at_most: int | None = None, interest: Interest | None = None
    ) -> Shard:
        count = 1
        connection_ids: list[str] = []
        positioned: set[str] = set()
        fossil: set[str] = set()
        by_server: set[str] = set()
        # Whoever is left out has been read all the same: a page of so many would be too short.
        limit = None if at_most is None or interest is not None else at_most + 1
        for item in self._query(_channel_pk(channel, shard), limit=limit):
            if item[SK]["S"] == _SHARDS_SK:
                count = int(item["shards"]["N"])
            elif self._alive(item) and (interest is None or interest in _wants(item)):
                connection_ids.append(item[SK]["S"])
                if "positioned" in item:
                    positioned.add(item[SK]["S"])
                if "fossil" in _wants(item):
                    fossil.add(item[SK]["S"])
                if "by_server" in _wants(item):
                    by_server.add(item[SK]["S"])
                if len(connection_ids) == at_most:
                    break
        return Shard(connection_ids, count, positioned, fossil, by_server)

    def grow(self, channel: str, shards: int) -> None:
        if_so(
            self._client.put_item,
            TableName=self._table,
            Item=_key(_channel_pk(channel, 0), _SHARDS_SK) | {"shards": {"N": str(shards)}},
            ConditionExpression="attribute_not_exists(pk) OR shards < :shards",
            ExpressionAttributeValues={":shards": {"N": str(shards)}},
        )

    def remind(self, connection_id: str, *, minute: int) -> None:
        expires_at_s = (minute + _DUE_KEPT_MINUTES) * 60
        item = _key(f"DUE#{minute}", connection_id) | {TTL_ATTRIBUTE: {"N": str(expires_at_s)}}
        with translated():
            self._client.put_item(TableName=self._table, Item=item)

    def get_all(self, connection_ids: Sequence[str]) -> Mapping[str, Connection]:
        keys = (_key(f"CONNECTION#{connection_id}", _META) for connection_id in connection_ids)
        found = {item[PK]["S"].removeprefix("CONNECTION#"): item for item in get_all(self._client, self._table, keys)}
        return {identifier: _to_connection(identifier, item) for identifier, item in found.items() if self._alive(item)}

    def due(self, minute: int, *, after: str = "", at_a_time: int | None = None) -> Iterator[str]:
        part = self._get_item(_JANITOR, _PART)
        if part and int(part["minute"]["N"]) == minute:
            after = max(after, part["connection_id"]["S"])
        return (item[SK]["S"] for item in self._query(f"DUE#{minute}", after=after or None, limit=at_a_time))

    def mark_looked_at(self, minute: int, connection_id: str) -> None:
        item = _key(_JANITOR, _PART) | {"minute": {"N": str(minute)}, "connection_id": {"S": connection_id}}
        with translated():
            self._client.put_item(TableName=self._table, Item=item)

    def swept_minute(self) -> int:
        item = self._get_item(_JANITOR, _META)
        return int(item["minute"]["N"]) if item else 0

    def mark_swept(self, minute: int) -> None:
        with translated():
            self._client.put_item(TableName=self._table, Item=_key(_JANITOR, _META) | {"minute": {"N": str(minute)}})

    def put_session(self, session: Session) -> None:
        with translated():
            self._client.put_item(TableName=self._table, Item=_session_item(session))

    def move_session(self, before: Session, after: Session) -> bool:
        return if_so(
            self._client.put_item,
            TableName=self._table,
            Item=_session_item(after),
            # The SDK repeats a call whose answer got lost: then it is written already.
            ConditionExpression=f"version IN (:before, :after) AND {TTL_ATTRIBUTE} > :now",
            ExpressionAttributeValues={
                ":before": {"S": before.version},
                ":after": {"S": after.version},
                ":now": {"N": str(self._now_ms() // 1000)},
            },
        )

    def refresh_session(self, session_id: str, principal: Principal, *, connection_id: str, version: str) -> bool:
        update = _update_of(principal, version={"S": version})
        update["ExpressionAttributeValues"] |= {
            ":connection": {"S": connection_id},
            ":now": {"N": str(self._now_ms() // 1000)},
        }
        return if_so(
            self._client.update_item,
            TableName=self._table,
            Key=_key(f"SESSION#{session_id}", _META),
            ConditionExpression=f"connection_id = :connection AND {TTL_ATTRIBUTE} > :now AND {_NO_OLDER}",
            **update,
        )

    def end_session(self, session_id: str, *, connection_id: str, expires_at_s: int) -> None:
        if_so(
            self._client.update_item,
            TableName=self._table,
            Key=_key(f"SESSION#{session_id}", _META),
            UpdateExpression=f"SET {TTL_ATTRIBUTE} = :end",
            ConditionExpression=f"connection_id = :connection AND {TTL_ATTRIBUTE} > :end",
            ExpressionAttributeValues={":connection": {"S": connection_id}, ":end": {"N": str(expires_at_s)}},
        )

    def session(self, session_id: str) -> Session | None:
        item = self._get(f"SESSION#{session_id}")
        if item is None:
            return None
        expires_at_s = int(item[TTL_ATTRIBUTE]["N"])
        return Session(session_id, to_principal(item), item["connection_id"]["S"], expires_at_s, item["version"]["S"])

    def _shard(self, connection_id: str, channel: str, *, kept: bool) -> int:
        """Return the shard for a subscription: the one where it is already, if its channel has several."""
        shards, at_ms = self._shards.get(channel, (0, 0))
        if self._now_ms() - at_ms >= _SHARDS_TRUST_MS:
            shards = self._read_shards(channel)
        if shards > 1 and kept:
            listed = self._get_item(f"CONNECTION#{connection_id}", _SUBSCRIPTION + channel)
            if listed is not None and "shard" in listed:
                return int(listed["shard"]["N"])
        return _hash_of(connection_id) % shards

    def _read_shards(self, channel: str) -> int:
        item = self._get_item(_channel_pk(channel, 0), _SHARDS_SK)
        shards = int(item["shards"]["N"]) if item else 1
        self._shards[channel] = (shards, self._now_ms())
        self._shards.move_to_end(channel)
        if len(self._shards) > _SHARDS_REMEMBERED:
            self._shards.popitem(last=False)
        return shards

    def _unlisted(self, connection_id: str, *channels: str) -> Iterator[tuple[str, int]]:
        """Yield each place where a subscription that is not listed may be: the number of shards only ever doubled."""
        for channel in channels:
            shards = self._read_shards(channel)
            for shard in {_hash_of(connection_id) % 2**power for power in range(shards.bit_length())}:
                yield channel, shard

    def _alive(self, item: Item) -> bool:
        # TTL deletes late, up to days: docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
        return int(item[TTL_ATTRIBUTE]["N"]) > self._now_ms() // 1000

    def _get(self, pk: str) -> Item | None:
        item = self._get_item(pk, _META)
        return item if item and self._alive(item) else None

    def _get_item(self, pk: str, sk: str) -> Item | None:
        with translated():
            return self._client.get_item(TableName=self._table, Key=_key(pk, sk), ConsistentRead=True).get("Item")

    def _query(
        self, pk: str, *, prefix: str = "", after: str | None = None, limit: int | None = None
    ) -> Iterator[Item]:
        request: Item = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": pk}},
            "ConsistentRead": True,
        }
        if limit is not None:
            request["Limit"] = limit
        if after is not None:
            request["ExclusiveStartKey"] = _key(pk, after)
        if prefix:
            request["KeyConditionExpression"] += " AND begins_with(sk, :prefix)"
            request["ExpressionAttributeValues"][":prefix"] = {"S": prefix}
        return chain.from_iterable(pages(self._client, request))


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


def principal_attributes(principal: Principal) -> Item:
    """Return the attributes that say who it is."""
    attributes: Item = {
        "user_id": {"S": principal.user_id},
        "capabilities": {"S": json.dumps({k: list(v) for k, v in principal.capabilities.items()})},
        "is_server": {"BOOL": principal.server},
        "token_issued_at_s": {"N": str(principal.issued_at_s)},
    }
    if principal.public_claims:
        attributes["public_claims"] = {"S": to_json(principal.public_claims).decode()}
    if principal.expires_at_s is not None:
        attributes["token_expires_at_s"] = {"N": str(principal.expires_at_s)}
    return attributes


def _update_of(principal: Principal, **more: Item) -> Item:
    """Return what of an update writes the principal in place of another."""
    attributes = principal_attributes(principal) | more
    lacking = [name for name in ("public_claims", "token_expires_at_s") if name not in attributes]
    expression = "SET " + ", ".join(f"{name} = :{name}" for name in attributes)
    if lacking:
        expression += " REMOVE " + ", ".join(lacking)
    return {
        "UpdateExpression": expression,
        "ExpressionAttributeValues": {f":{name}": value for name, value in attributes.items()},
    }


def to_principal(item: Item) -> Principal:
    """Read what :func:`principal_attributes` wrote."""
    expires_at_s, public = item.get("token_expires_at_s"), item.get("public_claims")
    return Principal(
        user_id=item["user_id"]["S"],
        capabilities=json.loads(item["capabilities"]["S"]),
        server=item["is_server"]["BOOL"],
        issued_at_s=int(item["token_issued_at_s"]["N"]),
        expires_at_s=int(expires_at_s["N"]) if expires_at_s else None,
        public_claims=json.loads(public["S"]) if public else {},
    )


def _session_item(session: Session) -> Item:
    return (
        _key(f"SESSION#{session.session_id}", _META)
        | principal_attributes(session.principal)
        | {
            "connection_id": {"S": session.connection_id},
            "version": {"S": session.version},
            TTL_ATTRIBUTE: {"N": str(session.expires_at_s)},
        }
    )


def _connection_item(connection: Connection) -> Item:
    item = _key(f"CONNECTION#{connection.connection_id}", _META) | {
        "connected_at_ms": {"N": str(connection.connected_at_ms)},
        TTL_ATTRIBUTE: {"N": str(connection.expires_at_s)},
    }
    if connection.session_id is not None:
        item["session_id"] = {"S": connection.session_id}
    if connection.announced:
        item["announced"] = {"BOOL": True}
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
        announced="announced" in item,
        alias=item["alias"]["S"] if "alias" in item else None,
    )


def _attended(listed: Iterable[Item]) -> Mapping[str, str]:
    return {item[SK]["S"].removeprefix(_SUBSCRIPTION): item["user_id"]["S"] for item in listed if "user_id" in item}


def _in_order(command_id: int) -> Item:
    values: Item = {":command_id": {"N": str(command_id)}}
    return {"ConditionExpression": _NO_LATER, "ExpressionAttributeValues": values}


def _channel_pk(channel: str, shard: int) -> str:
    return f"CHANNEL#{channel}#{shard}"


def _hash_of(connection_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(connection_id.encode(), digest_size=4).digest())


def _key(pk: str, sk: str) -> Item:
    return {PK: {"S": pk}, SK: {"S": sk}}


def _wants(item: Item) -> Interests:
    wanted = item["wants"]["S"].split() if "wants" in item else []
    return frozenset(interest for interest in INTERESTS if interest in wanted)


def _put(pk: str, sk: str, expires_at_s: int, **attributes: Item) -> Item:
    return {"PutRequest": {"Item": _key(pk, sk) | {TTL_ATTRIBUTE: {"N": str(expires_at_s)}} | attributes}}


def _delete(pk: str, sk: str) -> Item:
    return {"DeleteRequest": {"Key": _key(pk, sk)}}


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
