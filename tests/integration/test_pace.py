"""The pace of a namespace: from 20 publications a second on a channel's frames are held back, and fuller."""

import secrets
from collections.abc import Iterator

import pytest

from localstack.stack import LocalStack
from tests.integration.client import Client
from tests.integration.conftest import Connect
from tests.integration.edited import edited

FIVE = [f"five {number}" for number in range(5)]


@pytest.fixture(scope="module", autouse=True)
def long_pace(stack: LocalStack) -> Iterator[None]:
    """Five requests, one after the other, take longer than 100 ms, and on no machine longer than a second."""
    with edited(stack, "publish_worker", "channels.toml", "pace_ms = 100", "pace_ms = 1_000"):
        yield


async def publish(client: Client, channel: str, *names: str) -> None:
    """Publish one of each name, so that nothing is conflated."""
    await client.batch([{"type": "publish", "channel": channel, "name": name, "data": 1} for name in names])


async def publish_one(client: Client, channel: str) -> None:
    """Return when it has come."""
    seen = len(client.events(channel))
    await publish(client, channel, "one")
    await client.wait_for(lambda: any(event["name"] == "one" for event in client.events(channel)[seen:]))


async def frames_of_five(client: Client, channel: str) -> list[list[str]]:
    """Return how five events come that are published one by one, right behind one that has come."""
    await publish_one(client, channel)
    before = len(client.messages)
    for name in FIVE:
        await publish(client, channel, name)

    def frames() -> list[list[str]]:
        messages = (message if isinstance(message, list) else [message] for message in client.messages[before:])
        found = [[frame["name"] for frame in message] for message in messages if message[0].get("type") == "event"]
        return found if sum(map(len, found)) == len(FIVE) else []

    return await client.wait_for(frames)


# The rate is what came in the last 2 to 3 s, over 2: all that there is in the first case, 37, is below 20 a second.
@pytest.mark.parametrize(("before", "paced"), [(30, False), (50, True)])
async def test_a_channel_is_held_back_from_20_a_second_on(connect: Connect, before: int, paced: bool) -> None:
    channel = f"ticker:{secrets.token_hex(6)}"
    ann = await connect("ann", subscribe=[{"channel": channel}])
    await publish_one(ann, channel)  # a worker has started: else what comes before is long ago when it has
    await publish(ann, channel, *(f"before {number}" for number in range(before)))
    await ann.wait_for_events(channel, 1 + before)
    frames = await frames_of_five(ann, channel)
    assert [name for frame in frames for name in frame] == FIVE
    assert (len(frames) == 1) is paced, frames
