"""Mailboxes of HTTP sessions, and the streams that users hold, in DynamoDB (docs/data-model.md, "Mailboxes")."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.exceptions import ClientError

from shared.adapters.aws import translated
from shared.adapters.dynamodb import Item, get_all, if_so, pages, refused
from shared.adapters.schema_version import VERSION
from shared.contract import PK, SK, TTL_ATTRIBUTE
from shared.domain.held_stream import HeldStream
from shared.domain.mailbox import GONE_AFTER_S, Mailbox, Message, Way

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# Sorts behind every number.
_META: Final = "META"
_LAST: Final = "9" * 12
# docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_LOOK_MAX: Final = 100

_HEARD_OF: Final = f"seen_at_s > :gone AND {TTL_ATTRIBUTE} > :now"
_READS: Final = "reader = :reader"

_HELD: Final = "HELD"


class DynamoDbMailboxStore:
    """Mailboxes in the ``connections`` table.

    Items::

        pk MAILBOX#<id>  sk META                 last_number N, fetched N, confirmed N, seen_at_s N, reader S,
                                                 way S once it was read, expires_at_s N
        pk MAILBOX#<id>  sk <number, 12 digits>  put_at_ms N, text S, expires_at_s N; without text: it found no room
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def open(self, mailbox_id: str, mailbox: Mailbox) -> None:
        with translated():
            self._client.put_item(TableName=self._table, Item=_key(mailbox_id, _META) | _from_mailbox(mailbox))

    def renew(self, mailbox_id: str, *, expires_at_s: int, now_s: int) -> bool:
        update, values = f"SET {TTL_ATTRIBUTE} = :expires, seen_at_s = :now", {":expires": {"N": str(expires_at_s)}}
        return self._updated(mailbox_id, update, _HEARD_OF, _heard_of(now_s) | values) is not None

    def get(self, mailbox_id: str) -> Mailbox | None:
        with translated():
            answer = self._client.get_item(TableName=self._table, Key=_key(mailbox_id, _META), ConsistentRead=True)
        return _to_mailbox(answer["Item"]) if "Item" in answer else None

    def get_all(self, mailbox_ids: Sequence[str]) -> Mapping[str, Mailbox]:
        items = get_all(self._client, self._table, (_key(mailbox_id, _META) for mailbox_id in mailbox_ids))
        return {_place(item)[0]: _to_mailbox(item) for item in items}

    def number(self, mailbox_id: str, *, now_s: int) -> Mailbox | None:
        return self._updated(
            mailbox_id, "SET last_number = last_number + :one", _HEARD_OF, _heard_of(now_s) | {":one": {"N": "1"}}
        )

    def put(self, mailbox_id: str, message: Message, *, expires_at_s: int) -> None:
        item = _key(mailbox_id, _number(message.number)) | {
            "put_at_ms": {"N": str(message.put_at_ms)},
            TTL_ATTRIBUTE: {"N": str(expires_at_s)},
        }
        if message.text is not None:
            item["text"] = {"S": message.text}
        with translated():
            self._client.put_item(TableName=self._table, Item=item)

    def read(self, mailbox_id: str, after: int, *, limit: int) -> Sequence[Message]:
        return self._messages(mailbox_id, after, limit)

    def newest(self, mailbox_id: str, *, limit: int) -> Sequence[Message]:
        return self._messages(mailbox_id, 0, limit, forward=False)[::-1]

    def claim(self, mailbox_id: str, reader: str, *, way: Way, confirmed: int | None, seen_at_s: int) -> Mailbox | None:
        update, values = (
            "SET reader = :reader, way = :way, seen_at_s = :now",
            {":reader": {"S": reader}, ":way": {"S": way}},
        )
        if confirmed is not None:
            update += ", fetched = :confirmed, confirmed = :confirmed"
            values[":confirmed"] = {"N": str(confirmed)}
        return self._updated(mailbox_id, update, _HEARD_OF, _heard_of(seen_at_s) | values)

    def note(self, mailbox_id: str, reader: str, *, fetched: int, seen_at_s: int) -> bool:
        update, values = "SET fetched = :fetched, seen_at_s = :seen", _values(reader, seen_at_s)
        values[":fetched"] = {"N": str(fetched)}
        return self._updated(mailbox_id, update, _READS, values) is not None

    def skip(self, mailbox_id: str, reader: str, *, seen_at_s: int) -> int | None:
        update = "SET fetched = last_number, seen_at_s = :seen"
        mailbox = self._updated(mailbox_id, update, _READS, _values(reader, seen_at_s))
        return mailbox.last if mailbox else None

    def look(self, awaited: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], tuple[str | None, bool]]:
        # A call must not name a key twice.
        places = {(mailbox_id, sk) for mailbox_id, number in awaited for sk in (_META, _number(number))}
        found: dict[tuple[str, str], Item | None] = {}
        waiting = iter(places)
        while some := list(islice(waiting, _LOOK_MAX)):
            keys = [_key(mailbox_id, sk) for mailbox_id, sk in some]
            request: Any = {"Keys": keys, "ProjectionExpression": f"{PK}, {SK}, reader, last_number, {VERSION}"}
            with translated():
                answer: Any = self._client.batch_get_item(RequestItems={self._table: request})
            unprocessed = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            found |= {_place(key): None for key in unprocessed}
            found |= {_place(item): item for item in answer["Responses"].get(self._table, [])}
        seen: dict[tuple[str, int], tuple[str | None, bool]] = {}
        for mailbox_id, number in awaited:
            if (mailbox_id, _META) in found:
                meta = found[mailbox_id, _META]
                there = found.get((mailbox_id, _number(number))) is not None
                behind = meta is not None and int(meta["last_number"]["N"]) > number
                seen[mailbox_id, number] = meta["reader"]["S"] if meta else None, there or behind
        return seen

    def remove(self, mailbox_id: str, *, seen_at_s: int | None = None) -> bool:
        condition: Item = {"ConditionExpression": "attribute_exists(pk)"}
        if seen_at_s is not None:
            condition = {
                "ConditionExpression": "seen_at_s = :seen",
                "ExpressionAttributeValues": {":seen": {"N": str(seen_at_s)}},
            }
        return if_so(self._client.delete_item, TableName=self._table, Key=_key(mailbox_id, _META), **condition)

    def _messages(self, mailbox_id: str, after: int, limit: int, *, forward: bool = True) -> Sequence[Message]:
        with translated():
            items = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
                ExpressionAttributeValues={
                    ":pk": {"S": _pk(mailbox_id)},
                    ":first": {"S": _number(after + 1)},
                    ":last": {"S": _LAST},
                },
                ScanIndexForward=forward,
                Limit=limit,
                ConsistentRead=True,
            )["Items"]
        return [_to_message(item) for item in items]

    def _updated(self, mailbox_id: str, update: str, condition: str, values: Item) -> Mailbox | None:
        """Return the record as it is then, or ``None`` where the condition does not hold."""
        try:
            with translated():
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=_key(mailbox_id, _META),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                )
        except ClientError as error:
            if not refused(error):
                raise
            return None
        return _to_mailbox(answer["Attributes"])


class DynamoDbHeldStreams:
    """Streams that users hold, in the ``connections`` table.

    Items: ``pk HELD  sk <reader>  user_id S, address S, expires_at_s N``. One partition: a stage holds hundreds, and
    each is opened once in minutes.
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def hold(self, stream: HeldStream, *, user_at_most: int, address_at_most: int, at_most: int, now_s: int) -> bool:
        others = [one for one in map(_to_held, self._held()) if one.expires_at_s > now_s]
        if not stream.fits(others, user_at_most=user_at_most, address_at_most=address_at_most, at_most=at_most):
            return False
        item: Item = {
            PK: {"S": _HELD},
            SK: {"S": stream.reader},
            "user_id": {"S": stream.user_id},
            "address": {"S": stream.address},
            TTL_ATTRIBUTE: {"N": str(stream.expires_at_s)},
        }
        with translated():
            self._client.put_item(TableName=self._table, Item=item)
        return True

    def release(self, reader: str) -> None:
        with translated():
            self._client.delete_item(TableName=self._table, Key={PK: {"S": _HELD}, SK: {"S": reader}})

    def _held(self) -> Iterator[Item]:
        request: Item = {
            "TableName": self._table,
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": _HELD}},
            "ConsistentRead": True,
        }
        return chain.from_iterable(pages(self._client, request))


def _to_held(item: Item) -> HeldStream:
    return HeldStream(item[SK]["S"], item["user_id"]["S"], item["address"]["S"], int(item[TTL_ATTRIBUTE]["N"]))


def _place(item: Item) -> tuple[str, str]:
    return item[PK]["S"].removeprefix(_pk("")), item[SK]["S"]


def _pk(mailbox_id: str) -> str:
    return f"MAILBOX#{mailbox_id}"


def _key(mailbox_id: str, sk: str) -> Item:
    return {PK: {"S": _pk(mailbox_id)}, SK: {"S": sk}}


def _number(number: int) -> str:
    return f"{number:012}"


def _heard_of(now_s: int) -> Item:
    return {":now": {"N": str(now_s)}, ":gone": {"N": str(now_s - GONE_AFTER_S)}}


def _values(reader: str, seen_at_s: int) -> Item:
    return {":reader": {"S": reader}, ":seen": {"N": str(seen_at_s)}}


def _from_mailbox(mailbox: Mailbox) -> Item:
    return {
        TTL_ATTRIBUTE: {"N": str(mailbox.expires_at_s)},
        "seen_at_s": {"N": str(mailbox.seen_at_s)},
        "last_number": {"N": str(mailbox.last)},
        "fetched": {"N": str(mailbox.fetched)},
        "confirmed": {"N": str(mailbox.confirmed)},
        "reader": {"S": mailbox.reader},
    }


def _to_mailbox(item: Item) -> Mailbox:
    return Mailbox(
        expires_at_s=int(item[TTL_ATTRIBUTE]["N"]),
        seen_at_s=int(item["seen_at_s"]["N"]),
        last=int(item["last_number"]["N"]),
        fetched=int(item["fetched"]["N"]),
        confirmed=int(item["confirmed"]["N"]),
        reader=item["reader"]["S"],
        way=cast("Way", item["way"]["S"]) if "way" in item else None,
    )


def _to_message(item: Item) -> Message:
    return Message(int(item[SK]["S"]), item["text"]["S"] if "text" in item else None, int(item["put_at_ms"]["N"]))
