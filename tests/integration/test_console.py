"""What the console shows, on the deployed stack: its figures agree with what was sent, its list with who is there."""

import asyncio
from typing import Any, Final

import boto3
import httpx
import pytest

from localstack.stack import LocalStack
from shared.adapters.cloudwatch import CloudWatchMetricSource
from shared.bootstrap import now_ms
from shared.domain.prices import PRICES
from shared.ports import Measure
from tests.integration.checks import eventually
from tests.integration.client import dev_token
from tests.integration.conftest import Connect
from tests.integration.http_session import HttpSession
from tests.integration.test_http import assert_problem
from tests.streams import streaming

SSE: Final = {"Accept": "text/event-stream"}
NDJSON: Final = {"Accept": "application/x-ndjson"}
Header = dict[str, str]
PATHS = ["/v1/metrics", "/v1/connections", "/v1/cost"]


async def measured(http: httpx.Client, admin: Header, since_ms: int) -> dict[tuple[str, str], list[float]]:
    """Return the values of each series since a period began, those of periods without any left out."""
    answer = (await asyncio.to_thread(http.get, "/v1/metrics", headers=admin)).raise_for_status().json()
    first = max(0, (since_ms - answer["from_ms"]) // (answer["period_s"] * 1000))
    return {
        (one["name"], one["statistic"]): [value for value in one["values"][first:] if value is not None]
        for one in answer["series"]
    }


async def next_period() -> int:
    """Return when the period that has just begun began: what was measured before is none of it, however late."""
    # Not one that begins at once: what ends just now writes its metrics a moment later.
    begins_ms = ((now_ms() + 2_000) // 10_000 + 1) * 10_000
    await eventually(lambda: now_ms() >= begins_ms)
    return begins_ms


async def test_figures_are_those_of_what_was_sent(
    stack: LocalStack, http: httpx.Client, admin: Header, connect: Connect, channel: str
) -> None:
    since_ms = await next_period()
    ann = await connect("ann", subscribe=[{"channel": channel}])
    session = await asyncio.to_thread(HttpSession.open, stack.url, subscribe=[{"channel": channel}])
    for number in range(7):
        await ann.publish(channel, number, priority="express" if number < 3 else "high")
    await ann.wait_for_events(channel, 7)
    headers = {"Authorization": f"Bearer {dev_token(stack.url, 'bob')}"}
    for number in range(2):
        body = {"channel": channel, "name": "said", "data": number, "priority": "express"}
        await asyncio.to_thread(http.post, "/v1/publish", json=body, headers=headers)
    await ann.wait_for_events(channel, 9)
    sent = {"Connects": 2, "Publishes": 9, "PublicationsAppended": 9}

    async def agreed() -> bool:
        found = await measured(http, admin, since_ms)
        return {name: sum(found[name, "Sum"]) for name in sent} == sent and sum(found["Deliveries", "Sum"]) >= 10

    await eventually(agreed)
    found = await measured(http, admin, since_ms)
    assert sum(found["Deliveries", "Sum"]) <= 18  # a push brings one publication or more, to each of two
    assert sum(found["Requests", "Sum"]) == 8  # hello, and what was published by frames
    p50, p90, p99 = (found["PublishToDeliverLatency", statistic] for statistic in ("p50", "p90", "p99"))
    assert len(p50) == len(p90) == len(p99) > 0
    assert all(0 < low <= middle <= high for low, middle, high in zip(p50, p90, p99, strict=True))
    await asyncio.to_thread(http.delete, session.path.removesuffix("/frames"), headers=session.headers)


async def test_errors_are_counted(http: httpx.Client, admin: Header, connect: Connect, channel: str) -> None:
    since_ms = await next_period()
    ann = await connect("ann")
    for _ in range(3):
        with pytest.raises(Exception, match="unknown_type"):
            await ann.ask("nothing")

    async def agreed() -> bool:
        found = await measured(http, admin, since_ms)
        return sum(found["RequestErrors", "Sum"]) == 3

    await eventually(agreed)


def listed(http: httpx.Client, admin: Header, channel: str) -> dict[str, dict[str, Any]]:
    """Return the connections that are in a channel, by id; each is listed once."""
    found: list[dict[str, Any]] = []
    after: dict[str, str] | None = {}
    while after is not None:
        page = http.get("/v1/connections", params=after, headers=admin).raise_for_status().json()
        found += page["connections"]
        after = {"after": page["next"]} if "next" in page else None
    here = [one for one in found if channel in one["channels"]]
    assert len({one["connection_id"] for one in here}) == len(here)
    return {one["connection_id"]: one for one in here}


async def test_connections_are_listed_by_how_they_come_until_they_end(
    stack: LocalStack, everywhere: httpx.Client, admin: Header, connect: Connect, channel: str
) -> None:
    begun_ms = now_ms()
    subscribe = [{"channel": channel}, {"channel": f"{channel}.other"}]
    ann = await connect("ann", subscribe=subscribe)
    sessions = {
        user: await asyncio.to_thread(HttpSession.open, stack.url, user_id=user, subscribe=subscribe)
        for user in ("unread", "sse", "stream", "long_poll", "short_poll")
    }

    def path(user: str) -> str:
        return sessions[user].path.removesuffix("/frames")

    sse = streaming(stack.url + sessions["sse"].stream, headers=sessions["sse"].headers | SSE)
    ndjson = streaming(stack.url + sessions["stream"].stream, headers=sessions["stream"].headers | NDJSON)
    async with sse as events, ndjson as lines:
        await asyncio.gather(
            asyncio.to_thread(sessions["long_poll"].poll, stack.url, wait_s=1),
            asyncio.to_thread(sessions["short_poll"].poll, stack.url),
        )
        found = await asyncio.to_thread(listed, everywhere, admin, channel)
        del events, lines
    transports = {one["user_id"]: one.get("transport") for one in found.values()}
    assert transports == {"ann": "websocket", **{user: user for user in sessions}, "unread": None}
    for one in found.values():
        assert one["channels"] == [channel, f"{channel}.other"]
        assert begun_ms <= one["connected_at_ms"] <= now_ms()
    assert found[ann.welcome["connection_id"]]["user_id"] == "ann"
    await ann.ask("unsubscribe", channel=f"{channel}.other")
    found = await asyncio.to_thread(listed, everywhere, admin, channel)
    assert found[ann.welcome["connection_id"]]["channels"] == [channel]
    for user, session in sessions.items():
        answer = await asyncio.to_thread(httpx.delete, stack.url + path(user), headers=session.headers)
        assert answer.status_code == 204
    assert list(await asyncio.to_thread(listed, everywhere, admin, channel)) == [ann.welcome["connection_id"]]
    await ann.close()
    await eventually(lambda: asyncio.to_thread(lambda: not listed(everywhere, admin, channel)))


async def test_who_has_not_said_who_it_is_is_listed_without_a_name(
    http: httpx.Client, admin: Header, connect: Connect
) -> None:
    await connect(None)
    page = (await asyncio.to_thread(http.get, "/v1/connections", headers=admin)).json()
    assert {"channels": [], "transport": "websocket"} in [
        {name: value for name, value in one.items() if not name.startswith("connect")} for one in page["connections"]
    ]


def billed(since_ms: int) -> dict[str, float]:
    """Return what was counted since then, by metric."""
    until_s = (now_ms() // 10_000 + 1) * 10
    measures = [Measure(price.metric) for price in PRICES]
    source = CloudWatchMetricSource(boto3.client("cloudwatch"))
    found = source.read(measures, from_s=since_ms // 1000, until_s=until_s, period_s=10)
    return {one.name: sum(periods.values()) for one, periods in zip(measures, found, strict=True)}


@pytest.mark.timeout(300)
async def test_the_units_of_one_publication_are_those_of_the_data_model(connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    await ann.publish(channel, 0, priority="high")  # whoever does the next remembers the stream
    await ann.wait_for_events(channel, 1)

    async def of_one(number: int) -> dict[str, float]:
        since_ms = await next_period()
        await ann.publish(channel, number, priority="high")
        await ann.wait_for_events(channel, number + 1)

        async def counted() -> dict[str, float]:
            found = billed(since_ms)
            # The message and its reply, and the event's push: as each has ended.
            return found if found["WebSocketMessages"] >= 3 and found["LambdaRequests"] >= 3 else {}

        return await eventually(counted)

    found = await of_one(1)
    for number in range(2, 6):
        if found["LambdaRequests"] == 3:
            break
        found = await of_one(number)  # the janitor was at work as well, with whatever other tests have left
    assert found["LambdaRequests"] == 3  # the message, the lane, fan-out
    assert found["WebSocketMessages"] == 3
    assert found["SqsFifoRequests"] == 3  # sent, received, deleted
    assert found["SqsRequests"] == 0
    assert found["EventBridgeEvents"] == 1
    assert found["DynamoDbWriteUnits"] == 1  # a segment whose ring is still short
    assert 2 <= found["DynamoDbReadUnits"] <= 4  # the connection, the subscribers; once a minute the stream and its end
    assert 0 < found["LambdaGbSeconds"] < 3
    assert found["HttpApiRequests"] == found["WebSocketConnectionMinutes"] == 0


@pytest.mark.timeout(300)
async def test_cost_rises_with_use_and_is_the_sum_of_its_items(
    stack: LocalStack, http: httpx.Client, admin: Header, connect: Connect, channel: str
) -> None:
    before = http.get("/v1/cost", headers=admin).raise_for_status().json()
    session = await asyncio.to_thread(HttpSession.open, stack.url, subscribe=[{"channel": channel}])
    ann = await connect("ann", subscribe=[{"channel": channel}])
    await ann.publish(channel, 1, priority="high")
    await ann.wait_for_events(channel, 1)
    await ann.close()
    await asyncio.to_thread(httpx.delete, stack.url + session.path.removesuffix("/frames"), headers=session.headers)
    asked = {one["what"]: one["quantity"] for one in before["items"]}
    rising = {
        "read request units",
        "write request units",
        "requests, FIFO queues",
        "custom events",
        "WebSocket messages",
        "WebSocket connection minutes",
        "requests",
        "GB-seconds, arm64",
    }

    async def risen() -> Any:
        after = (await asyncio.to_thread(http.get, "/v1/cost", headers=admin)).json()
        more = {one["what"] for one in after["items"] if one["quantity"] > asked[one["what"]]}
        return after if more >= rising else None

    after = await eventually(risen, deadline_s=100)  # an answer is a minute old at most, what it tells of a few seconds
    assert after["usd"] > before["usd"] >= 0
    assert after["usd"] == pytest.approx(sum(one["usd"] for one in after["items"]))
    assert any("local edge" in what for what in after["not_counted"])
    assert after["since_ms"] <= now_ms()


@pytest.mark.parametrize("after", ["", "x", "WyJhIl0", "a" * 1_000])
def test_a_cursor_that_is_none_is_a_problem(everywhere: httpx.Client, admin: Header, after: str) -> None:
    assert_problem(everywhere.get("/v1/connections", params={"after": after}, headers=admin), 422, "invalid_field")


@pytest.mark.parametrize("minutes", ["4", "1441", "soon"])
def test_a_time_out_of_bounds_is_a_problem(everywhere: httpx.Client, admin: Header, minutes: str) -> None:
    assert_problem(everywhere.get("/v1/metrics", params={"minutes": minutes}, headers=admin), 422, "invalid_field")


@pytest.mark.parametrize("path", PATHS)
def test_it_is_for_admins_alone(everywhere: httpx.Client, http: httpx.Client, api_key: str, path: str) -> None:
    for headers, status, name in (
        ({"Authorization": f"Bearer {dev_token(str(http.base_url), 'ann')}"}, 403, "forbidden"),
        ({"X-API-Key": api_key}, 403, "forbidden"),
        ({}, 401, "unauthenticated"),
    ):
        assert_problem(everywhere.get(path, headers=headers), status, name)


@pytest.mark.parametrize("path", PATHS)
def test_an_admin_is_answered_everywhere(everywhere: httpx.Client, admin: Header, path: str) -> None:
    assert everywhere.get(path, headers=admin).status_code == 200
