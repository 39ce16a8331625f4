"""What the console shows, over HTTP: by admins, within bounds."""

from collections.abc import AsyncIterator

import httpx
import pytest

from shared.adapters.memory import MemoryMetricSource
from shared.bootstrap import Services, now_ms
from shared.ports import Measure
from shared.protocol.rest import ConnectionsAnswer, CostAnswer, MetricsAnswer
from tests.unit.functions.conftest import add_key, services_of
from tests.unit.functions.test_http_app import client_of, problem_of
from tests.unit.stack import MemoryStack

PATHS = ["/v1/metrics", "/v1/connections", "/v1/cost"]


@pytest.fixture
def services(stack: MemoryStack) -> Services:
    return services_of(stack)


@pytest.fixture
async def http(stack: MemoryStack, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(services) as client:
        client.headers["Authorization"] = f"Bearer {stack.token('root', {'*': ['admin']})}"
        yield client


async def test_it_tells_what_was_measured(http: httpx.AsyncClient) -> None:
    begun_ms = now_ms()
    answer = (await http.get("/v1/metrics")).json()
    assert MetricsAnswer.model_validate(answer).model_dump() == answer
    assert answer["period_s"] == 10
    assert begun_ms - 900_000 <= answer["from_ms"] <= now_ms() - 890_000
    units = {(one["name"], one["statistic"]): one["unit"] for one in answer["series"]}
    assert (units["Publishes", "Sum"], units["PublishToDeliverLatency", "p99"]) == ("Count", "Milliseconds")
    assert {len(one["values"]) for one in answer["series"]} == {90}
    assert answer["series"][0]["values"][0] is None  # there, and not left out


@pytest.mark.parametrize("minutes", ["4", "1441", "-1", "soon", "5.5", ""])
async def test_a_time_out_of_bounds_is_a_problem(http: httpx.AsyncClient, services: Services, minutes: str) -> None:
    problem_of(await http.get("/v1/metrics", params={"minutes": minutes}), 422, "invalid_field")
    source = services.metric_source
    assert isinstance(source, MemoryMetricSource)
    assert source.asked == []


async def test_it_lists_who_is_connected(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    stack.connect("p")
    stack.clock.pass_s(1)
    stack.connect("a", "ann")
    stack.ask("a", {"type": "subscribe", "channel": "room:a"})
    answer = (await http.get("/v1/connections")).json()
    assert ConnectionsAnswer.model_validate(answer).model_dump(exclude_none=True) == answer
    times = [one.pop("connected_at_ms") for one in answer["connections"]]
    assert times == [stack.clock(), stack.clock() - 1000]
    assert answer == {
        "connections": [
            {"connection_id": "a", "user_id": "ann", "transport": "websocket", "channels": ["room:a"]},
            {"connection_id": "p", "transport": "websocket", "channels": []},
        ]
    }


async def test_a_page_tells_where_the_next_begins(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    for number in range(250):
        stack.connect(f"c{number:03}")
    answer = (await http.get("/v1/connections")).json()
    found = [one["connection_id"] for one in answer["connections"]]
    while after := answer.get("next"):
        answer = (await http.get("/v1/connections", params={"after": after})).json()
        found += [one["connection_id"] for one in answer["connections"]]
    assert sorted(found) == [f"c{number:03}" for number in range(250)]


async def test_it_tells_what_this_month_comes_to(http: httpx.AsyncClient, services: Services) -> None:
    source = services.metric_source
    assert isinstance(source, MemoryMetricSource)
    today_s = now_ms() // 86_400_000 * 86_400
    source.values[Measure("WebSocketMessages")] = {today_s: 2_000_000}
    answer = (await http.get("/v1/cost")).json()
    assert CostAnswer.model_validate(answer).model_dump() == answer
    assert answer["since_ms"] <= now_ms()
    (messages,) = [one for one in answer["items"] if one["what"] == "WebSocket messages"]
    assert messages == {"service": "API Gateway", "what": "WebSocket messages", "quantity": 2_000_000, "usd": 2.0}
    assert answer["usd"] == 2.0
    assert (answer["region"], len(answer["items"])) == ("us-east-1", 10)


@pytest.mark.parametrize("after", ["", "x", "a" * 1_000, "\x00", "ü"])
async def test_a_cursor_that_is_none_is_a_problem(http: httpx.AsyncClient, after: str) -> None:
    problem_of(await http.get("/v1/connections", params={"after": after}), 422, "invalid_field")


@pytest.mark.parametrize("path", PATHS)
async def test_a_servers_key_may_be_an_admins(http: httpx.AsyncClient, services: Services, path: str) -> None:
    add_key(services, "ops.secret", {"*": ["admin"]})
    del http.headers["Authorization"]
    assert (await http.get(path, headers={"X-API-Key": "ops.secret"})).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_it_is_for_admins_alone(
    http: httpx.AsyncClient, stack: MemoryStack, services: Services, path: str
) -> None:
    add_key(services, "billing.secret", {"*": ["publish", "history"], "room:*": ["admin"]})
    del http.headers["Authorization"]
    for headers, status, name in (
        ({"Authorization": f"Bearer {stack.token('ann')}"}, 403, "forbidden"),
        ({"X-API-Key": "billing.secret"}, 403, "forbidden"),
        ({"X-API-Key": "billing.wrong"}, 401, "unauthenticated"),
        ({}, 401, "unauthenticated"),
    ):
        problem_of(await http.get(path, headers=headers), status, name)
