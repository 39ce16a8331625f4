"""Centrifugo's JavaScript client in Chromium, as it comes from npm, beside a client of ours, on the deployed stack."""

import asyncio
import json
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page
from websockets.asyncio.client import connect

from localstack.stack import LocalStack
from tests.centrifugo.conformance import PYTHON
from tests.centrifugo.conftest import Refusals
from tests.centrifugo.javascript import call, page_at
from tests.clients.network import Network
from tests.integration.client import Client, dev_token

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning"),  # the app is served by this process
]


@pytest.fixture
async def page(browser: Browser, network: Network) -> AsyncIterator[Page]:
    async with page_at(browser, f"{network.url}/healthz") as page:
        yield page


async def test_what_the_gateway_refuses_is_recovered_before_anything_later_comes(
    theirs: LocalStack, refusals: Refusals, network: Network, page: Page, ours: Client
) -> None:
    channel = f"exact:{secrets.token_hex(6)}"
    token = dev_token(theirs.url, "ann", caps={"exact:*": ["subscribe"]})
    await call(page, "open_", network.websocket_url, token, channel)
    await ours.publish(channel, 1, priority="express")
    await call(page, "until", "publication", 1)
    refusals.left = 1
    for number in (2, 3, 4):
        await ours.publish(channel, number, priority="express")
    seen = await call(page, "until", "publication", 4)
    assert [entry["data"] for entry in seen] == [1, 2, 3, 4]
    assert [context["code"] for context in await call(page, "of", "subscribing")] == [0, 2500]
    assert [context.get("recovered", False) for context in await call(page, "of", "subscribed")] == [False, True]


async def test_what_it_is_told_and_what_it_recovers_is_deltas(
    theirs: LocalStack, network: Network, page: Page, ours: Client
) -> None:
    channel, many = f"exact:{secrets.token_hex(6)}", 5
    token = dev_token(theirs.url, "ann", caps={"exact:*": ["subscribe"]})
    await call(page, "open_", network.websocket_url, token, channel, {"delta": "fossil"})

    def document(number: int) -> dict[str, Any]:
        return {"rows": [f"née {n}" for n in range(40)], "changed": number}

    frames = [{"type": "publish", "channel": channel, "name": "message", "data": document(n)} for n in range(many)]
    await ours.batch(frames)
    await call(page, "until", "publication", many)
    network.away()
    await ours.batch(frames)
    while (await ours.ask("history", channel=channel, limit=1))["position"]["offset"] < 2 * many:
        await asyncio.sleep(0.2)  # what waits in a lane is an event to nobody here
    network.back()
    seen = await call(page, "until", "publication", 2 * many)
    assert [entry["data"] for entry in seen] == [document(n) for n in range(many)] * 2
    (_, subscribed) = await call(page, "until", "subscribed", 2)
    assert subscribed["recovered"]
    stats = await call(page, "() => subscription.deltaStats()")
    assert stats["numPublications"] == 2 * many
    # What is recovered is one reply; what is pushed, a message for each batch that the lane has handed out.
    assert stats["numDeltaPayloads"] >= many - 1


async def test_who_is_thrown_out_stays_out(theirs: LocalStack, network: Network, page: Page) -> None:
    channel = f"room:{secrets.token_hex(6)}"
    await call(page, "open_", network.websocket_url, dev_token(theirs.url, "cho"), channel)
    admin = {"Authorization": f"Bearer {dev_token(theirs.url, 'root', caps={'*': ['admin']})}"}
    async with httpx.AsyncClient(base_url=theirs.url, headers=admin, timeout=30) as rest:
        (await rest.delete("/v1/users/cho/connections")).raise_for_status()
    (context,) = await call(page, "until", "client disconnected", 1)
    assert context["code"] == 3503


async def test_a_server_calls_by_the_library_for_servers(
    theirs: LocalStack, network: Network, page: Page, tmp_path: Path
) -> None:
    channel = f"room:{secrets.token_hex(6)}"
    await call(page, "open_", network.websocket_url, dev_token(theirs.url, "dan"), channel)
    admin = {"Authorization": f"Bearer {dev_token(theirs.url, 'root', caps={'*': ['admin']})}"}
    async with httpx.AsyncClient(base_url=theirs.url, headers=admin, timeout=30) as rest:
        caps = {"room:*": ["publish", "history", "presence"], "*": ["admin"]}
        made = (await rest.post("/v1/keys", json={"name": "shop", "caps": caps})).raise_for_status()
    script = str(Path(__file__).with_name("server.py"))
    line = [str(PYTHON), script, f"{theirs.url}/v1/centrifugo", made.json()["key"], channel, "dan"]
    server = await asyncio.create_subprocess_exec(*line, stdout=subprocess.PIPE, cwd=tmp_path)
    told, _ = await server.communicate()
    assert server.returncode == 0
    assert json.loads(told) == {
        "publish": 1,
        "broadcast": [2, 107],
        "batch": [3, 1],
        "history": [{"n": 1}, {"n": 2}, {"n": 3}],
        "presence": ["dan"],
        "channels": 1,
        "info": ["tidewire", *[True] * 4],
        "removed": [],
    }
    (context,) = await call(page, "until", "client disconnected", 1)
    assert (context["code"], context["reason"]) == (4501, "closing time")
    assert [one["data"] for one in await call(page, "of", "publication")] == [{"n": 1}, {"n": 2}, {"n": 3}]
    by_the_server = [await call(page, "of", f"client {kind}") for kind in ("subscribed", "publication", "unsubscribed")]
    (subscribed, publication, unsubscribed) = (
        [one for one in seen if one["channel"] == "room:by-the-server"] for seen in by_the_server
    )
    assert [(one["data"], one["recoverable"]) for one in subscribed] == [({"why": "so"}, True)]
    assert [one["data"] for one in publication] == [{"n": 4}]
    assert len(unsubscribed) == 1


async def test_what_ours_has_is_told_in_their_words(theirs: LocalStack, network: Network, page: Page) -> None:
    token = dev_token(theirs.url, "ann", caps={"room:*": ["subscribe"], "command:*": ["command"]})
    await call(page, "open_", network.websocket_url, token, f"room:{secrets.token_hex(6)}")
    denied = "() => subscription.publish(1).catch((error) => error.code)"
    assert await call(page, denied) == 103
    unknown = "() => centrifuge.rpc('no.such', {}).catch((error) => error.code)"
    assert await call(page, unknown) == 104


async def test_both_protocols_on_one_socket_end_it(theirs: LocalStack) -> None:
    url = theirs.url.replace("http", "ws", 1) + "/v1/ws"
    token = dev_token(theirs.url, "eve")
    connect_ = {"id": 1, "connect": {"token": token}}
    hello = {"id": 1, "type": "hello", "protocol": 1, "token": token}
    for first, second, told in (
        (connect_, hello, "protocol_violation"),
        (hello, connect_, "3501"),
        (connect_, 5, "3501"),
    ):
        async with connect(url, proxy=None) as socket:
            await socket.send(json.dumps(first))
            await socket.recv()
            await socket.send(json.dumps(second))
            async with asyncio.timeout(30):
                lines = [str(line) async for line in socket]  # until it is closed
        assert told in lines[-1]
