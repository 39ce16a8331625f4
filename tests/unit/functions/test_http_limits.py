"""What the app does with who asks too often, and from where it thinks that they come."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from functions.http_api.app import use
from functions.http_api.stream import _source_ip
from shared.bootstrap import Services
from shared.domain.stage_limits import DEFAULT_LIMITS
from shared.errors import RateLimitedError
from tests.unit.functions.conftest import add_key, services_of
from tests.unit.functions.test_http_app import app_of, problem_of
from tests.unit.stack import MemoryStack

KEY = "billing.secret"
ADDRESS, OTHER = "192.0.2.1", "2001:db8::1"
From = Callable[..., httpx.AsyncClient]


@pytest.fixture
def services(stack: MemoryStack) -> Services:
    services = services_of(stack, DEMO="1")
    add_key(services, KEY, {"*": ["publish", "history"]})
    return services


@pytest.fixture
def client(stack: MemoryStack, services: Services) -> From:
    """Return what makes clients at an address, of an app with these limits."""

    def make(address: str = ADDRESS, **limits: Any) -> httpx.AsyncClient:
        if limits:
            services.limits = replace(stack.limits, stage=replace(DEFAULT_LIMITS, **limits))
        app = app_of("local")
        use(app, services)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(address, 1)), base_url="http://tidewire")

    return make


async def refused(call: Callable[[], Any], times: int) -> int:
    """Return how many of so many calls are refused as too many."""
    answers = [await call() for _ in range(times)]
    for answer in answers:
        if answer.status_code == 429:
            problem_of(answer, 429, "rate_limited")
            assert int(answer.headers["retry-after"]) >= 1
    return [answer.status_code for answer in answers].count(429)


async def test_a_user_has_its_calls_and_another_has_its_own(client: From, stack: MemoryStack) -> None:
    http = client(user_http_rate_per_s=1, user_http_burst=10)

    async def call(user_id: str) -> httpx.Response:
        return await http.get("/v1/commands", headers={"Authorization": f"Bearer {stack.token(user_id)}"})

    assert await refused(lambda: call("ann"), 20) == 9
    assert await refused(lambda: call("bob"), 5) == 0


async def test_calls_of_sessions_are_their_users(client: From, stack: MemoryStack) -> None:
    http = client(user_http_rate_per_s=1, user_http_burst=20)
    bearer = {"Authorization": f"Bearer {stack.token('ann')}"}
    opened = (await http.post("/v1/sessions", json={"protocol": 1}, headers=bearer)).json()
    path = f"/v1/sessions/{opened['session_id']}/frames"
    headers = {"Authorization": f"Bearer {opened['session_token']}"}
    assert await refused(lambda: http.get(path, headers=headers), 30) == 9
    assert await refused(lambda: http.post(path, json={"type": "ping"}, headers=headers), 1) == 1
    assert await refused(lambda: http.get("/v1/commands", headers=bearer), 1) == 1


async def test_a_session_is_taken_up_so_often(client: From, stack: MemoryStack) -> None:
    http, bearer = client(), {"Authorization": f"Bearer {stack.token('ann')}"}
    opened = (await http.post("/v1/sessions", json={"protocol": 1}, headers=bearer)).json()
    again = {"protocol": 1, "session_id": opened["session_id"]}
    assert await refused(lambda: http.post("/v1/sessions", json=again, headers=bearer), 20) == 9
    answer = await http.post("/v1/sessions", json=again, headers=bearer)
    assert 0 < answer.json()["retry_after_ms"] <= 5_000
    assert await refused(lambda: http.post("/v1/sessions", json={"protocol": 1}, headers=bearer), 1) == 0


async def test_a_server_has_more(client: From) -> None:
    http = client(user_http_rate_per_s=1, user_http_burst=1, server_http_rate_per_s=1, server_http_burst=10)
    assert await refused(lambda: http.get("/v1/commands", headers={"X-API-Key": KEY}), 20) == 9


async def test_tickets_are_few(client: From, stack: MemoryStack) -> None:
    http = client(ticket_rate_per_s=1, ticket_burst=10)
    bearer = {"Authorization": f"Bearer {stack.token('ann')}"}
    assert await refused(lambda: http.post("/v1/tickets", headers=bearer), 20) == 9


@pytest.mark.parametrize("path", ["/v1/dev/token", "/v1/demo/token"])
async def test_tokens_for_anybody_are_counted_by_address(client: From, path: str) -> None:
    http, body = client(anonymous_rate_per_s=1, anonymous_burst=10), {"user_id": "guest.ann"}
    assert await refused(lambda: http.post(path, json=body), 20) == 9
    other = client(OTHER)
    assert await refused(lambda: other.post(path, json=body), 11) == 0
    assert await refused(lambda: client(OTHER + "9").post(path, json=body), 5) == 5, "it is of the same network"


class TestFailures:
    async def test_guesses_of_keys_are_counted_and_then_not_even_looked_up(
        self, client: From, services: Services
    ) -> None:
        http = client(failure_rate_per_s=1, failure_burst=10)
        looked_up = 0
        find = services.api_keys.find

        def counted(key: str) -> Any:
            nonlocal looked_up
            looked_up += 1
            return find(key)

        services.api_keys.find = counted  # type: ignore[method-assign]
        assert await refused(lambda: http.get("/v1/commands", headers={"X-API-Key": "billing.guess"}), 50) == 39
        assert looked_up == 12  # the last one was refused when it had been
        assert await refused(lambda: http.get("/v1/commands", headers={"X-API-Key": KEY}), 1) == 1
        elsewhere = client(OTHER)
        assert (await elsewhere.get("/v1/commands", headers={"X-API-Key": KEY})).status_code == 200

    async def test_bad_tokens_are_counted_and_a_good_one_is_taken_all_the_same(
        self, client: From, stack: MemoryStack
    ) -> None:
        """Its neighbours may be to blame; and to check it costs nothing that is billed."""
        http = client(failure_rate_per_s=1, failure_burst=10)
        bad = {"Authorization": "Bearer x"}
        assert await refused(lambda: http.get("/v1/commands", headers=bad), 20) == 9
        good = {"Authorization": f"Bearer {stack.token('ann')}"}
        assert (await http.get("/v1/commands", headers=good)).status_code == 200

    async def test_tickets_that_are_none_are_counted(self, client: From) -> None:
        http = client(failure_rate_per_s=1, failure_burst=10)
        path = "/v1/stream/events"
        query = {"channel": "room:a", "ticket": "x"}
        assert await refused(lambda: http.get(path, params=query), 20) == 9

    async def test_a_key_that_is_far_too_long_is_not_looked_up(self, client: From, services: Services) -> None:
        services.api_keys = None  # type: ignore[assignment]
        answer = await client().get("/v1/commands", headers={"X-API-Key": "billing." + "x" * 9_000})
        problem_of(answer, 401, "unauthenticated")


class TestAddresses:
    @pytest.mark.parametrize(
        ("headers", "address"),
        [
            ([(b"x-amzn-request-context", b'{"http": {"sourceIp": "192.0.2.9"}}')], "192.0.2.9"),
            ([(b"x-forwarded-for", b"192.0.2.9")], ""),
            ([], ""),
        ],
    )
    def test_the_streaming_function_takes_it_from_the_adapter(
        self, headers: list[tuple[bytes, bytes]], address: str
    ) -> None:
        assert _source_ip({"type": "http", "headers": headers}) == address


def test_a_limit_that_says_no_says_when() -> None:
    stack = MemoryStack()
    limits = replace(stack.limits, stage=replace(DEFAULT_LIMITS, failure_rate_per_s=1, failure_burst=1))
    with pytest.raises(RateLimitedError) as caught:
        for _ in range(5):
            limits.failed(ADDRESS)
    assert 0 < (caught.value.retry_after_ms or 0) <= 1000
