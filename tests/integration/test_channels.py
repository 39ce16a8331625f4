"""Channels over real sockets, queues, bus and tables: what is published is pushed, kept, recovered, each once."""

import asyncio
from functools import partial
from typing import Any

import pytest

from shared.domain.segment import RING_SIZE
from tests.integration.checks import assert_gapless, whole_history
from tests.integration.client import Client, Frame, RequestError
from tests.integration.conftest import Connect

PRIORITIES = ("normal", "high", "express", "low")


def said(publications: list[Frame]) -> list[Any]:
    return [publication["data"] for publication in publications]


def as_kept(event: Frame) -> Frame:
    return {name: value for name, value in event.items() if name != "type"}


async def fill(client: Client, channel: str, count: int) -> list[Frame]:
    """Publish 0 to count - 1 in order, and wait until all are in the stream."""
    for start in range(0, count, 100):
        numbers = range(start, min(start + 100, count))
        await client.batch([{"type": "publish", "channel": channel, "name": "said", "data": n} for n in numbers])
    return await client.wait_for_events(channel, count)


async def test_everybody_receives_everything_of_every_priority(connect: Connect, channel: str) -> None:
    ann, bob = await connect("ann"), await connect("bob")
    for client in (ann, bob):
        assert (await client.ask("subscribe", channel=channel))["position"]["offset"] == 0
    for number in range(12):
        publisher = (ann, bob)[number % 2]
        await publisher.publish(channel, {"number": number}, priority=PRIORITIES[number % 4], message_id=f"m{number}")
    received = [await client.wait_for_events(channel, 12) for client in (ann, bob)]
    assert received[0] == received[1]
    assert_gapless(received[0])
    assert {event["priority"] for event in received[0]} == set(PRIORITIES)
    for event in received[0]:
        number = event["data"]["number"]
        publisher = (ann, bob)[number % 2]
        sender = {"user_id": publisher.welcome["user_id"], "connection_id": publisher.welcome["connection_id"]}
        assert (event["sender"], event["message_id"], event["name"]) == (sender, f"m{number}", "said")
    assert await whole_history(ann, channel) == [as_kept(event) for event in received[0]]


async def test_history_goes_both_ways_by_pages_and_from_a_position(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    epoch = (await fill(ann, channel, 12))[0]["epoch"]

    async def read(**fields: Any) -> tuple[list[Any], bool]:
        page = await ann.ask("history", channel=channel, **fields)
        assert page["position"] == {"epoch": epoch, "offset": 12}
        return said(page["publications"]), page["more"]

    assert await read(limit=5) == ([0, 1, 2, 3, 4], True)
    assert await read(limit=5, since={"epoch": epoch, "offset": 5}) == ([5, 6, 7, 8, 9], True)
    assert await read(limit=5, since={"epoch": epoch, "offset": 10}) == ([10, 11], False)
    assert await read(limit=5, reverse=True) == ([11, 10, 9, 8, 7], True)
    assert await read(limit=5, reverse=True, since={"epoch": epoch, "offset": 4}) == ([2, 1, 0], False)
    assert await read(since={"epoch": "another", "offset": 0}) == ([], False)
    assert_gapless(await whole_history(ann, channel, limit=5))


async def test_recovery_is_everything_that_was_missed(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    epoch = (await fill(ann, channel, 7))[0]["epoch"]
    bob = await connect("bob")
    result = await bob.ask("subscribe", channel=channel, since={"epoch": epoch, "offset": 4})
    assert (result["recovered"], said(result["publications"])) == (True, [4, 5, 6])
    assert result["position"] == {"epoch": epoch, "offset": 7}
    assert "more" not in result
    assert_gapless(result["publications"], first=5)


async def test_recovery_too_long_for_a_frame_begins_without_a_hole_and_goes_on_with_history(
    connect: Connect, channel: str
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    for number in range(4):
        await ann.publish(channel, {"number": number, "text": "x" * 12_000})
    epoch = (await ann.wait_for_events(channel, 4))[0]["epoch"]
    bob = await connect("bob")
    result = await bob.ask("subscribe", channel=channel, since={"epoch": epoch, "offset": 1})
    assert (result["recovered"], result["more"], result["position"]["offset"]) == (True, True, 4)
    begun = result["publications"]
    page = await bob.ask("history", channel=channel, since={"epoch": epoch, "offset": begun[-1]["offset"]})
    assert_gapless(begun + page["publications"], first=2)
    assert page["publications"][-1]["offset"] == 4


async def test_recovery_is_refused_whole_for_another_epoch_and_beyond_the_limit(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    epoch = (await fill(ann, channel, 302))[0]["epoch"]
    bob = await connect("bob")
    for since in ({"epoch": "another", "offset": 300}, {"epoch": epoch, "offset": 1}, {"epoch": epoch, "offset": 303}):
        result = await bob.ask("subscribe", channel=channel, since=since)
        assert (result["recovered"], result["publications"]) == (False, [])
        assert result["position"] == {"epoch": epoch, "offset": 302}
    refused = await bob.ask("subscribe", channel=channel, since={"epoch": epoch, "offset": 1}, history=2)
    assert (refused["recovered"], said(refused["publications"])) == (False, [300, 301])
    just = await bob.ask("subscribe", channel=channel, since={"epoch": epoch, "offset": 2})
    assert just["recovered"] is True


async def test_sync_tells_which_streams_go_further(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    epoch = (await fill(ann, channel, 3))[0]["epoch"]

    async def behind(known: Frame) -> Frame:
        found: Frame = (await ann.ask("sync", positions={channel: known}))["behind"]
        return found

    end = {"epoch": epoch, "offset": 3}
    assert await behind({"epoch": epoch, "offset": 2}) == {channel: end}
    assert await behind({"epoch": "another", "offset": 3}) == {channel: end}
    assert await behind(end) == {}


async def test_who_has_unsubscribed_receives_nothing_more(connect: Connect, channel: str) -> None:
    ann, bob = [await connect(user_id, subscribe=[{"channel": channel}]) for user_id in ("ann", "bob")]
    await ann.publish(channel, 1, priority="express")
    await bob.wait_for_events(channel, 1)
    assert await bob.ask("unsubscribe", channel=channel) == {}
    # Express fans out before it answers, so what bob was to receive would be there.
    await ann.publish(channel, 2, priority="express")
    await ann.wait_for_events(channel, 2)
    await bob.ask("sync", positions={})
    assert said(bob.events(channel)) == [1]


async def test_a_batch_is_handled_in_order_and_answered_by_one_array(connect: Connect, channel: str) -> None:
    ann = await connect("ann")
    replies = await ann.batch(
        [
            {"type": "history", "channel": channel},
            {"type": "publish", "channel": channel, "name": "said", "data": 1, "priority": "express"},
            {"type": "subscribe", "channel": channel, "history": 1},
            {"type": "ping"},
            {"type": "nonsense"},
            {"type": "history", "channel": channel},
        ]
    )
    assert ann.messages[-1] == replies
    assert [reply["type"] for reply in replies] == ["reply", "reply", "reply", "pong", "reply", "reply"]
    assert replies[0]["result"]["publications"] == []
    assert said(replies[2]["result"]["publications"]) == [1]
    assert replies[4]["error"]["name"] == "unknown_type"
    assert said(replies[5]["result"]["publications"]) == [1]


async def test_a_ping_is_answered_without_a_function(connect: Connect) -> None:
    ann = await connect("ann")
    assert await ann.answer('{"type": "ping"}') == {"type": "pong"}
    assert await ann.answer('{"type": "ping", "id": 5}') == {"type": "pong"}  # the gateway can't echo the id


@pytest.mark.parametrize("priority", ["express", "high"])
async def test_a_publish_that_is_repeated_is_stored_once_and_answered_alike(
    connect: Connect, channel: str, priority: str
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    await ann.publish(channel, "before")
    await ann.wait_for_events(channel, 1)  # or express would overtake it
    first = await ann.publish(channel, "once", message_id="m", priority=priority)
    await ann.wait_for_events(channel, 2)
    again = await ann.publish(channel, "once", message_id="m", priority=priority, retry=True)
    assert again == first
    # By another lane, so that it is not SQS that drops it.
    await ann.publish(channel, "once", message_id="m", priority="low", retry=True)
    await ann.publish(channel, "after", priority="low")
    events = await ann.wait_for_events(channel, 3)
    assert said(events) == ["before", "once", "after"]
    assert said(await whole_history(ann, channel)) == ["before", "once", "after"]


@pytest.mark.parametrize("priority", ["express", "low"])
async def test_a_repeat_is_known_again_however_much_came_between(connect: Connect, channel: str, priority: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    once: Frame = {"data": "once", "message_id": "m", "receipt": True}
    await ann.publish(channel, **once)
    await ann.wait_for_events(channel, 1)
    between = {"type": "publish", "channel": channel, "name": "said", "data": "between"}
    await ann.batch([between] * (RING_SIZE + 6))
    await ann.wait_for_events(channel, RING_SIZE + 7)

    def told() -> list[Frame]:
        return [f["position"] for f in ann.frames if f.get("type") == "receipt" and f["message_id"] == "m"]

    again = await ann.publish(channel, **once, priority=priority, retry=True)
    await ann.wait_for(lambda: len(told()) == 2)
    first, repeat = told()
    assert first == repeat
    assert first["offset"] == 1
    assert again.get("position", first) == first
    assert said(await whole_history(ann, channel)) == ["once", *["between"] * (RING_SIZE + 6)]


async def test_an_id_is_another_users_own(connect: Connect, channel: str) -> None:
    ann, bob = [await connect(user_id, subscribe=[{"channel": channel}]) for user_id in ("ann", "bob")]
    await asyncio.gather(*(client.publish(channel, "mine", message_id="m") for client in (ann, bob)))
    events = await ann.wait_for_events(channel, 2)
    assert {event["sender"]["user_id"] for event in events} == {"ann", "bob"}


async def test_express_answers_with_the_position(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    for offset in (1, 2):
        result = await ann.publish(channel, offset, priority="express", message_id=f"m{offset}")
        assert (result["message_id"], result["position"]["offset"]) == (f"m{offset}", offset)
        assert "status" not in result
        assert len(await whole_history(ann, channel)) == offset
    assert (await ann.publish(channel, 3))["status"] == "accepted"


async def test_ephemeral_events_are_pushed_and_not_kept(connect: Connect, channel: str) -> None:
    ann, bob = [await connect(user_id, subscribe=[{"channel": channel}]) for user_id in ("ann", "bob")]
    await ann.publish(channel, {"x": 1, "y": 2}, ephemeral=True)
    for client in (ann, bob):
        [event] = await client.wait_for(partial(client.events, channel))
        assert event["ephemeral"] is True
        assert event["data"] == {"x": 1, "y": 2}
        assert not {"epoch", "offset", "prev_offset"} & event.keys()
    assert await whole_history(ann, channel) == []


async def test_capabilities_decide_about_each_channel(connect: Connect, channel: str) -> None:
    ann = await connect("ann", caps={channel: ["subscribe"], f"{channel}.*": ["publish"]})
    await ann.ask("subscribe", channel=channel)
    await ann.publish(f"{channel}.sub", 1)
    for type_, fields in (
        ("publish", {"channel": channel, "name": "said", "data": 1}),
        ("history", {"channel": channel}),
        ("subscribe", {"channel": channel, "history": 1}),
        ("subscribe", {"channel": f"{channel}.sub"}),
        ("subscribe", {"channel": "user:bob"}),
        ("sync", {"positions": {f"{channel}.sub": {"epoch": "e", "offset": 0}}}),
    ):
        with pytest.raises(RequestError, match="1005 forbidden"):
            await ann.ask(type_, **fields)
