"""Who is there: on the deployed stack."""

import asyncio
import time

import httpx
import pytest

from localstack.stack import LocalStack
from shared.domain.presence import PRESENCE_GRACE_S
from tests.integration.checks import eventually
from tests.integration.client import Client, Frame, RequestError, dev_token
from tests.integration.conftest import Connect
from tests.integration.http_session import HttpSession


def told(client: Client, channel: str) -> list[tuple[str, str]]:
    """Return what has been told of whom."""
    return [(f["event"], f["member"]["user_id"]) for f in client.frames if _is_presence(f, channel)]


def _is_presence(frame: Frame, channel: str) -> bool:
    return frame.get("type") == "presence" and frame["channel"] == channel


async def members(client: Client, channel: str) -> list[str]:
    page = await client.ask("presence.get", channel=channel)
    return [member["user_id"] for member in page["members"]]


def here(channel: str) -> list[Frame]:
    return [{"channel": channel, "presence": True}]


async def test_who_comes_changes_and_goes_is_told(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=here(channel))
    bob = await connect("bob", subscribe=here(channel))
    (seen,) = bob.welcome["subscriptions"]
    assert [member["user_id"] for member in seen["presence"]["members"]] == ["ann", "bob"]
    await ann.wait_for(lambda: ("join", "bob") in told(ann, channel))
    await bob.ask("presence.update", channel=channel, status="busy", data={"mood": "x"})
    await ann.wait_for(lambda: ("update", "bob") in told(ann, channel))
    (update,) = [f for f in ann.frames if _is_presence(f, channel) and f["event"] == "update"]
    assert (update["member"]["status"], update["member"]["data"], update["count"]) == ("busy", {"mood": "x"}, 2)
    await bob.ask("unsubscribe", channel=channel)
    await ann.wait_for(lambda: ("leave", "bob") in told(ann, channel))
    assert await members(ann, channel) == ["ann"]


async def test_a_user_is_there_until_the_last_connection_has_gone_for_a_while(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=here(channel))
    bobs = [await connect("bob", subscribe=here(channel)) for _ in range(2)]
    page = await ann.ask("presence.get", channel=channel)
    assert [(member["user_id"], member["connections"]) for member in page["members"]] == [("ann", 1), ("bob", 2)]
    await bobs[0].close()
    began_s = time.monotonic()
    await bobs[1].cut()
    assert await members(ann, channel) == ["ann", "bob"]
    await ann.wait_for(lambda: ("leave", "bob") in told(ann, channel), deadline_s=60)
    assert time.monotonic() - began_s >= PRESENCE_GRACE_S - 1  # whole seconds
    assert told(ann, channel).count(("leave", "bob")) == 1


async def test_who_comes_back_in_time_was_never_away(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=here(channel))
    bob = await connect("bob", subscribe=here(channel))
    await ann.wait_for(lambda: ("join", "bob") in told(ann, channel))
    await bob.close()
    again = await connect("bob", session_id=bob.welcome["session_id"])
    assert await members(again, channel) == ["ann", "bob"]
    # What is told after the grace time comes after what would have been told at its end.
    await asyncio.sleep(PRESENCE_GRACE_S + 2)  # nothing is to come of it: there is no event to wait for
    await again.ask("presence.update", channel=channel, status="away")
    await ann.wait_for(lambda: ("update", "bob") in told(ann, channel))
    assert ("leave", "bob") not in told(ann, channel)


async def test_a_session_that_changes_its_transport_stays(stack: LocalStack, connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=here(channel))
    session = HttpSession.open(stack.url, user_id="bob", subscribe=here(channel))
    await ann.wait_for(lambda: ("join", "bob") in told(ann, channel))
    bob = await connect("bob", session_id=session.answer["session_id"])
    assert await members(bob, channel) == ["ann", "bob"]
    session.poll(stack.url)
    await bob.close()
    await asyncio.sleep(PRESENCE_GRACE_S + 2)  # nothing is to come of it: there is no event to wait for
    (reply,) = session.send(stack.url, {"type": "presence.update", "channel": channel, "status": "away"})
    assert reply["result"] == {}
    await ann.wait_for(lambda: ("update", "bob") in told(ann, channel))
    assert ("leave", "bob") not in told(ann, channel)


async def test_who_types_and_how_far_one_has_read(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=here(channel))
    bob = await connect("bob", subscribe=here(channel))
    await ann.publish(channel, 1, priority="express")
    await bob.ask("typing", channel=channel, active=True)
    await ann.wait_for(lambda: [f for f in ann.frames if f.get("type") == "typing"])
    (typing,) = [f for f in ann.frames if f.get("type") == "typing"]
    assert typing == {"type": "typing", "channel": channel, "user_id": "bob", "active": True}
    await bob.ask("ack", channel=channel, offset=1)
    await ann.wait_for(
        lambda: [f for f in ann.frames if _is_presence(f, channel) and f["member"].get("read_offset") == 1]
    )
    assert [f for f in bob.frames if f.get("type") == "typing"] == []


async def test_who_goes_on_typing_is_told_of_once(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=here(channel))
    bob = await connect("bob", subscribe=here(channel))
    went_on: Frame = {"type": "typing", "channel": channel, "active": True}
    said = [went_on] * 9 + [went_on | {"active": False}] * 9
    # One batch is met by one process: it knows of what it has passed on.
    assert {str(reply["result"]) for reply in await bob.batch([*said, went_on])} == {"{}"}
    await bob.publish(channel, "that was all", priority="express")
    await ann.wait_for_events(channel, 1)

    def told() -> list[bool]:
        return sorted(frame["active"] for frame in ann.frames if frame.get("type") == "typing")

    await ann.wait_for(lambda: len(told()) >= 2)
    assert told() == [False, True]  # nobody promises their order


async def test_typing_without_an_id_is_not_answered(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=here(channel))
    # What is asked next is answered, and nothing came before.
    answer = await ann.answer(f'[{{"type":"typing","channel":"{channel}","active":true}},{{"type":"ping","id":"p"}}]')
    assert answer == {"type": "pong", "id": "p"}


async def test_only_who_is_there_says_something_of_itself(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    for request in ({"status": "away"}, {"data": 1}):
        with pytest.raises(RequestError) as refused:
            await ann.ask("presence.update", channel=channel, **request)
        assert (refused.value.error["code"], refused.value.error["name"]) == (1006, "not_subscribed")


async def test_who_is_there_by_http(
    stack: LocalStack, connect: Connect, channel: str, everywhere: httpx.Client
) -> None:
    await connect("ann", subscribe=here(channel))
    path = f"/v1/channels/{channel}/presence"

    async def told_by_http() -> bool:
        bearer = {"Authorization": f"Bearer {dev_token(stack.url, 'eve')}"}
        page = everywhere.get(path, headers=bearer).raise_for_status().json()
        return [member["user_id"] for member in page["members"]] == ["ann"]

    assert await eventually(told_by_http)
    eve = {"Authorization": f"Bearer {dev_token(stack.url, 'eve', caps={'*': ['subscribe']})}"}
    assert everywhere.get(path, headers=eve).status_code == 403
