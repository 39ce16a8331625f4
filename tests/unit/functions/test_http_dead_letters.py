"""Dead letters over HTTP: counted and put back, by admins."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from shared.adapters.memory import MemoryDeadLetterQueues
from shared.bootstrap import Services, now_ms
from shared.domain.dead_letter import DeadLetter
from shared.protocol.rest import DeadLettersAnswer, RedriveAnswer
from tests.unit.functions.conftest import add_key, services_of
from tests.unit.functions.test_http_app import client_of, problem_of
from tests.unit.stack import MemoryStack

RECORD = json.dumps({"channel": "room:a", "publication": {"i": "m"}})


@pytest.fixture
def services(stack: MemoryStack) -> Services:
    return services_of(stack)


@pytest.fixture
def queues(services: Services) -> MemoryDeadLetterQueues:
    queues = services.dead_letter_queues
    assert isinstance(queues, MemoryDeadLetterQueues)
    for place, body in enumerate([RECORD, "no json"]):
        queues.letters["high"].append(DeadLetter(str(place), f"receipt {place}", body, now_ms() - 10_000, "group"))
    return queues


@pytest.fixture
async def http(stack: MemoryStack, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(services) as client:
        client.headers["Authorization"] = f"Bearer {stack.token('root', {'*': ['admin']})}"
        yield client


async def test_it_tells_how_many_wait(http: httpx.AsyncClient, queues: MemoryDeadLetterQueues) -> None:
    answer = (await http.get("/v1/dead-letters")).json()
    assert DeadLettersAnswer.model_validate(answer).model_dump() == answer
    assert answer["queues"] == [
        {"queue": "high", "waiting": 2},
        {"queue": "normal", "waiting": 0},
        {"queue": "low", "waiting": 0},
        {"queue": "events", "waiting": 0},
    ]


async def test_it_puts_back_what_can_be_read(http: httpx.AsyncClient, queues: MemoryDeadLetterQueues) -> None:
    begun_ms = now_ms()
    answer = (await http.post("/v1/dead-letters/high/redrive")).json()
    assert RedriveAnswer.model_validate(answer).model_dump() == answer
    assert begun_ms <= answer.pop("before_ms") <= now_ms()
    assert answer == {"redriven": 1, "unreadable": 1, "more": False}
    assert [queue for queue, _, _ in queues.returned] == ["high"]


async def test_what_has_come_since_then_is_left(http: httpx.AsyncClient, queues: MemoryDeadLetterQueues) -> None:
    before_ms = now_ms() - 60_000
    answer = (await http.post("/v1/dead-letters/high/redrive", params={"before_ms": before_ms})).json()
    assert answer == {"redriven": 0, "unreadable": 0, "more": False, "before_ms": before_ms}
    assert queues.returned == []


async def test_a_servers_key_may_be_an_admins(
    http: httpx.AsyncClient, services: Services, queues: MemoryDeadLetterQueues
) -> None:
    add_key(services, "ops.secret", {"*": ["admin"]})
    del http.headers["Authorization"]
    answer = await http.post("/v1/dead-letters/high/redrive", headers={"X-API-Key": "ops.secret"})
    assert answer.json()["redriven"] == 1


@pytest.mark.parametrize("queue", ["express", "HIGH", "delivery", "%20", "high%0A", "x" * 500])
async def test_another_queue_is_not_found(http: httpx.AsyncClient, queue: str) -> None:
    problem = problem_of(await http.post(f"/v1/dead-letters/{queue}/redrive"), 404, "not_found")
    assert problem["message"] == "there is no such queue: there are high, normal, low, events"


@pytest.mark.parametrize("before_ms", ["-1", "soon", "9007199254740992", "1.5"])
async def test_a_time_that_is_none_is_a_problem(
    http: httpx.AsyncClient, queues: MemoryDeadLetterQueues, before_ms: str
) -> None:
    response = await http.post("/v1/dead-letters/high/redrive", params={"before_ms": before_ms})
    problem_of(response, 422, "invalid_field")
    assert queues.returned == []


async def test_they_are_admins_alone(
    http: httpx.AsyncClient, stack: MemoryStack, services: Services, queues: MemoryDeadLetterQueues
) -> None:
    add_key(services, "billing.secret", {"*": ["publish", "history"], "room:*": ["admin"]})
    del http.headers["Authorization"]
    for headers, status, name in (
        ({"Authorization": f"Bearer {stack.token('ann')}"}, 403, "forbidden"),
        ({"X-API-Key": "billing.secret"}, 403, "forbidden"),
        ({"X-API-Key": "billing.wrong"}, 401, "unauthenticated"),
        ({}, 401, "unauthenticated"),
    ):
        problem_of(await http.get("/v1/dead-letters", headers=headers), status, name)
        problem_of(await http.post("/v1/dead-letters/high/redrive", headers=headers), status, name)
    assert queues.returned == []
