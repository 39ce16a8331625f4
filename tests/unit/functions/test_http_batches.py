"""An array of publications over HTTP: in order, ten at a time, each with a result of its own."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from shared.adapters.memory import MemoryLaneQueue
from shared.bootstrap import Services
from shared.domain.processing import Context, Draft
from shared.errors import UnavailableError
from shared.ports import Lane, LaneMessage
from tests.unit.conftest import Log
from tests.unit.functions.conftest import services_of
from tests.unit.functions.test_http_app import client_of, problem_of, results_of
from tests.unit.stack import MemoryStack


class Lanes(MemoryLaneQueue):
    """Counts calls; hands back or fails as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []
        self.error: Exception | None = None
        self.left: set[int] = set()

    def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
        self.calls.append(len(messages))
        if self.error:
            raise self.error
        super().send(lane, [message for place, message in enumerate(messages) if place not in self.left])
        return self.left


@pytest.fixture
def lanes(stack: MemoryStack) -> Lanes:
    lanes = Lanes()
    stack.lanes = lanes
    object.__setattr__(stack.publishing, "lanes", lanes)
    return lanes


@pytest.fixture
def services(stack: MemoryStack, lanes: Lanes) -> Services:
    return services_of(stack)


@pytest.fixture
async def http(stack: MemoryStack, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(services) as client:
        client.headers["Authorization"] = f"Bearer {stack.token('ann')}"
        yield client


def one(channel: str = "room:a", data: Any = 1, **fields: Any) -> dict[str, Any]:
    return {"channel": channel, "name": "said", "data": data, **fields}


async def publish(http: httpx.AsyncClient, *publications: Any) -> list[dict[str, Any]]:
    results = results_of(await http.post("/v1/publish", json=list(publications)))
    assert [result["channel"] for result in results] == [publication["channel"] for publication in publications]
    return results


async def test_a_hundred_go_to_their_lane_ten_at_a_time_in_order(http: httpx.AsyncClient, lanes: Lanes) -> None:
    results = await publish(http, *(one(f"room:{n % 3}", n, message_id=f"m{n}") for n in range(100)))
    assert results == [{"channel": f"room:{n % 3}", "message_id": f"m{n}", "status": "accepted"} for n in range(100)]
    assert lanes.calls == [10] * 10
    assert [message.publication.data for _, message in lanes.sent] == list(range(100))


async def test_each_has_its_own_priority_and_may_be_a_repeat(http: httpx.AsyncClient, lanes: Lanes) -> None:
    results = await publish(
        http, one(priority="low", retry=True), one(priority="express"), one("room:b", priority="express"), one()
    )
    assert [sorted(result) for result in results] == [
        ["channel", "message_id", "status"],
        ["channel", "message_id", "position"],
        ["channel", "message_id", "position"],
        ["channel", "message_id", "status"],
    ]
    assert [(lane, message.retry) for lane, message in lanes.sent] == [("low", True), ("normal", False)]


async def test_one_in_an_array_is_answered_as_an_array_is(http: httpx.AsyncClient) -> None:
    (result,) = await publish(http, one("broadcast:all"))
    assert result["error"]["name"] == "forbidden"


async def test_some_fail_and_the_others_do_not(http: httpx.AsyncClient, lanes: Lanes) -> None:
    results = await publish(http, one(data=1), one("broadcast:all"), one("user:bob"), one(data=2))
    assert [result.get("error", {}).get("name") for result in results] == [None, "forbidden", "forbidden", None]
    assert [message.publication.data for _, message in lanes.sent] == [1, 2]


async def test_a_channel_of_which_one_may_be_tried_again_is_not_gone_on_with(
    http: httpx.AsyncClient, lanes: Lanes
) -> None:
    """The later ones would overtake it."""
    lanes.left = {0}
    results = await publish(http, *(one(data=n) for n in range(10)), one(data="behind"), one("room:b", "b"))
    lanes.left = set()
    names = [result.get("error", {}).get("name") for result in results]
    assert (names[0], names[1:10], names[10]) == ("unavailable", [None] * 9, "unavailable")
    assert "behind" not in [message.publication.data for _, message in lanes.sent]


async def test_rates_are_counted_for_each(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    burst = stack.namespaces.of("room:a").publish_burst
    rounds = burst // 100 + 2
    results = [result for _ in range(rounds) for result in await publish(http, *(one(data=n) for n in range(100)))]
    limited = [result["error"] for result in results if "error" in result]
    assert {error["name"] for error in limited} == {"rate_limited"}
    assert min(error["retry_after_ms"] for error in limited) > 0
    assert burst <= len(results) - len(limited) <= burst * 1.1 + 1  # a tenth is a process's own


async def test_a_failure_is_told_as_internal_and_logged_once(http: httpx.AsyncClient, lanes: Lanes, log: Log) -> None:
    lanes.error = RuntimeError("HUSH")
    results = await publish(http, one(data=1), one(data=2))
    assert [result["error"]["name"] for result in results] == ["internal", "internal"]
    assert [line["error"] for line in log.lines() if line["error"] == "RuntimeError"] == ["RuntimeError"]
    assert "HUSH" not in json.dumps(results) + log.text()


async def test_a_busy_lane_is_told_to_each(http: httpx.AsyncClient, lanes: Lanes) -> None:
    lanes.error = UnavailableError("the lane is busy", retry_after_ms=1200)
    results = await publish(http, one(), one("room:b"))
    assert [result["error"]["retry_after_ms"] for result in results] == [1200, 1200]


async def test_all_count_from_when_the_request_came_however_long_the_first_takes(
    http: httpx.AsyncClient, stack: MemoryStack, lanes: Lanes
) -> None:
    def slow(draft: Draft, _context: Context) -> Draft:
        stack.clock.pass_s(10)
        return draft

    stack.processors.append(slow)
    await publish(http, one(), one())
    first, second = (message.publication.published_at_ms for _, message in lanes.sent)
    assert first == second


BAD_ARRAYS: dict[str, tuple[Any, int, str, list[str] | None]] = {
    "an empty one": ([], 400, "bad_frame", None),
    "101": ([one()] * 101, 400, "bad_frame", None),
    "numbers": ([1, 2], 400, "bad_frame", None),
    "arrays": ([[one()]], 400, "bad_frame", None),
    "an object and a text": ([one(), "two"], 400, "bad_frame", None),
    "null": ([None], 400, "bad_frame", None),
    "a bad channel": ([one(), one(), one(), one("HUSH")], 422, "invalid_field", ["3.channel"]),
    "no channel": ([one(), {"name": "said", "data": 1}], 422, "invalid_field", ["1.channel"]),
    "channels": ([{"channels": ["room:a"], "name": "said", "data": 1}], 422, "invalid_field", ["0.channel"]),
    "nothing": ([{}], 422, "invalid_field", ["0.name", "0.data", "0.channel"]),
    "two that are bad": ([one(name=5), one(), one(priority="HUSH")], 422, "invalid_field", ["0.name", "2.priority"]),
    "a long message_id": ([one(message_id="m" * 65)], 422, "invalid_field", ["0.message_id"]),
    "retry that is a text": ([one(retry="yes")], 422, "invalid_field", ["0.retry"]),
    "large data": ([one(), one(data="x" * 24_000)], 413, "too_large", None),
    "a large body": ([one(data="x" * 20_000)] * 13, 413, "too_large", None),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
async def test_a_bad_array_publishes_nothing(
    http: httpx.AsyncClient, stack: MemoryStack, lanes: Lanes, name: str
) -> None:
    body, status, error, fields = BAD_ARRAYS[name]
    problem = problem_of(await http.post("/v1/publish", json=body), status, error)
    assert [one["field"] for one in (problem.get("details") or {}).get("fields", [])] == (fields or [])
    assert "HUSH" not in json.dumps(problem)
    assert (lanes.calls, stack.store.streams) == ([], {})


async def test_data_that_is_too_large_is_named(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/publish", json=[one(), one(data="x" * 24_000)])
    assert problem_of(response, 413, "too_large")["message"] == "1.data has at most 24000 bytes"
    content = json.dumps([one(), one(data="LARGE")]).replace('"LARGE"', "1e999")
    headers = {"Content-Type": "application/json"}
    response = await http.post("/v1/publish", content=content, headers=headers)
    problem_of(response, 400, "bad_frame")


async def test_an_array_needs_somebody_too(http: httpx.AsyncClient, lanes: Lanes) -> None:
    del http.headers["Authorization"]
    problem_of(await http.post("/v1/publish", json=[one()]), 401, "unauthenticated")
    assert lanes.calls == []
