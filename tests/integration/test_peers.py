"""Sending to users and connections, receipts, purging, and limits: on the deployed stack."""

import secrets

import httpx
import pytest

from localstack.stack import LocalStack
from tests.integration.checks import eventually
from tests.integration.client import Client, RequestError, dev_token
from tests.integration.conftest import Connect


def receipts(client: Client) -> list[tuple[str, str]]:
    return [(f["message_id"], f["status"]) for f in client.frames if f.get("type") == "receipt"]


async def test_what_is_sent_to_a_user_reaches_all_connections_and_is_kept(connect: Connect) -> None:
    name = secrets.token_hex(4)
    ann, bobs = await connect("ann"), [await connect(f"bob-{name}") for _ in range(2)]
    channel = f"user:bob-{name}"
    sent = await ann.ask("send", to={"user_id": f"bob-{name}"}, name="hi", data=1, message_id="m1", receipt=True)
    assert sent == {"message_id": "m1", "status": "accepted"}
    for bob in bobs:
        (event,) = await bob.wait_for_events(channel, 1)
        assert (event["data"], event["sender"]["user_id"]) == (1, "ann")
    page = await bobs[0].ask("history", channel=channel)
    assert [p["message_id"] for p in page["publications"]] == ["m1"]
    await ann.wait_for(lambda: ("m1", "stored") in receipts(ann))
    await bobs[1].ask("ack", channel=channel, offset=1)
    await ann.wait_for(lambda: ("m1", "read") in receipts(ann))
    (read,) = [f for f in ann.frames if f.get("status") == "read"]
    assert (read["channel"], read["user_id"]) == (channel, f"bob-{name}")


async def test_what_is_sent_to_a_connection_reaches_it_alone(connect: Connect) -> None:
    ann, one, other = await connect("ann"), await connect("cyd"), await connect("cyd")
    to = {"connection_id": one.welcome["connection_id"]}
    await ann.ask("send", to=to, name="hi", data=1)
    await one.wait_for(lambda: one.events("user:cyd"))
    assert one.events("user:cyd")[0]["ephemeral"] is True
    # What is sent to both afterwards comes after it: then the other one has not been sent it.
    await ann.ask("send", to={"user_id": "cyd"}, name="hi", data=2)
    await other.wait_for_events("user:cyd", 1)
    assert [event["data"] for event in other.events("user:cyd")] == [2]


async def test_a_peer_that_has_gone_is_told(connect: Connect) -> None:
    ann, dan = await connect("ann"), await connect("dan")
    connection_id = dan.welcome["connection_id"]
    await dan.close()

    async def no_such_peer() -> bool:
        try:
            await ann.ask("send", to={"connection_id": connection_id}, name="hi", data=1)
        except RequestError as refused:
            return bool(refused.error["name"] == "no_such_peer")
        return False

    assert await eventually(no_such_peer)


async def test_sending_needs_its_capability(connect: Connect) -> None:
    eve = await connect("eve", caps={"*": ["publish", "subscribe"]})
    for to in ({"user_id": "ann"}, {"connection_id": eve.welcome["connection_id"]}):
        with pytest.raises(RequestError) as refused:
            await eve.ask("send", to=to, name="hi", data=1)
        assert refused.value.error["name"] == "forbidden"


async def test_a_receipt_of_express_comes_too(connect: Connect, channel: str) -> None:
    ann = await connect("ann")
    published = await ann.publish(channel, 1, priority="express", receipt=True, message_id="e1")
    await ann.wait_for(lambda: receipts(ann))
    (receipt,) = [f for f in ann.frames if f.get("type") == "receipt"]
    assert (receipt["status"], receipt["position"]) == ("stored", published["position"])


async def test_one_publication_for_many_channels(stack: LocalStack, connect: Connect, api_key: str) -> None:
    channels = [f"room:{secrets.token_hex(6)}" for _ in range(3)]
    ann = await connect("ann", subscribe=[{"channel": channel} for channel in channels])
    body = {"channels": [*channels, "broadcast:all"], "name": "said", "data": "to all", "message_id": "x"}
    answer = httpx.post(f"{stack.url}/v1/publish", json=body, headers={"X-API-Key": api_key}, timeout=30)
    assert [result["status"] for result in answer.json()["results"]] == ["accepted"] * 4
    for channel in channels:
        assert (await ann.wait_for_events(channel, 1))[0]["data"] == "to all"
    await ann.wait_for(lambda: ann.events("broadcast:all"))


async def test_a_purge_begins_the_stream_anew(stack: LocalStack, connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    await ann.publish(channel, 1)
    (event,) = await ann.wait_for_events(channel, 1)
    path = f"{stack.url}/v1/channels/{channel}"

    def purge(**token: object) -> int:
        bearer = {"Authorization": f"Bearer {dev_token(stack.url, 'root', **token)}"}
        return httpx.delete(path, headers=bearer, timeout=30).status_code

    assert purge() == 403
    assert purge(caps={"*": ["admin"]}) == 204
    notice = await ann.wait_for(lambda: [f for f in ann.frames if f.get("event") == "resubscribe"])
    assert (notice[0]["channel"], notice[0]["reason"]) == (channel, "purged")
    since = {"epoch": event["epoch"], "offset": 1}
    again = await ann.ask("subscribe", channel=channel, since=since)
    assert (again["recovered"], again["publications"], again["position"]["offset"]) == (False, [], 0)
    assert (await ann.ask("sync", positions={channel: since}))["behind"] == {channel: again["position"]}
    published = await ann.publish(channel, 2, priority="express")
    assert published["position"] == {"epoch": again["position"]["epoch"], "offset": 1}


async def test_a_flood_is_limited_and_told_when_to_come_back(connect: Connect) -> None:
    ann, channel = await connect("ann"), f"vote:{secrets.token_hex(6)}"
    vote = {"type": "publish", "channel": channel, "name": "voted", "data": 1}
    replies = await ann.batch([vote] * 100)
    refused = [reply["error"] for reply in replies if "error" in reply]
    assert {error["name"] for error in refused} == {"rate_limited"}
    assert all(error["retry_after_ms"] >= 1 and error["retryable"] for error in refused)
    assert 5 <= len(replies) - len(refused) < 50

    async def accepted() -> bool:
        try:
            return bool((await ann.ask("publish", channel=channel, name="voted", data=2))["status"] == "accepted")
        except RequestError as again:
            assert again.error["name"] == "rate_limited"
            return False

    assert await eventually(accepted)
