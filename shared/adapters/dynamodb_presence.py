"""Who is present, in DynamoDB's ``presence`` table (docs/data-model.md, "presence")."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from shared.adapters.aws import translated
from shared.adapters.dynamodb import Item, if_so, pages, write_all
from shared.contract import PK, SK, TTL_ATTRIBUTE
from shared.domain.connection import CONNECTION_MAX_AGE_S
from shared.domain.presence import Attendees, Member, Told
from shared.protocol.encode import to_json

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# Sorts before every user ("!" is in no percent-encoded id), so that a query reads it first.
_TOLD: Final = "!TOLD"
# What users say of themselves outlives the change from one connection to the next, 2 hours at most; it is deleted when
# they leave, so this is only the broom.
_SAID_KEPT_S: Final = 12 * CONNECTION_MAX_AGE_S


class DynamoDbPresenceStore:
    """The members in the ``presence`` table.

    Items::

        pk PRESENCE#<channel>  sk <user>#<connection id>  entered_at_ms N, expires_at_s N
        pk PRESENCE#<channel>  sk <user>#      status S, active BOOL, data S, last_active_at_ms N, revision N,
                                               changed_at_ms N, expires_at_s N
        pk PRESENCE#<channel>  sk !TOLD        version N, counted BOOL, people N, told_at_ms N, users S

    ``<user>`` is percent-encoded, so that no ``#`` is in it. ``users`` is JSON: user id to stamp and version.
    """

    def __init__(self, client: "DynamoDBClient", table: str, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._table = table
        self._now_ms = now_ms

    def enter(
        self, channels: Sequence[str], user_id: str, connection_id: str, *, at_ms: int, expires_at_s: int
    ) -> None:
        attributes = {"entered_at_ms": {"N": str(at_ms)}, TTL_ATTRIBUTE: {"N": str(expires_at_s)}}
        puts = [
            {"PutRequest": {"Item": _key(channel, _connection_sk(user_id, connection_id)) | attributes}}
            for channel in channels
        ]
        write_all(self._client, self._table, puts)

    def leave(self, channel: str, user_id: str, connection_id: str, *, at_s: int | None = None) -> bool:
        key = _key(channel, _connection_sk(user_id, connection_id))
        if at_s is None:
            with translated():
                answer = self._client.delete_item(TableName=self._table, Key=key, ReturnValues="ALL_OLD")
            return "Attributes" in answer
        return if_so(
            self._client.update_item,
            TableName=self._table,
            Key=key,
            UpdateExpression=f"SET {TTL_ATTRIBUTE} = :at",
            ConditionExpression=f"{TTL_ATTRIBUTE} > :at",  # false too where nothing is
            ExpressionAttributeValues={":at": {"N": str(at_s)}},
        )

    def update(
        self, channel: str, user_id: str, fields: Mapping[str, Any], *, active_at_ms: int | None, at_ms: int
    ) -> None:
        values: Item = {TTL_ATTRIBUTE: {"N": str(at_ms // 1000 + _SAID_KEPT_S)}}
        if "status" in fields:
            values["status"] = {"S": fields["status"]}
        if "active" in fields:
            values["active"] = {"BOOL": fields["active"]}
        if "data" in fields:
            values["data"] = {"S": to_json(fields["data"]).decode()}
        if active_at_ms is not None:
            values["last_active_at_ms"] = {"N": str(active_at_ms)}
        if fields:
            values["changed_at_ms"] = {"N": str(at_ms)}
        # By number, since some of the names are reserved:
        # docs.aws.amazon.com/amazondynamodb/latest/developerguide/ReservedWords.html
        names = {f"#{number}": name for number, name in enumerate(values)}
        expression = "SET " + ", ".join(f"{alias} = :{alias[1:]}" for alias in names)
        arguments = {f":{number}": value for number, value in enumerate(values.values())}
        if fields:
            expression += " ADD revision :one"
            arguments[":one"] = {"N": "1"}
        with translated():
            self._client.update_item(
                TableName=self._table,
                Key=_key(channel, _user_sk(user_id)),
                UpdateExpression=expression,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=arguments,
            )

    def forget(self, channel: str, member: Member) -> None:
        values = {":revision": {"N": str(member.revision)}, ":changed": {"N": str(member.changed_at_ms)}}
        unchanged = "revision = :revision AND changed_at_ms = :changed"
        if_so(
            self._client.delete_item,
            TableName=self._table,
            Key=_key(channel, _user_sk(member.user_id)),
            ConditionExpression=unchanged if member.revision else "attribute_not_exists(revision)",
            **({"ExpressionAttributeValues": values} if member.revision else {}),
        )

    def attendees(self, channel: str) -> Attendees:
        told = Told()
        items: dict[str, list[Item]] = {}
        for item in self._query(channel):
            if item[SK]["S"] == _TOLD:
                told = _to_told(item)
            else:
                items.setdefault(unquote(item[SK]["S"].partition("#")[0]), []).append(item)
        everybody = {user_id: self._to_member(user_id, some) for user_id, some in items.items()}
        here = {user_id: everybody[user_id] for user_id in sorted(everybody) if everybody[user_id].connection_ids}
        said = {user_id for user_id, some in items.items() if any(item[SK]["S"].endswith("#") for item in some)}
        return Attendees(told, here, {user_id: everybody[user_id] for user_id in said - here.keys()})

    def member(self, channel: str, user_id: str) -> Member:
        return self._to_member(user_id, self._query(channel, prefix=_user_sk(user_id)))

    def told(self, channel: str) -> Told:
        with translated():
            answer = self._client.get_item(TableName=self._table, Key=_key(channel, _TOLD), ConsistentRead=True)
        return _to_told(answer["Item"]) if "Item" in answer else Told()

    def tell(self, channel: str, told: Told, *, before: int) -> bool:
        item = _key(channel, _TOLD) | {
            "version": {"N": str(told.version)},
            "counted": {"BOOL": told.counted},
            "people": {"N": str(told.count)},
            "told_at_ms": {"N": str(told.told_at_ms)},
            "users": {"S": to_json(dict(told.users)).decode()},
        }
        stands: Item = {"ConditionExpression": "attribute_not_exists(version)"}
        if before:
            values = {":before": {"N": str(before)}}
            stands = {"ConditionExpression": "version = :before", "ExpressionAttributeValues": values}
        return if_so(self._client.put_item, TableName=self._table, Item=item, **stands)

    def _to_member(self, user_id: str, items: "Iterator[Item] | Sequence[Item]") -> Member:
        said: Item = {}
        connection_ids = []
        active_ms = [0]
        now_s = self._now_ms() // 1000
        for item in items:
            connection_id = item[SK]["S"].partition("#")[2]
            if not connection_id:
                said = item
                active_ms.append(int(item.get("last_active_at_ms", {"N": "0"})["N"]))
            # TTL deletes late, up to days: docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
            elif int(item[TTL_ATTRIBUTE]["N"]) > now_s:
                connection_ids.append(connection_id)
                active_ms.append(int(item["entered_at_ms"]["N"]))
        return Member(
            user_id,
            tuple(connection_ids),
            status=said["status"]["S"] if "status" in said else "online",
            active=said["active"]["BOOL"] if "active" in said else True,
            data=json.loads(said["data"]["S"]) if "data" in said else None,
            last_active_at_ms=max(active_ms),
            revision=int(said["revision"]["N"]) if "revision" in said else 0,
            changed_at_ms=int(said["changed_at_ms"]["N"]) if "changed_at_ms" in said else 0,
        )

    def _query(self, channel: str, *, prefix: str = "") -> Iterator[Item]:
        request: Item = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": _pk(channel)}},
            "ConsistentRead": True,
        }
        if prefix:
            request["KeyConditionExpression"] += " AND begins_with(sk, :prefix)"
            request["ExpressionAttributeValues"][":prefix"] = {"S": prefix}
        return chain.from_iterable(pages(self._client, request))


def _to_told(item: Item) -> Told:
    users = json.loads(item["users"]["S"])
    return Told(
        int(item["version"]["N"]),
        item["counted"]["BOOL"],
        int(item["people"]["N"]),
        int(item["told_at_ms"]["N"]),
        {user_id: (stamp, version) for user_id, (stamp, version) in users.items()},
    )


def _pk(channel: str) -> str:
    return f"PRESENCE#{channel}"


def _key(channel: str, sk: str) -> Item:
    return {PK: {"S": _pk(channel)}, SK: {"S": sk}}


def _user_sk(user_id: str) -> str:
    return f"{quote(user_id, safe='')}#"


def _connection_sk(user_id: str, connection_id: str) -> str:
    return _user_sk(user_id) + connection_id
