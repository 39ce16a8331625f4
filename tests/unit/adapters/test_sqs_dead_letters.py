"""Dead letters in SQS: taken, put back in the order they had, then deleted."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from shared.adapters.sqs_dead_letters import SqsDeadLetterQueues, Way
from shared.domain.dead_letter import DeadLetter, RedrivenQueue
from shared.errors import UnavailableError

WAYS: dict[RedrivenQueue, Way] = {
    queue: Way(f"http://sqs/{queue}-dead", f"http://sqs/{queue}") for queue in ("high", "normal", "low", "events")
}


class Sqs:
    """Hands out what it is given, and keeps what is asked of it."""

    def __init__(self, *messages: dict[str, Any], hands_back: int = 0) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._messages = messages
        self._hands_back = hands_back

    def receive_message(self, **request: Any) -> dict[str, Any]:
        self.asked.append(("receive", request))
        return {"Messages": list(self._messages)} if self._messages else {}

    def get_queue_attributes(self, **request: Any) -> dict[str, Any]:
        self.asked.append(("count", request))
        return {"Attributes": {"ApproximateNumberOfMessages": "3", "ApproximateNumberOfMessagesNotVisible": "4"}}

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        self.asked.append(("send", request))
        self._hands_back, failed = max(0, self._hands_back - 1), bool(self._hands_back)
        return {"Failed": [{"Id": request["Entries"][-1]["Id"]}]} if failed else {}

    def delete_message_batch(self, **request: Any) -> dict[str, Any]:
        self.asked.append(("delete", request))
        return {}


def queues_over(sqs: Any) -> SqsDeadLetterQueues:
    return SqsDeadLetterQueues(sqs, WAYS)


def message(place: int, **attributes: str) -> dict[str, Any]:
    attributes = {"SentTimestamp": "1700000000123", **attributes}
    return {"MessageId": f"m{place}", "ReceiptHandle": f"r{place}", "Body": f"body {place}", "Attributes": attributes}


def test_what_waits_is_counted_with_what_somebody_looks_at() -> None:
    sqs = Sqs()
    assert queues_over(sqs).waiting("low") == 7
    assert sqs.asked[0][1]["QueueUrl"] == "http://sqs/low-dead"


def test_a_lanes_letter_goes_back_in_its_order_and_is_deleted_then() -> None:
    sqs = Sqs(message(0, MessageGroupId="g"), message(1, MessageGroupId="g"))
    queues = queues_over(sqs)
    taken = queues.take("high")
    assert taken[0] == DeadLetter("m0", "r0", "body 0", 1_700_000_000_123, "g")
    queues.put_back("high", [(letter, f"{letter.body} again") for letter in taken])
    (_, received), (sent, back), (deleted, gone) = sqs.asked
    assert received["QueueUrl"] == gone["QueueUrl"] == "http://sqs/high-dead"
    # It waits, or SQS asks but some of its servers; and not for longer than the client does.
    assert (received["MaxNumberOfMessages"], received["VisibilityTimeout"], received["WaitTimeSeconds"]) == (10, 60, 1)
    assert (sent, deleted, back["QueueUrl"]) == ("send", "delete", "http://sqs/high")
    assert [
        (entry["MessageBody"], entry["MessageGroupId"], entry["MessageDeduplicationId"]) for entry in back["Entries"]
    ] == [("body 0 again", "g", "m0"), ("body 1 again", "g", "m1")]
    assert [entry["ReceiptHandle"] for entry in gone["Entries"]] == ["r0", "r1"]


def test_a_letter_of_a_standard_queue_says_nothing_of_an_order() -> None:
    sqs = Sqs(message(0))
    queues = queues_over(sqs)
    queues.put_back("events", [(queues.take("events")[0], "again")])
    assert sqs.asked[1][1]["Entries"] == [{"MessageBody": "again", "Id": "0"}]


def test_large_letters_go_in_batches_that_sqs_takes() -> None:
    sqs = Sqs(*(message(place) for place in range(3)))
    queues = queues_over(sqs)
    queues.put_back("events", [(letter, "x" * 600_000) for letter in queues.take("events")])
    assert [what for what, _ in sqs.asked] == ["receive", "send", "send", "send", "delete"]


def test_nothing_is_sent_for_nothing() -> None:
    sqs = Sqs()
    queues = queues_over(sqs)
    queues.put_back("low", queues.take("low"))  # type: ignore[arg-type]  # none
    assert [what for what, _ in sqs.asked] == ["receive"]


def test_what_sqs_hands_back_goes_in_again_and_is_not_deleted_before() -> None:
    sqs = Sqs(message(0), message(1), hands_back=1)
    queues = queues_over(sqs)
    queues.put_back("events", [(letter, letter.body) for letter in queues.take("events")])
    assert [what for what, _ in sqs.asked] == ["receive", "send", "send", "delete"]
    assert [entry["MessageBody"] for entry in sqs.asked[2][1]["Entries"]] == ["body 1"]
    busy = Sqs(message(0), hands_back=99)
    queues = queues_over(busy)
    with pytest.raises(UnavailableError):
        queues.put_back("events", [(letter, letter.body) for letter in queues.take("events")])
    assert "delete" not in [what for what, _ in busy.asked]


def test_a_throttle_is_told_as_unavailable() -> None:
    client = boto3.client("sqs", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    for operation, call in (
        ("get_queue_attributes", lambda: queues_over(client).waiting("low")),
        ("receive_message", lambda: queues_over(client).take("low")),
    ):
        with Stubber(client) as stub:
            stub.add_client_error(operation, "RequestThrottled", http_status_code=403)
            with pytest.raises(UnavailableError):
                call()
