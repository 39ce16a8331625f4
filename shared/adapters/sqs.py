"""Lanes, deliveries and deadlines in SQS, and their messages read back."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.aws import translated
from shared.adapters.schema_version import marked, understood
from shared.domain.presence import Look, Visit
from shared.domain.publication import Publication, identity
from shared.errors import NewerSchemaError, TidewireError, UnavailableError
from shared.ports import Delivery, Lane, LaneMessage, LaneRecord
from shared.protocol.encode import to_json

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient


# docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html: 10 messages, 1 MiB in all.
_BATCH_MAX: Final = 10
_BATCH_MAX_BYTES: Final = 1_000_000
_BATCH_TRIES: Final = 3


class SqsLaneQueue:
    """FIFO queues, one per lane: ``{"v", "channel", "publication", "retry"?: true}``, in order per channel."""

    def __init__(self, client: "SQSClient", urls: Mapping[Lane, str]) -> None:
        self._client = client
        self._urls = urls

    def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
        # What is handed back is not tried again here: it would stand behind what was taken.
        entries = {place: _lane_entry(message) for place, message in enumerate(messages)}
        return _send_batch(self._client, self._urls[lane], entries)


def _lane_entry(message: LaneMessage) -> dict[str, Any]:
    channel, publication = message.channel, message.publication
    body: dict[str, Any] = {"channel": channel, "publication": publication.to_record()}
    if message.retry:
        body["retry"] = True
    return {
        "MessageBody": sqs_text(marked(body)),
        # Both ids take at most 128 characters, a channel has up to 200:
        # docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
        "MessageGroupId": _hex(channel),
        "MessageDeduplicationId": _hex(f"{channel} {identity(publication.user_id, publication.message_id)}"),
    }


def message(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the body of one record of a queue's Lambda event.

    Raises:
        NewerSchemaError: A newer release has written it.
    """
    queue = record["eventSourceARN"].rpartition(":")[2]
    return understood(json.loads(record["body"]), place=queue, key=record["messageId"])


def lane_record(record: Mapping[str, Any], urls: Mapping[Lane, str]) -> LaneRecord:
    """Read one record of a lane's Lambda event. One whose body can't be read has no publication."""
    queue = record["eventSourceARN"].rpartition(":")[2]
    attributes = record["attributes"]
    tries = int(attributes["ApproximateReceiveCount"])
    try:
        body = message(record)
        channel, publication = body["channel"], Publication.from_record(body["publication"])
        uncertain, unreadable = body.get("retry", False), None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, NewerSchemaError) as error:
        channel, publication, uncertain, unreadable = "", None, False, error
    return LaneRecord(
        record_id=record["messageId"],
        receipt=record["receiptHandle"],
        lane=next(lane for lane, url in urls.items() if url.rpartition("/")[2] == queue),
        tries=tries,
        raw=(record["body"], attributes["MessageGroupId"], attributes["MessageDeduplicationId"]),
        channel=channel,
        publication=publication,
        uncertain=uncertain,
        unreadable=unreadable,
    )


class SqsLaneRecords:
    """What a worker asks of the lanes' queues."""

    def __init__(self, client: "SQSClient", urls: Mapping[Lane, str], dead_letter_urls: Mapping[Lane, str]) -> None:
        self._client = client
        self._urls = urls
        self._dead_letter_urls = dead_letter_urls

    def postpone(self, records: Sequence[LaneRecord], *, delay_s: int) -> None:
        for lane, some in groupby(records, key=lambda record: record.lane):
            entries: list[Any] = [
                {"Id": str(index), "ReceiptHandle": record.receipt, "VisibilityTimeout": delay_s}
                for index, record in enumerate(some)
            ]
            with translated():
                # Entries that fail are no matter: those records come back when their own visibility ends.
                self._client.change_message_visibility_batch(QueueUrl=self._urls[lane], Entries=entries)

    def bury(self, record: LaneRecord) -> None:
        body, group, deduplication = record.raw
        with translated():
            self._client.send_message(
                QueueUrl=self._dead_letter_urls[record.lane],
                MessageBody=body,
                MessageGroupId=group,
                MessageDeduplicationId=deduplication,
            )


class SqsDeliveryQueue:
    """A standard queue: ``{"v", "channel", "frames", "attempt", "connection_ids" or "shard"}``, and perhaps
    ``"interest"``, ``"but"``, ``"positioned"`` and ``"about"``.
    """

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def send(self, deliveries: Sequence[Delivery], *, delay_s: int) -> None:
        entries = [_delayed(_delivery_body(delivery), delay_s) for delivery in deliveries]
        send_all(self._client, self._url, entries)


def _delivery_body(delivery: Delivery) -> dict[str, Any]:
    body: dict[str, Any] = {
        "channel": delivery.channel,
        "frames": list(delivery.frames),
        "attempt": delivery.attempt,
    }
    if delivery.about:
        body["about"] = list(delivery.about)
    if delivery.connection_ids is None:
        wanted = {"interest": delivery.interest, "but": delivery.but, "positioned": delivery.positioned or None}
        return body | {"shard": delivery.shard} | {name: value for name, value in wanted.items() if value is not None}
    return body | {"connection_ids": list(delivery.connection_ids)}


def delivery(record: Mapping[str, Any]) -> Delivery:
    """Read one record of the delivery queue's Lambda event."""
    body = message(record)
    return Delivery(
        body["channel"],
        body["frames"],
        body.get("connection_ids"),
        body["attempt"],
        shard=body.get("shard", 0),
        interest=body.get("interest"),
        but=body.get("but"),
        positioned=body.get("positioned", False),
        about=body.get("about", ()),
    )


class SqsLookQueue:
    """A standard queue: ``{"v", "channel", "users"?, "after"?, "came"?, "went"?}``; the last two: user, connection."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def send(self, looks: Sequence[Look], *, delay_s: int = 0) -> None:
        send_all(self._client, self._url, [_delayed(_look_body(look), delay_s) for look in looks])


def _look_body(look: Look) -> dict[str, Any]:
    body: dict[str, Any] = {"channel": look.channel}
    if look.users:
        body["users"] = list(look.users)
    if look.after is not None:
        body["after"] = look.after
    for name, visit in (("came", look.came), ("went", look.went)):
        if visit is not None:
            body[name] = [visit.user_id, visit.connection_id]
    return body


def look(record: Mapping[str, Any]) -> Look:
    """Read one record of the look queue's Lambda event."""
    body = message(record)
    came, went = (Visit(*body[name]) if name in body else None for name in ("came", "went"))
    return Look(body["channel"], tuple(body.get("users", ())), body.get("after"), came, went)


class SqsDeadlineQueue:
    """A standard queue: ``{"v", "connection_id"}``, with ``arrived_`` or ``superseded_`` before, or with
    ``"token_expires_at_s"`` beside it; or ``{"v", "command_id"}``.
    """

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def send(self, connection_id: str, *, delay_s: int) -> None:
        self._send({"connection_id": connection_id}, delay_s)

    def send_token_end(self, connection_id: str, *, token_expires_at_s: int, delay_s: int) -> None:
        self._send({"connection_id": connection_id, "token_expires_at_s": token_expires_at_s}, delay_s)

    def send_arrived(self, connection_id: str, *, delay_s: int) -> None:
        self._send({"arrived_connection_id": connection_id}, delay_s)

    def send_superseded(self, connection_id: str, *, delay_s: int) -> None:
        self._send({"superseded_connection_id": connection_id}, delay_s)

    def send_command(self, command_id: str, *, delay_s: int) -> None:
        self._send({"command_id": command_id}, delay_s)

    def _send(self, body: Mapping[str, Any], delay_s: int) -> None:
        with translated():
            self._client.send_message(QueueUrl=self._url, MessageBody=sqs_text(marked(body)), DelaySeconds=delay_s)


class SqsDeadLetters:
    """A standard queue; what was wrong is in the attributes that Lambda's own dead letters have.

    Source: docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq
    """

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def bury(self, body: str, error: TidewireError) -> None:
        with translated():
            self._client.send_message(
                QueueUrl=self._url,
                MessageBody=body,
                MessageAttributes={
                    "ErrorCode": {"DataType": "Number", "StringValue": str(error.code)},
                    "ErrorMessage": {"DataType": "String", "StringValue": f"{error.name}: {error}"},
                },
            )


def _delayed(body: Mapping[str, Any], delay_s: int) -> dict[str, Any]:
    return {"MessageBody": sqs_text(marked(body)), "DelaySeconds": delay_s}


def send_all(client: "SQSClient", url: str, entries: Iterable[dict[str, Any]]) -> None:
    """Send entries of SendMessageBatch, in as many calls as it takes; what SQS hands back goes in again.

    Raises:
        UnavailableError: It hands something back every time.
    """
    batch: dict[int, dict[str, Any]] = {}
    size = 0
    for entry in entries:
        entry_bytes = len(entry["MessageBody"].encode())
        if batch and (len(batch) == _BATCH_MAX or size + entry_bytes > _BATCH_MAX_BYTES):
            _send_until_taken(client, url, batch)
            batch, size = {}, 0
        batch[len(batch)] = entry
        size += entry_bytes
    _send_until_taken(client, url, batch)


def _send_until_taken(client: "SQSClient", url: str, entries: Mapping[int, dict[str, Any]]) -> None:
    for _ in range(_BATCH_TRIES):
        if not entries:
            return
        entries = {place: entries[place] for place in _send_batch(client, url, entries)}
    if entries:
        raise UnavailableError("a queue is busy", retry_after_ms=1000)


def _send_batch(client: "SQSClient", url: str, entries: Mapping[int, dict[str, Any]]) -> set[int]:
    """Send what one call takes; return which entries SQS handed back."""
    numbered: list[Any] = [entry | {"Id": str(place)} for place, entry in entries.items()]
    with translated():
        answer = client.send_message_batch(QueueUrl=url, Entries=numbered)
    return {int(failure["Id"]) for failure in answer.get("Failed", [])}


def sqs_text(value: Any) -> str:
    r"""Encode as JSON that SQS takes: it refuses U+FFFE and U+FFFF, which JSON may escape.

    Source: docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    """
    return to_json(value).decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
