"""Centrifugo's JavaScript client over each of its transports, in Chromium and in Node: cut off, and back.

The page is of another origin than what it connects to.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Browser, Page

from localstack.stack import LocalStack
from tests.centrifugo.javascript import Node, call, node, page_at
from tests.clients.network import Network
from tests.integration.client import Client, dev_token

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning"),  # the app is served by this process
]


@pytest.fixture(params=["chromium", "node"])
async def where(request: pytest.FixtureRequest, browser: Browser, theirs: LocalStack) -> AsyncIterator[Page | Node]:
    async with AsyncExitStack() as opened:
        place = node() if request.param == "node" else page_at(browser, f"{theirs.url}/healthz")
        yield await opened.enter_async_context(place)


@pytest.mark.parametrize("transport", ["websocket", "http_stream", "sse"])
async def test_both_see_each_other_and_what_is_missed_while_it_is_cut_off_is_recovered(
    theirs: LocalStack, network: Network, ours: Client, where: Page | Node, transport: str
) -> None:
    channel = f"room:{secrets.token_hex(6)}"
    emulated = f"{network.url}/v1/stream/centrifugo/{transport}"
    endpoint = network.websocket_url if transport == "websocket" else emulated
    endpoints = [{"transport": transport, "endpoint": endpoint}]
    token = dev_token(theirs.url, "ann")
    await ours.ask("subscribe", channel=channel, presence=True)
    options = {"emulationEndpoint": f"{network.url}/v1/centrifugo/emulation"}
    await call(where, "open_", endpoints, token, channel, options)
    (connected,) = await call(where, "of", "client connected")
    assert connected["transport"] == transport

    await call(where, "(data) => subscription.publish(data)", "theirs")
    (event,) = await ours.wait_for_events(channel, 1)
    assert (event["data"], event["sender"]["user_id"]) == ("theirs", "ann")
    answer = await ours.ask("presence.get", channel=channel)
    assert [member["user_id"] for member in answer["members"]] == ["ann", "bob"]
    members = await call(where, "() => subscription.presence()")
    assert sorted(client["user"] for client in members["clients"].values()) == ["ann", "bob"]

    expected = ["theirs"]
    for round_ in range(2):
        network.away()
        missed = [f"{round_}.{number}" for number in range(3)]
        for data in missed:
            await ours.publish(channel, data, priority="express")
        network.back()
        await call(where, "until", "subscribed", 2 + round_)
        await ours.publish(channel, f"{round_}.live", priority="express")
        expected += [*missed, f"{round_}.live"]
        seen = await call(where, "published", expected[-1])
    # What comes just after the answer to `subscribe` may come twice.
    assert list(dict.fromkeys(entry["data"] for entry in seen)) == expected
    assert [seen[0]["info"]["user"], seen[-1]["info"]["user"]] == ["ann", "bob"]
    subscribed = await call(where, "of", "subscribed")
    assert [context.get("recovered", False) for context in subscribed] == [False, True, True]
    history = await call(where, "() => subscription.history({limit: 20})")
    assert [entry["data"] for entry in history["publications"]] == expected
