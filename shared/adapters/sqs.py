"""Lanes, deliveries and deadlines in SQS, and their messages read back."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.adapters.aws import translated
from shared.domain.publication import Publication, identity
from shared.ports import Delivery, Lane, LaneRecord
from shared.protocol.encode import to_json

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient


class SqsLaneQueue:
    """FIFO queues, one per lane: ``{"channel", "publication", "retry"?: true}``, in order per channel."""

    def __init__(self, client: "SQSClient", urls: Mapping[Lane, str]) -> None:
        self._client = client
        self._urls = urls

    def send(self, lane: Lane, channel: str, publication: Publication, *, retry: bool) -> None:
        body: dict[str, Any] = {"channel": channel, "publication": publication.to_record()}
        if retry:
            body["retry"] = True
        with translated():
            self._client.send_message(
                QueueUrl=self._urls[lane],
                MessageBody=sqs_text(body),
                # Both ids take at most 128 characters, a channel has up to 200:
                # docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
                MessageGroupId=_hex(channel),
                MessageDeduplicationId=_hex(f"{channel} {identity(publication.user_id, publication.message_id)}"),
            )


def lane_record(record: Mapping[str, Any]) -> LaneRecord:
    """Read one record of a lane's Lambda event."""
    body = json.loads(record["body"])
    handed_out_before = int(record["attributes"]["ApproximateReceiveCount"]) > 1
    return LaneRecord(
        record_id=record["messageId"],
        channel=body["channel"],
        publication=Publication.from_record(body["publication"]),
        uncertain=handed_out_before or body.get("retry", False),
    )


class SqsDeliveryQueue:
    """A standard queue: ``{"channel", "frames", "connection_ids", "attempt"}``."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def send(self, delivery: Delivery, *, delay_s: int) -> None:
        body = {
            "channel": delivery.channel,
            "frames": list(delivery.frames),
            "connection_ids": list(delivery.connection_ids),
            "attempt": delivery.attempt,
        }
        with translated():
            self._client.send_message(QueueUrl=self._url, MessageBody=sqs_text(body), DelaySeconds=delay_s)


def delivery(record: Mapping[str, Any]) -> Delivery:
    """Read one record of the delivery queue's Lambda event."""
    body = json.loads(record["body"])
    return Delivery(body["channel"], body["frames"], body["connection_ids"], body["attempt"])


class SqsDeadlineQueue:
    """A standard queue: ``{"connection_id"}``."""

    def __init__(self, client: "SQSClient", url: str) -> None:
        self._client = client
        self._url = url

    def send(self, connection_id: str, *, delay_s: int) -> None:
        with translated():
            self._client.send_message(
                QueueUrl=self._url, MessageBody=sqs_text({"connection_id": connection_id}), DelaySeconds=delay_s
            )


def sqs_text(value: Any) -> str:
    r"""Encode as JSON that SQS takes: it refuses U+FFFE and U+FFFF, which JSON may escape.

    Source: docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    """
    return to_json(value).decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def _hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
