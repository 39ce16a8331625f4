"""Messages of the queues: what is sent reads back, and SQS takes every character of it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.sqs import (
    SqsDeadlineQueue,
    SqsDeliveryQueue,
    SqsLaneQueue,
    SqsLaneRecords,
    SqsLookQueue,
    delivery,
    lane_record,
    look,
    sqs_text,
)
from shared.domain.presence import Look
from shared.domain.publication import Publication
from shared.errors import UnavailableError
from shared.ports import Delivery, Lane, LaneMessage
from tests.unit.stack import publication

# docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
TAKEN = re.compile(r"[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*\Z")
URLS: dict[Lane, str] = {"high": "http://sqs/high", "normal": "http://sqs/normal", "low": "http://sqs/low"}

texts = st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from("\x00\x1f\x7f\ufffe\uffff"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


class RecordingSqs:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send_message(self, **request: Any) -> None:
        self.sent.append(request)

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        self.sent.append(request)
        return {}

    def change_message_visibility_batch(self, **request: Any) -> None:
        self.sent.append(request)


def handed_out(request: dict[str, Any], *, count: int = 1) -> dict[str, Any]:
    """Return the message as a Lambda event has it."""
    ids = {name: request.get(name, "") for name in ("MessageGroupId", "MessageDeduplicationId")}
    return {
        "messageId": "r1",
        "receiptHandle": "handle",
        "body": request["MessageBody"],
        "attributes": {"ApproximateReceiveCount": str(count), **ids},
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:normal",
    }


def sent(item: Publication, channel: str = "room:a", *, retry: bool = False) -> dict[str, Any]:
    client: Any = RecordingSqs()
    SqsLaneQueue(client, URLS).send("normal", [LaneMessage(channel, item, retry)])
    (request,) = client.sent
    (entry,) = request.pop("Entries")
    assert entry.pop("Id") == "0"
    return dict(request) | dict(entry)


class TestText:
    @given(value=values)
    def test_sqs_takes_it_and_it_reads_back(self, value: Any) -> None:
        text = sqs_text(value)
        assert TAKEN.match(text)
        assert json.loads(text) == value

    def test_two_characters_that_json_may_have_are_escaped(self) -> None:
        assert sqs_text("a\ufffe\uffff") == '"a\\ufffe\\uffff"'


class TestLanes:
    @given(item=st.builds(publication, texts, user_id=texts), data=values, retry=st.booleans())
    def test_a_publication_comes_out_as_it_went_in(self, item: Publication, data: Any, retry: bool) -> None:
        object.__setattr__(item, "data", data)
        record = lane_record(handed_out(sent(item, retry=retry)), URLS)
        assert (record.record_id, record.channel, record.publication) == ("r1", "room:a", item)
        assert record.uncertain is retry

    @pytest.mark.parametrize("count", [2, 11])
    def test_what_was_handed_out_before_is_no_more_uncertain_than_it_was(self, count: int) -> None:
        """It can have been stored no earlier than it was taken, and that it tells itself."""
        record = lane_record(handed_out(sent(publication()), count=count), URLS)
        assert (record.tries, record.uncertain) == (count, False)

    @pytest.mark.parametrize("body", ["", "no JSON", "5", "[]", "{}", '{"channel": "room:a", "publication": {"i": 1}}'])
    def test_what_is_no_publication_is_a_record_without_one(self, body: str) -> None:
        record = lane_record(handed_out({"MessageBody": body}), URLS)
        assert (record.publication, record.channel, record.raw[0], record.lane) == (None, "", body, "normal")

    def test_records_are_postponed_and_buried_in_their_own_lanes(self) -> None:
        client: Any = RecordingSqs()
        records = SqsLaneRecords(client, URLS, {lane: f"{url}-dead" for lane, url in URLS.items()})
        record = lane_record(handed_out(sent(publication())), URLS)
        records.postpone([record, replace(record, receipt="other"), replace(record, lane="low")], delay_s=4)
        records.bury(record)
        normal, low, dead = client.sent
        assert (normal["QueueUrl"], low["QueueUrl"]) == (URLS["normal"], URLS["low"])
        assert [(e["ReceiptHandle"], e["VisibilityTimeout"]) for e in normal["Entries"]] == [
            ("handle", 4),
            ("other", 4),
        ]
        assert dead == sent(publication()) | {"QueueUrl": f"{URLS['normal']}-dead"}

    def test_each_lane_has_its_queue(self) -> None:
        client: Any = RecordingSqs()
        for lane in URLS:
            SqsLaneQueue(client, URLS).send(lane, [LaneMessage("room:a", publication(), retry=False)])
        assert [request["QueueUrl"] for request in client.sent] == list(URLS.values())

    def test_ids_are_short_enough_for_the_longest_channel(self) -> None:
        request = sent(publication("m" * 64, user_id="u" * 128), "room:" + "x" * 195)
        assert {len(request[name]) for name in ("MessageGroupId", "MessageDeduplicationId")} == {64}

    def test_a_channel_is_one_group_and_a_message_of_a_user_in_it_is_one_message(self) -> None:
        first = sent(publication("m1"))
        assert sent(publication("m2"))["MessageGroupId"] == first["MessageGroupId"]
        assert sent(publication("m1"), "room:b")["MessageGroupId"] != first["MessageGroupId"]
        assert sent(publication("m1"), retry=True)["MessageDeduplicationId"] == first["MessageDeduplicationId"]
        others = [
            sent(publication("m2")),
            sent(publication("m1", user_id="bob")),
            sent(publication("m1"), "room:b"),
            sent(publication("1", user_id="annm")),
        ]
        assert first["MessageDeduplicationId"] not in [other["MessageDeduplicationId"] for other in others]


def test_a_lane_takes_a_batch_in_one_call_and_says_what_it_hands_back() -> None:
    class Partial(RecordingSqs):
        def send_message_batch(self, **request: Any) -> dict[str, Any]:
            super().send_message_batch(**request)
            return {"Failed": [{"Id": "1"}]}

    client: Any = Partial()
    messages = [LaneMessage("room:a", publication(f"m{number}"), retry=False) for number in range(3)]
    assert SqsLaneQueue(client, URLS).send("low", messages) == {1}
    (request,) = client.sent
    taken = [lane_record(handed_out(entry), URLS).publication for entry in request["Entries"]]
    assert taken == [message.publication for message in messages]


def test_a_delivery_comes_out_as_it_went_in() -> None:
    client: Any = RecordingSqs()
    wanted = Delivery("room:a", [{"type": "event", "data": "\uffff"}], ["c1", "c2"], 3)
    SqsDeliveryQueue(client, "http://sqs/deliveries").send([wanted], delay_s=4)
    (request,) = client.sent
    (entry,) = request["Entries"]
    assert delivery(handed_out(entry)) == wanted
    assert (request["QueueUrl"], entry["DelaySeconds"]) == ("http://sqs/deliveries", 4)


def test_deliveries_go_in_batches_that_sqs_takes() -> None:
    client: Any = RecordingSqs()
    large = Delivery("room:a", [{"data": "x" * 180_000}], None, 0, shard=1, interest="state", but="c1", about=["0f"])
    SqsDeliveryQueue(client, "http://sqs/deliveries").send([large] * 12, delay_s=0)
    sizes = [sum(len(entry["MessageBody"]) for entry in request["Entries"]) for request in client.sent]
    assert [len(request["Entries"]) for request in client.sent] == [5, 5, 2]
    assert max(sizes) <= 2**20
    assert delivery(handed_out(client.sent[0]["Entries"][0])) == large


def test_deliveries_that_are_handed_back_are_sent_again() -> None:
    class Busy(RecordingSqs):
        def send_message_batch(self, **request: Any) -> dict[str, Any]:
            super().send_message_batch(**request)
            return {"Failed": [{"Id": "1"}]} if len(self.sent) < self.until else {}

        until = 3

    client: Any = Busy()
    queue = SqsDeliveryQueue(client, "http://sqs/deliveries")
    queue.send([Delivery("room:a", [], [str(n)], 1) for n in range(3)], delay_s=0)
    assert [[entry["Id"] for entry in request["Entries"]] for request in client.sent] == [["0", "1", "2"], ["1"], ["1"]]
    client.until = 1000
    with pytest.raises(UnavailableError):
        queue.send([Delivery("room:a", [], ["a"], 1), Delivery("room:a", [], ["b"], 1)], delay_s=0)


def test_a_deadline_names_its_connection() -> None:
    client: Any = RecordingSqs()
    SqsDeadlineQueue(client, "http://sqs/deadlines").send("c1", delay_s=10)
    expected = {"QueueUrl": "http://sqs/deadlines", "MessageBody": '{"v":1,"connection_id":"c1"}', "DelaySeconds": 10}
    assert client.sent == [expected]


def test_or_the_one_that_has_arrived_or_has_lost_its_session_or_whose_token_ends() -> None:
    client: Any = RecordingSqs()
    queue = SqsDeadlineQueue(client, "http://sqs/deadlines")
    queue.send_arrived("c1", delay_s=10)
    queue.send_superseded("c1", delay_s=11)
    queue.send_token_end("c1", token_expires_at_s=1_800_000_000, delay_s=12)
    sent = [(one["MessageBody"], one["DelaySeconds"]) for one in client.sent]
    assert sent == [
        ('{"v":1,"arrived_connection_id":"c1"}', 10),
        ('{"v":1,"superseded_connection_id":"c1"}', 11),
        ('{"v":1,"connection_id":"c1","token_expires_at_s":1800000000}', 12),
    ]


def test_or_its_command() -> None:
    client: Any = RecordingSqs()
    SqsDeadlineQueue(client, "http://sqs/deadlines").send_command("k1", delay_s=3)
    assert [(one["MessageBody"], one["DelaySeconds"]) for one in client.sent] == [('{"v":1,"command_id":"k1"}', 3)]


@pytest.mark.parametrize(
    ("operation", "send"),
    [
        (
            "send_message_batch",
            lambda client: SqsLaneQueue(client, URLS).send("low", [LaneMessage("room:a", publication(), retry=False)]),
        ),
        (
            "send_message_batch",
            lambda client: SqsDeliveryQueue(client, "http://sqs/d").send([Delivery("room:a", [], [], 1)], delay_s=1),
        ),
        ("send_message", lambda client: SqsDeadlineQueue(client, "http://sqs/d").send("c", delay_s=1)),
    ],
    ids=["lane", "delivery", "deadline"],
)
def test_a_throttle_is_told_as_unavailable(operation: str, send: Callable[[Any], None]) -> None:
    client = boto3.client("sqs", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_client_error(operation, "RequestThrottled", http_status_code=403)
        with pytest.raises(UnavailableError):
            send(client)


def test_looks_read_back_and_go_ten_at_a_time() -> None:
    sqs = RecordingSqs()
    looks = [Look("room:a"), *(Look("room:b", (f"u{number}", "ü"), number) for number in range(11))]
    SqsLookQueue(sqs, "http://sqs/looks").send(looks, delay_s=11)  # type: ignore[arg-type]
    assert [len(request["Entries"]) for request in sqs.sent] == [10, 2]
    entries = [entry for request in sqs.sent for entry in request["Entries"]]
    assert {entry["DelaySeconds"] for entry in entries} == {11}
    assert [look(handed_out(entry)) for entry in entries] == looks
    SqsLookQueue(sqs, "http://sqs/looks").send([])  # type: ignore[arg-type]
    assert len(sqs.sent) == 2
