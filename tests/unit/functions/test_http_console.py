"""What the console shows, over HTTP: by admins, within bounds."""

from collections.abc import AsyncIterator

import httpx
import pytest

from shared.adapters.memory import MemoryMetricSource
from shared.bootstrap import Services, now_ms
from shared.protocol.rest import MetricsAnswer
from tests.unit.functions.conftest import add_key, services_of
from tests.unit.functions.test_http_app import client_of, problem_of
from tests.unit.stack import MemoryStack

PATHS = ["/v1/metrics"]


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
