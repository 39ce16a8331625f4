"""Mailboxes of HTTP sessions, and the streams that users hold, in DynamoDB (docs/data-model.md, "Mailboxes")."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from shared.adapters.aws import translated
from shared.contract import PK, SK, TTL_ATTRIBUTE
from shared.domain.mailbox import Mailbox, Message

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# Sorts behind every number: a query from the end meets it first, then the last message.
_META: Final = "META"
# Two keys each; 100 at most: docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_LOOK_MAX: Final = 50

Item = dict[str, Any]


class DynamoDbMailboxStore:
    """Mailboxes in the ``connections`` table.

    Items::

        pk MAILBOX#<id>  sk META                 fetched N, confirmed N, seen_at_s N, reader S, expires_at_s N
        pk MAILBOX#<id>  sk <number, 12 digits>  text S, expires_at_s N; without text: others found no room
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def open(self, mailbox_id: str, mailbox: Mailbox) -> None:
        with translated():
            self._client.update_item(
                TableName=self._table,
                Key=_key(mailbox_id, _META),
                UpdateExpression=(
                    f"SET {TTL_ATTRIBUTE} = :expires, seen_at_s = :seen, fetched = if_not_exists(fetched, :fetched), "
                    "confirmed = if_not_exists(confirmed, :confirmed), reader = if_not_exists(reader, :reader)"
                ),
                ExpressionAttributeValues={
                    ":expires": {"N": str(mailbox.expires_at_s)},
                    ":seen": {"N": str(mailbox.seen_at_s)},
                    ":fetched": {"N": str(mailbox.fetched)},
                    ":confirmed": {"N": str(mailbox.confirmed)},
                    ":reader": {"S": mailbox.reader},
                },
            )

    def end(self, mailbox_id: str) -> tuple[Mailbox, Message | None] | None:
        with translated():
            items = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues={":pk": {"S": _pk(mailbox_id)}},
                ScanIndexForward=False,
                Limit=2,
                ConsistentRead=True,
            )["Items"]
        if not items or items[0][SK]["S"] != _META:
            return None
        return _to_mailbox(items[0]), _to_message(items[1]) if len(items) > 1 else None

    def put(self, mailbox_id: str, message: Message, *, expires_at_s: int) -> bool:
        item = _key(mailbox_id, _number(message.number)) | {TTL_ATTRIBUTE: {"N": str(expires_at_s)}}
        if message.text is not None:
            item["text"] = {"S": message.text}
        return self._unless_refused(self._client.put_item, Item=item, ConditionExpression="attribute_not_exists(pk)")

    def read(self, mailbox_id: str, after: int, *, limit: int) -> Sequence[Message]:
        with translated():
            items = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
                ExpressionAttributeValues={
                    ":pk": {"S": _pk(mailbox_id)},
                    ":first": {"S": _number(after + 1)},
                    ":last": {"S": _number(after + limit)},
                },
                ConsistentRead=True,
            )["Items"]
        return [_to_message(item) for item in items]

    def claim(self, mailbox_id: str, reader: str, *, confirmed: int | None, seen_at_s: int) -> Mailbox | None:
        update, values = "SET reader = :reader, seen_at_s = :seen", _values(reader, seen_at_s)
        if confirmed is not None:
            update += ", fetched = :confirmed, confirmed = :confirmed"
            values[":confirmed"] = {"N": str(confirmed)}
        try:
            with translated():
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=_key(mailbox_id, _META),
                    UpdateExpression=update,
                    ConditionExpression="attribute_exists(pk)",
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                )
        except ClientError as error:
            if not _refused(error):
                raise
            return None
        return _to_mailbox(answer["Attributes"])

    def note(self, mailbox_id: str, reader: str, *, fetched: int, seen_at_s: int) -> bool:
        return self._unless_refused(
            self._client.update_item,
            Key=_key(mailbox_id, _META),
            UpdateExpression="SET fetched = :fetched, seen_at_s = :seen",
            ConditionExpression="reader = :reader",
            ExpressionAttributeValues=_values(reader, seen_at_s) | {":fetched": {"N": str(fetched)}},
        )

    def look(self, awaited: Sequence[tuple[str, int]]) -> Mapping[str, tuple[str, bool]]:
        numbers, readers, arrived = dict(awaited), dict[str, str](), set[str]()
        for start in range(0, len(awaited), _LOOK_MAX):
            some = awaited[start : start + _LOOK_MAX]
            keys = [_key(mailbox_id, sk) for mailbox_id, number in some for sk in (_META, _number(number))]
            request: Any = {"Keys": keys, "ProjectionExpression": f"{PK}, {SK}, reader"}
            with translated():
                answer: Any = self._client.batch_get_item(RequestItems={self._table: request})
            for item in answer["Responses"].get(self._table, []):
                mailbox_id = item[PK]["S"].removeprefix(_pk(""))
                if item[SK]["S"] == _META:
                    readers[mailbox_id] = item["reader"]["S"]
                else:
                    arrived.add(mailbox_id)
            # Of what DynamoDB did not come to, nothing is known: they look as if nothing had changed.
            for key in answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", []):
                readers.setdefault(key[PK]["S"].removeprefix(_pk("")), "")
        return {mailbox_id: (readers[mailbox_id], mailbox_id in arrived) for mailbox_id in numbers.keys() & readers}

    def remove(self, mailbox_id: str) -> None:
        with translated():
            self._client.delete_item(TableName=self._table, Key=_key(mailbox_id, _META))

    def _unless_refused(self, call: Any, **arguments: Any) -> bool:
        try:
            with translated():
                call(TableName=self._table, **arguments)
        except ClientError as error:
            if not _refused(error):
                raise
            return False
        return True


class DynamoDbHeldStreams:
    """Streams that users hold, in the ``connections`` table: ``pk HELD#<user id>  sk <reader>  expires_at_s N``."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def hold(self, user_id: str, reader: str, *, at_most: int, now_s: int, expires_at_s: int) -> bool:
        with translated():
            held = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                FilterExpression=f"{TTL_ATTRIBUTE} > :now",
                ExpressionAttributeValues={":pk": {"S": f"HELD#{user_id}"}, ":now": {"N": str(now_s)}},
                Select="COUNT",
                ConsistentRead=True,
            )["Count"]
            if held >= at_most:
                return False
            self._client.put_item(
                TableName=self._table,
                Item={PK: {"S": f"HELD#{user_id}"}, SK: {"S": reader}, TTL_ATTRIBUTE: {"N": str(expires_at_s)}},
            )
        return True

    def release(self, user_id: str, reader: str) -> None:
        with translated():
            self._client.delete_item(TableName=self._table, Key={PK: {"S": f"HELD#{user_id}"}, SK: {"S": reader}})


def _pk(mailbox_id: str) -> str:
    return f"MAILBOX#{mailbox_id}"


def _key(mailbox_id: str, sk: str) -> Item:
    return {PK: {"S": _pk(mailbox_id)}, SK: {"S": sk}}


def _number(number: int) -> str:
    return f"{number:012}"


def _values(reader: str, seen_at_s: int) -> Item:
    return {":reader": {"S": reader}, ":seen": {"N": str(seen_at_s)}}


def _refused(error: ClientError) -> bool:
    return error.response["Error"]["Code"] == "ConditionalCheckFailedException"


def _to_mailbox(item: Item) -> Mailbox:
    return Mailbox(
        expires_at_s=int(item[TTL_ATTRIBUTE]["N"]),
        seen_at_s=int(item["seen_at_s"]["N"]),
        fetched=int(item["fetched"]["N"]),
        confirmed=int(item["confirmed"]["N"]),
        reader=item["reader"]["S"],
    )


def _to_message(item: Item) -> Message:
    return Message(int(item[SK]["S"]), item["text"]["S"] if "text" in item else None)
