"""What is kept no longer: beyond a channel's number of publications, beyond its time, and when all of it has gone."""

import secrets
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from localstack.stack import LocalStack
from shared.bootstrap import now_ms
from shared.contract import ENV_STREAMS_TABLE, OUTPUT_TABLE_NAMES
from tests.integration.client import Client, Frame
from tests.integration.conftest import Connect
from tests.integration.edited import edited

HEADING = "[namespaces.room]"


@pytest.fixture
def brief(stack: LocalStack) -> Iterator[str]:
    """A channel that keeps 5 publications: no namespace does by default."""
    settings = f"[namespaces.brief]\nhistory_count = 5\n\n{HEADING}"
    with edited(stack, "ws_message", "channels.toml", HEADING, settings):
        yield f"brief:{secrets.token_hex(6)}"


async def kept(client: Client, channel: str, **fields: Any) -> list[int]:
    page = await client.ask("history", channel=channel, **fields)
    return [publication["data"] for publication in page["publications"]]


async def recovered(client: Client, channel: str, position: Frame, offset: int) -> list[int] | None:
    """Return what a subscription since an offset brings; ``None`` if it is refused."""
    answer = await client.ask("subscribe", channel=channel, since={**position, "offset": offset})
    data = [publication["data"] for publication in answer["publications"]]
    assert answer["recovered"] or data == []
    return data if answer["recovered"] else None


async def fill(client: Client, channel: str, count: int) -> Frame:
    """Publish 1 to ``count``, a segment each; return the last one's position."""
    position: Frame = {}
    for number in range(1, count + 1):
        position = (await client.publish(channel, number, priority="express"))["position"]
    return position


async def test_of_a_channel_its_last_publications_are_kept(connect: Connect, brief: str) -> None:
    ann = await connect("ann")
    position = await fill(ann, brief, 12)
    assert await kept(ann, brief) == [8, 9, 10, 11, 12]
    assert await kept(ann, brief, reverse=True) == [12, 11, 10, 9, 8]
    assert await kept(ann, brief, since={**position, "offset": 3}) == [8, 9, 10, 11, 12]
    assert await recovered(ann, brief, position, 7) == [8, 9, 10, 11, 12]
    assert await recovered(ann, brief, position, 6) is None


async def test_what_has_had_its_time_is_kept_no_longer(stack: LocalStack, connect: Connect, channel: str) -> None:
    ann = await connect("ann")
    position = await fill(ann, channel, 5)
    table = boto3.resource("dynamodb").Table(stack.outputs[OUTPUT_TABLE_NAMES[ENV_STREAMS_TABLE]])
    for offset in (1, 2):
        table.update_item(
            Key={"pk": log(channel, position), "sk": offset},
            UpdateExpression="SET expires_at_s = :now",
            ExpressionAttributeValues={":now": now_ms() // 1000},
        )
    assert await kept(ann, channel) == [3, 4, 5]
    assert await kept(ann, channel, reverse=True) == [5, 4, 3]
    assert await recovered(ann, channel, position, 2) == [3, 4, 5]
    assert await recovered(ann, channel, position, 1) is None


async def test_a_stream_of_which_time_has_left_nothing_begins_anew(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    ann = await connect("ann")
    position = await fill(ann, channel, 2)
    table = boto3.resource("dynamodb").Table(stack.outputs[OUTPUT_TABLE_NAMES[ENV_STREAMS_TABLE]])
    for offset in (1, 2):
        table.delete_item(Key={"pk": log(channel, position), "sk": offset})
    table.update_item(
        Key={"pk": channel, "sk": 0},
        UpdateExpression="SET used_at_ms = :long_ago",
        ExpressionAttributeValues={":long_ago": now_ms() - 3_600_000},
    )
    assert await recovered(ann, channel, position, 2) is None
    # By a lane: the function that has just published would take its own end for the end, for a minute.
    await ann.publish(channel, 3)
    (event,) = await ann.wait_for_events(channel, 1)
    assert (event["offset"], event["prev_offset"]) == (1, 0)
    assert event["epoch"] != position["epoch"]


def log(channel: str, position: Frame) -> str:
    """Return the key under which the segments of a channel's stream lie."""
    _generation, _, epoch = position["epoch"].partition("-")
    return f"{channel}#{epoch}"
