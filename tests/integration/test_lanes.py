"""What the lanes do with what fails, what the worker makes of many at once, and who is found gone: deployed."""

import asyncio
import json
import secrets
from collections.abc import Iterator
from statistics import median
from typing import Any

import boto3
import httpx
import pytest

from localstack.stack import LocalStack
from shared.adapters.dynamodb_connections import DynamoDbConnectionStore
from shared.adapters.sqs import SqsLaneQueue
from shared.bootstrap import now_ms
from shared.contract import OUTPUT_DEAD_LETTER_URLS, OUTPUT_LANE_URLS
from shared.domain.publication import Publication
from shared.domain.segment import SEGMENT_MAX_PUBLICATIONS
from shared.ports import LaneMessage
from shared.protocol.limits import SERVER_FRAME_MAX_BYTES
from tests.integration.checks import assert_gapless, eventually, segment_sizes, whole_history
from tests.integration.client import dev_token
from tests.integration.conftest import Connect
from tests.integration.edited import edited
from tests.unit.stack import events_of


def send(stack: LocalStack, lane: str, body: str, group: str) -> None:
    boto3.client("sqs").send_message(
        QueueUrl=stack.outputs[OUTPUT_LANE_URLS[lane]],
        MessageBody=body,
        MessageGroupId=group,
        MessageDeduplicationId=secrets.token_hex(8),
    )


def dead_letters(stack: LocalStack, lane: str) -> list[str]:
    """Return what lies in a lane's dead-letter queue; it stays there."""
    answer = boto3.client("sqs").receive_message(
        QueueUrl=stack.outputs[OUTPUT_DEAD_LETTER_URLS[lane]], MaxNumberOfMessages=10, VisibilityTimeout=0
    )
    return [message["Body"] for message in answer.get("Messages", [])]


async def test_what_can_not_be_read_ends_in_the_dead_letters_and_holds_nobody_up(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    for poison in ("no JSON", '{"channel": 5}', '{"channel": "room:a", "publication": {"i": "x"}}'):
        send(stack, "low", poison, "poison")
    for number in range(3):
        await ann.publish(channel, number, priority="low")
    assert [event["data"] for event in await ann.wait_for_events(channel, 3)] == [0, 1, 2]
    await eventually(lambda: len(dead_letters(stack, "low")) == 3)


async def test_what_can_not_be_stored_is_given_up_and_its_sender_told(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    # More than an item of DynamoDB takes. No request may have so much, so it is put into the lane past them.
    poison = Publication(f"poison-{channel}", "said", "x" * 450_000, "ann", None, "normal", now_ms(), receipt=True)
    lane = SqsLaneQueue(boto3.client("sqs"), {"normal": stack.outputs[OUTPUT_LANE_URLS["normal"]]})
    lane.send("normal", [LaneMessage(channel, poison, retry=False)])
    for number in range(3):
        await ann.publish(channel, number)

    def told() -> list[dict[str, Any]]:
        return [f for f in ann.frames if f.get("type") == "receipt" and f["message_id"] == poison.message_id]

    (receipt,) = await ann.wait_for(told)
    assert (receipt["channel"], receipt["status"], receipt["error"]["name"]) == (channel, "failed", "internal")
    assert any(poison.message_id in body for body in dead_letters(stack, "normal"))
    events = await ann.wait_for_events(channel, 3)
    assert_gapless(events)
    assert [event["data"] for event in events] == [0, 1, 2]


async def test_dead_letters_are_put_back_and_stored_once(
    stack: LocalStack, connect: Connect, channel: str, http: httpx.Client, admin: dict[str, str]
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    await ann.publish(channel, "stored", message_id="stored", priority="high")
    await ann.wait_for_events(channel, 1)
    sqs = boto3.client("sqs")
    for message_id in ("stored", "lost"):
        record = {"i": message_id, "n": "said", "d": message_id, "u": "ann", "c": None, "p": 1, "t": now_ms()}
        sqs.send_message(
            QueueUrl=stack.outputs[OUTPUT_DEAD_LETTER_URLS["high"]],
            MessageBody=json.dumps({"channel": channel, "publication": record}),
            MessageGroupId="g",
            MessageDeduplicationId=secrets.token_hex(8),
        )
    answer = await asyncio.to_thread(http.post, "/v1/dead-letters/high/redrive", headers=admin)
    assert answer.raise_for_status().json()["redriven"] == 2
    await ann.wait_for_events(channel, 2)
    assert [p["message_id"] for p in await whole_history(ann, channel)] == ["stored", "lost"]


async def test_many_at_once_are_few_segments_and_few_frames(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    publish = {"type": "publish", "channel": channel, "name": "said", "data": 1}
    await ann.batch([publish] * 100)
    assert_gapless(await ann.wait_for_events(channel, 100))
    batches = [message for message in ann.messages if isinstance(message, list) and message[0]["type"] == "event"]
    assert 5 < max(map(len, batches)) <= 10
    assert len(batches) <= 30


async def test_what_does_not_fit_one_frame_comes_in_several(
    stack: LocalStack, http: httpx.Client, connect: Connect, channel: str
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    # Two of them fit a frame, three do not; by HTTP ten go into the lane together, and so are stored together.
    publications = [{"channel": channel, "name": "said", "data": "x" * 11_000}] * 20
    bearer = {"Authorization": f"Bearer {dev_token(stack.url, 'bob')}"}
    (await asyncio.to_thread(http.post, "/v1/publish", json=publications, headers=bearer)).raise_for_status()
    assert_gapless(await ann.wait_for_events(channel, 20))
    assert max(segment_sizes(stack, channel)) > 2
    assert max(len(message) for message in ann.messages if isinstance(message, list)) == 2
    assert ann.largest_bytes <= SERVER_FRAME_MAX_BYTES
    await whole_history(ann, channel)
    assert ann.largest_bytes <= SERVER_FRAME_MAX_BYTES


@pytest.fixture
def sure_pace(stack: LocalStack) -> Iterator[None]:
    """Workers that hold back from 2 publications a second on, and longer: a machine with more to do reaches no 20."""
    threshold = "PACED_FROM_PER_S: Final = "
    with (
        edited(stack, "publish_worker", "channels.toml", "pace_ms = 100", "pace_ms = 300"),
        edited(stack, "publish_worker", "shared/services/publish_worker.py", f"{threshold}20", f"{threshold}2"),
    ):
        yield


async def test_a_pace_fills_segments(stack: LocalStack, connect: Connect, sure_pace: None) -> None:
    channel, together, rounds = f"ticker:{secrets.token_hex(6)}", 16, 15
    ann = await connect("ann")
    said = {"type": "publish", "channel": channel, "name": "said", "data": 1}
    await ann.batch([said])
    await eventually(lambda: segment_sizes(stack, channel))  # a worker has started: before, all waits for it
    for _ in range(rounds):
        await ann.batch([said] * together)
    await eventually(lambda: sum(segment_sizes(stack, channel)) == 1 + together * rounds)
    # Without a pace it is 3 to 6.
    assert median(segment_sizes(stack, channel)) == SEGMENT_MAX_PUBLICATIONS


async def test_conflation_sends_the_last_of_each_name(connect: Connect) -> None:
    channel = f"ticker:{secrets.token_hex(6)}"
    ann = await connect("ann", subscribe=[{"channel": channel}])
    names = ["eur", "usd", "eur", "usd", "eur"] * 10
    await ann.batch([{"type": "publish", "channel": channel, "name": n, "data": i} for i, n in enumerate(names)])

    def whole() -> list[dict[str, Any]]:
        events = {event["offset"]: event for event in ann.events(channel)}
        covered = sum(offset - event.get("covers_from", offset) + 1 for offset, event in events.items())
        return [events[offset] for offset in sorted(events)] if covered == len(names) else []

    events = await ann.wait_for(whole)
    assert len(events) < len(names)
    assert {event["name"]: event["data"] for event in events} == {"eur": 49, "usd": 48}
    before = 0
    for event in events:
        assert event["prev_offset"] == before
        assert event.get("covers_from", event["offset"]) == before + 1
        before = event["offset"]
    assert len(await whole_history(ann, channel)) == len(names)


async def test_an_empty_stream_is_what_an_unknown_channel_has(connect: Connect, channel: str) -> None:
    page = await (await connect("ann")).ask("history", channel=channel)
    assert (page["publications"], page["position"]["offset"], page["more"]) == ([], 0, False)


async def test_the_janitor_finds_who_went_without_a_word(stack: LocalStack, connect: Connect, channel: str) -> None:
    store = DynamoDbConnectionStore(boto3.client("dynamodb"), stack.outputs["ConnectionsTableName"], now_ms)
    gone, here = await connect("gus", subscribe=[{"channel": channel}]), await connect("hal")
    gone_id, here_id = gone.welcome["connection_id"], here.welcome["connection_id"]
    record = store.get(gone_id)
    assert record is not None
    await gone.close()
    await eventually(lambda: store.get(gone_id) is None)
    # As if $disconnect had never been: the record is there, and the gateway knows nothing of it.
    store.open(record)
    store.subscribe(record, events_of(channel), expires_at_s=record.expires_at_s)
    last_minute = now_ms() // 60_000 - 1
    for connection_id in (gone_id, here_id):
        store.remind(connection_id, minute=last_minute)
    store.mark_swept(last_minute - 1)
    function = stack.function_names()["janitor"]
    answer = boto3.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    assert "FunctionError" not in answer
    assert store.get(gone_id) is None
    assert store.subscribers(channel).connection_ids == []
    assert store.get(here_id) is not None
    assert store.swept_minute() >= last_minute
