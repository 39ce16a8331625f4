"""Messages of the queues: what is sent reads back, and SQS takes every character of it."""

import json
import re
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.sqs import SqsDeadlineQueue, SqsDeliveryQueue, SqsLaneQueue, delivery, lane_record, sqs_text
from shared.domain.publication import Publication
from shared.errors import UnavailableError
from shared.ports import Delivery, Lane
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


def handed_out(request: dict[str, Any], *, count: int = 1) -> dict[str, Any]:
    """Return the message as a Lambda event has it."""
    attributes = {"ApproximateReceiveCount": str(count)}
    return {"messageId": "r1", "body": request["MessageBody"], "attributes": attributes}


def sent(item: Publication, channel: str = "room:a", *, retry: bool = False) -> dict[str, Any]:
    client: Any = RecordingSqs()
    SqsLaneQueue(client, URLS).send("normal", channel, item, retry=retry)
    (request,) = client.sent
    return dict(request)


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
        record = lane_record(handed_out(sent(item, retry=retry)))
        assert (record.record_id, record.channel, record.publication) == ("r1", "room:a", item)
        assert record.uncertain is retry

    @pytest.mark.parametrize("count", [2, 11])
    def test_what_was_handed_out_before_is_uncertain(self, count: int) -> None:
        assert lane_record(handed_out(sent(publication()), count=count)).uncertain

    def test_each_lane_has_its_queue(self) -> None:
        client: Any = RecordingSqs()
        for lane in URLS:
            SqsLaneQueue(client, URLS).send(lane, "room:a", publication(), retry=False)
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


def test_a_delivery_comes_out_as_it_went_in() -> None:
    client: Any = RecordingSqs()
    wanted = Delivery("room:a", [{"type": "event", "data": "\uffff"}], ["c1", "c2"], 3)
    SqsDeliveryQueue(client, "http://sqs/deliveries").send(wanted, delay_s=4)
    (request,) = client.sent
    assert delivery(handed_out(request)) == wanted
    assert (request["QueueUrl"], request["DelaySeconds"]) == ("http://sqs/deliveries", 4)


def test_a_deadline_names_its_connection() -> None:
    client: Any = RecordingSqs()
    SqsDeadlineQueue(client, "http://sqs/deadlines").send("c1", delay_s=10)
    expected = {"QueueUrl": "http://sqs/deadlines", "MessageBody": '{"connection_id":"c1"}', "DelaySeconds": 10}
    assert client.sent == [expected]


@pytest.mark.parametrize(
    "send",
    [
        lambda client: SqsLaneQueue(client, URLS).send("low", "room:a", publication(), retry=False),
        lambda client: SqsDeliveryQueue(client, "http://sqs/d").send(Delivery("room:a", [], [], 1), delay_s=1),
        lambda client: SqsDeadlineQueue(client, "http://sqs/d").send("c", delay_s=1),
    ],
    ids=["lane", "delivery", "deadline"],
)
def test_a_throttle_is_told_as_unavailable(send: Callable[[Any], None]) -> None:
    client = boto3.client("sqs", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_client_error("send_message", "RequestThrottled", http_status_code=403)
        with pytest.raises(UnavailableError):
            send(client)
