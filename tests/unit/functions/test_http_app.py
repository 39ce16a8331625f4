"""The HTTP side over memory: what each call answers, and that whatever is wrong is told as a problem."""

import json
from collections.abc import AsyncIterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from functions.http_api.app import create_app, use
from shared.adapters.memory import MemoryLaneQueue
from shared.bootstrap import Services
from shared.domain.processing import Context, Draft
from shared.errors import UnavailableError
from shared.ports import Lane, LaneMessage
from shared.protocol.rest import CommandsAnswer, Problem, PublishAnswer
from tests.unit.bad_tokens import bad_tokens
from tests.unit.conftest import Log
from tests.unit.functions.conftest import add_key, services_of
from tests.unit.protocol.golden import BAD_FRAMES
from tests.unit.stack import MemoryStack

PROBLEM = "application/problem+json"
ROOM = "room:a"
PUBLISH = {"channel": ROOM, "name": "said", "data": {"text": "hi"}}
KEY = "billing.secret"


@cache
def app_of(stage: str) -> FastAPI:
    """Return the stage's app: it takes longer to make than a test to run."""
    return create_app(services_of(MemoryStack(), TIDEWIRE_STAGE=stage, DEMO="1", ANONYMOUS="{}"))


def client_of(services: Services) -> httpx.AsyncClient:
    """Return a client of the app over these services. An exception that leaves the app fails the test."""
    app = app_of(services.settings.stage)
    use(app, services)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tidewire")


@pytest.fixture
def services(stack: MemoryStack) -> Services:
    services = services_of(stack)
    add_key(services, KEY, {"*": ["publish", "history"]})
    return services


@pytest.fixture
async def http(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(services) as client:
        yield client


@pytest.fixture
def ann(stack: MemoryStack) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack.token('ann')}"}


def bearer(stack: MemoryStack, caps: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack.token('ann', caps)}"}


def problem_of(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """Assert that the answer is this problem, whole; return it."""
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM), response.text
    problem: dict[str, Any] = response.json()
    assert Problem.model_validate(problem).model_dump(exclude_unset=True) == problem
    assert (problem["status"], problem["name"], problem["title"]) == (status, name, name)
    assert problem["detail"] == problem["message"]
    return problem


def results_of(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    answer = response.json()
    assert PublishAnswer.model_validate(answer).model_dump(exclude_unset=True) == answer
    results: list[dict[str, Any]] = answer["results"]
    return results


class TestTickets:
    async def test_a_token_buys_a_ticket_for_one_connection(
        self, http: httpx.AsyncClient, ann: dict[str, str], stack: MemoryStack
    ) -> None:
        response = await http.post("/v1/tickets", headers=ann)
        assert response.json()["expires_in_s"] == 30
        stack.sessions.connect("c", response.json()["ticket"])
        assert stack.ask("c", {"type": "hello", "protocol": 1})["result"]["user_id"] == "ann"

    async def test_an_api_key_buys_none(self, http: httpx.AsyncClient) -> None:
        problem_of(await http.post("/v1/tickets", headers={"X-API-Key": KEY}), 401, "unauthenticated")


class TestPublish:
    async def test_a_token_with_the_capability_publishes(
        self, http: httpx.AsyncClient, ann: dict[str, str], stack: MemoryStack
    ) -> None:
        (result,) = results_of(await http.post("/v1/publish", json=PUBLISH | {"message_id": "m1"}, headers=ann))
        assert result == {"channel": ROOM, "message_id": "m1", "status": "accepted"}
        ((lane, message),) = stack.lanes.sent
        assert (lane, message.channel, message.retry) == ("normal", ROOM, False)
        item = message.publication
        assert (item.user_id, item.connection_id, item.data) == ("ann", None, {"text": "hi"})

    async def test_one_without_it_does_not(self, http: httpx.AsyncClient, stack: MemoryStack) -> None:
        headers = bearer(stack, {ROOM: ["subscribe", "history"], "room:b": ["publish"]})
        problem_of(await http.post("/v1/publish", json=PUBLISH, headers=headers), 403, "forbidden")
        assert stack.lanes.sent == []

    @pytest.mark.parametrize("channel", ["user:ann", "broadcast:all"])
    async def test_servers_publish_where_clients_may_not(
        self, http: httpx.AsyncClient, ann: dict[str, str], channel: str
    ) -> None:
        body = PUBLISH | {"channel": channel}
        problem_of(await http.post("/v1/publish", json=body, headers=ann), 403, "forbidden")
        (result,) = results_of(await http.post("/v1/publish", json=body, headers={"X-API-Key": KEY}))
        assert result["status"] == "accepted"

    async def test_express_is_in_the_stream_and_with_its_subscribers_when_it_is_answered(
        self, http: httpx.AsyncClient, ann: dict[str, str], stack: MemoryStack
    ) -> None:
        stack.connect("c", "bob")
        stack.ask("c", {"type": "subscribe", "channel": ROOM})
        body = PUBLISH | {"priority": "express", "message_id": "m1"}
        first = results_of(await http.post("/v1/publish", json=body, headers=ann))
        assert first[0]["position"]["offset"] == 1
        assert [event["data"] for event in stack.events("c")] == [{"text": "hi"}]
        assert results_of(await http.post("/v1/publish", json=body | {"retry": True}, headers=ann)) == first

    @pytest.mark.parametrize("several", [False, True], ids=["one", "array"])
    async def test_what_is_ephemeral_is_pushed_and_not_kept(
        self, http: httpx.AsyncClient, ann: dict[str, str], stack: MemoryStack, several: bool
    ) -> None:
        stack.connect("c", "bob")
        stack.ask("c", {"type": "subscribe", "channel": ROOM})
        body = PUBLISH | {"ephemeral": True}
        (result,) = results_of(await http.post("/v1/publish", json=[body] if several else body, headers=ann))
        assert result["status"] == "accepted"
        stack.drain()
        (event,) = stack.events("c")
        assert (event["data"], event["ephemeral"]) == ({"text": "hi"}, True)
        assert stack.lanes.sent == []

    async def test_a_repeat_says_so_to_the_lane(
        self, http: httpx.AsyncClient, ann: dict[str, str], stack: MemoryStack
    ) -> None:
        results_of(await http.post("/v1/publish", json=PUBLISH | {"retry": True, "priority": "low"}, headers=ann))
        assert [(lane, message.retry) for lane, message in stack.lanes.sent] == [("low", True)]

    async def test_all_channels_count_from_when_the_request_came_however_long_the_first_takes(
        self, http: httpx.AsyncClient, ann: dict[str, str], stack: MemoryStack
    ) -> None:
        def slow(draft: Draft, _context: Context) -> Draft:
            stack.clock.pass_s(10)
            return draft

        stack.processors.append(slow)
        body = {**PUBLISH, "channels": ["room:a", "room:b"]}
        del body["channel"]
        results_of(await http.post("/v1/publish", json=body, headers=ann))
        first, second = (message.publication.published_at_ms for _, message in stack.lanes.sent)
        assert first == second

    async def test_several_channels_are_answered_each_once_and_in_order(
        self, http: httpx.AsyncClient, ann: dict[str, str], stack: MemoryStack
    ) -> None:
        body = {"channels": ["room:b", "room:a", "room:b"], "name": "said", "data": 1}
        results = results_of(await http.post("/v1/publish", json=body, headers=ann))
        assert [result["channel"] for result in results] == ["room:b", "room:a"]
        assert [message.channel for _, message in stack.lanes.sent] == ["room:b", "room:a"]

    async def test_a_channel_that_fails_does_not_stop_the_others(
        self, http: httpx.AsyncClient, ann: dict[str, str], stack: MemoryStack
    ) -> None:
        body = {"channels": ["room:a", "broadcast:all", "room:b"], "name": "said", "data": 1}
        results = results_of(await http.post("/v1/publish", json=body, headers=ann))
        assert [result.get("status") for result in results] == ["accepted", None, "accepted"]
        assert results[1]["error"]["name"] == "forbidden"
        assert [message.channel for _, message in stack.lanes.sent] == ["room:a", "room:b"]

    async def test_when_every_channel_fails_the_call_fails_as_the_first(
        self, http: httpx.AsyncClient, ann: dict[str, str]
    ) -> None:
        body = {"channels": ["broadcast:all", "user:bob"], "name": "said", "data": 1}
        problem_of(await http.post("/v1/publish", json=body, headers=ann), 403, "forbidden")


async def test_a_client_that_goes_away_while_it_posts_is_no_failure(services: Services, log: Log) -> None:
    scope = {"type": "http", "method": "POST", "path": "/v1/publish", "headers": [], "query_string": b""}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await create_app(services)(scope, receive, send)
    assert log.lines() == []


BAD_BODIES: list[tuple[str, bytes, int, str]] = [
    (name, text.encode("utf-8", "surrogatepass"), 400, "bad_frame")
    for name, text in ((bad["name"], bad["text"]) for bad in BAD_FRAMES if bad["error"] == "bad_frame")
    if not text.startswith("{") or "publish" in text  # other objects are wrong here for other reasons
] + [
    (name, json.dumps(body).encode(), status, error)
    for name, body, status, error in (
        ("an empty object", {}, 422, "invalid_field"),
        ("no name", {"channel": ROOM, "data": 1}, 422, "invalid_field"),
        ("no data", {"channel": ROOM, "name": "n"}, 422, "invalid_field"),
        ("no channel", {"name": "n", "data": 1}, 422, "invalid_field"),
        ("channel and channels", PUBLISH | {"channels": [ROOM]}, 422, "invalid_field"),
        ("no channels", {"channels": [], "name": "n", "data": 1}, 422, "invalid_field"),
        ("101 channels", {"channels": [f"room:{n}" for n in range(101)], "name": "n", "data": 1}, 422, "invalid_field"),
        ("a bad channel", PUBLISH | {"channel": "room"}, 422, "invalid_field"),
        ("a bad channel of two", {"channels": [ROOM, "room:*"], "name": "n", "data": 1}, 422, "invalid_field"),
        ("a name that is a number", PUBLISH | {"name": 5}, 422, "invalid_field"),
        ("an unknown priority", PUBLISH | {"priority": "urgent"}, 422, "invalid_field"),
        ("a long message_id", PUBLISH | {"message_id": "m" * 65}, 422, "invalid_field"),
        ("large data", PUBLISH | {"data": "x" * 23_999}, 413, "too_large"),
        ("a large body", PUBLISH | {"later": "x" * 256_000}, 413, "too_large"),
    )
]


class TestBadBodies:
    @pytest.mark.parametrize(
        ("body", "status", "name"), [bad[1:] for bad in BAD_BODIES], ids=[b[0] for b in BAD_BODIES]
    )
    async def test_are_problems_and_publish_nothing(
        self, http: httpx.AsyncClient, ann: dict[str, str], stack: MemoryStack, body: bytes, status: int, name: str
    ) -> None:
        headers = ann | {"Content-Type": "application/json"}
        problem = problem_of(await http.post("/v1/publish", content=body, headers=headers), status, name)
        assert problem["retryable"] is False
        assert (stack.lanes.sent, stack.store.streams) == ([], {})

    async def test_a_body_that_is_not_said_to_be_json_is_none(
        self, http: httpx.AsyncClient, ann: dict[str, str]
    ) -> None:
        body = json.dumps(PUBLISH)
        for headers in (ann, ann | {"Content-Type": "text/plain"}):
            problem_of(await http.post("/v1/publish", content=body, headers=headers), 400, "bad_frame")

    async def test_the_fields_are_named(self, http: httpx.AsyncClient, ann: dict[str, str]) -> None:
        body = {"channels": [ROOM, "HUSH"], "name": 5}
        problem = problem_of(await http.post("/v1/publish", json=body, headers=ann), 422, "invalid_field")
        assert [field["field"] for field in problem["details"]["fields"]] == ["name", "data", "channels.1"]
        assert "HUSH" not in json.dumps(problem)
        body = {"name": "n", "data": 1}
        problem = problem_of(await http.post("/v1/publish", json=body, headers=ann), 422, "invalid_field")
        assert problem["message"] == "give channel or channels"

    async def test_keys_of_mappings_are_not_repeated(self, http: httpx.AsyncClient) -> None:
        body = {"user_id": "ann", "caps": {"HUSH": 5}}
        problem = problem_of(await http.post("/v1/dev/token", json=body), 422, "invalid_field")
        assert [field["field"] for field in problem["details"]["fields"]] == ["caps"]
        assert "HUSH" not in json.dumps(problem)

    @given(body=st.binary() | st.text().map(str.encode) | st.dictionaries(st.text(), st.text()).map(json.dumps))
    async def test_whatever_comes_in_is_a_problem(self, body: bytes | str) -> None:
        stack = MemoryStack()
        headers = bearer(stack, None) | {"Content-Type": "application/json"}
        async with client_of(services_of(stack)) as http:
            response = await http.post("/v1/publish", content=body, headers=headers)
        assert response.json()["name"] in ("bad_frame", "invalid_field", "too_large")


class TestCallers:
    CALLS = ("POST /v1/tickets", "POST /v1/publish", f"GET /v1/channels/{ROOM}/history")

    @staticmethod
    async def refused(http: httpx.AsyncClient, call: str, headers: Any) -> dict[str, Any]:
        method, path = call.split()
        json_ = PUBLISH if method == "POST" else None
        response = await http.request(method, path, json=json_, headers=headers)
        problem = problem_of(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"
        return problem

    @pytest.mark.parametrize("call", CALLS)
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer "},
            {"Authorization": "Basic YW5uOnNlY3JldA=="},
            {"Authorization": "nonsense"},
            {"X-API-Key": ""},
            {"X-API-Key": "billing"},
            {"X-API-Key": "billing."},
            {"X-API-Key": "billing.secret2"},
            {"X-API-Key": b"\xff"},
        ],
        ids=str,
    )
    async def test_who_does_not_say_who_it_is_is_told_how(
        self, http: httpx.AsyncClient, call: str, headers: Any
    ) -> None:
        await self.refused(http, call, headers)

    @pytest.mark.parametrize("name", bad_tokens())
    async def test_bad_tokens_are_refused_and_not_repeated(self, http: httpx.AsyncClient, name: str) -> None:
        token = bad_tokens()[name]
        for call in self.CALLS:
            headers = {"Authorization": b"Bearer " + token.encode()}
            problem = await self.refused(http, call, headers)
            assert token == "" or token not in json.dumps(problem)

    async def test_a_bad_key_is_not_made_good_by_a_token(self, http: httpx.AsyncClient, ann: dict[str, str]) -> None:
        await self.refused(http, "POST /v1/publish", ann | {"X-API-Key": "billing.wrong"})

    @pytest.mark.parametrize("scheme", ["Basic", "Bearer:", ""])
    async def test_a_good_token_under_another_scheme_is_none(
        self, http: httpx.AsyncClient, stack: MemoryStack, scheme: str
    ) -> None:
        await self.refused(http, "POST /v1/publish", {"Authorization": f"{scheme} {stack.token('ann')}"})

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
    async def test_the_scheme_is_read_in_any_case(
        self, http: httpx.AsyncClient, stack: MemoryStack, scheme: str
    ) -> None:
        headers = {"Authorization": f"{scheme} {stack.token('ann')}"}
        assert (await http.post("/v1/tickets", headers=headers)).status_code == 200


class TestHistory:
    @pytest.fixture
    async def room(self, http: httpx.AsyncClient, ann: dict[str, str]) -> str:
        for number in range(5):
            body = PUBLISH | {"data": number, "priority": "express"}
            results_of(await http.post("/v1/publish", json=body, headers=ann))
        return f"/v1/channels/{ROOM}/history"

    async def test_is_read_in_pages_both_ways(self, http: httpx.AsyncClient, ann: dict[str, str], room: str) -> None:
        page = (await http.get(room, params={"limit": 3}, headers=ann)).json()
        assert ([item["data"] for item in page["publications"]], page["more"]) == ([0, 1, 2], True)
        since = {"since_epoch": page["position"]["epoch"], "since_offset": 3}
        page = (await http.get(room, params=since, headers=ann)).json()
        assert ([item["data"] for item in page["publications"]], page["more"]) == ([3, 4], False)
        assert page["position"] == {"epoch": since["since_epoch"], "offset": 5}
        page = (await http.get(room, params=since | {"reverse": True}, headers=ann)).json()
        assert [item["data"] for item in page["publications"]] == [1, 0]

    async def test_is_compressed_for_who_takes_that(
        self, http: httpx.AsyncClient, ann: dict[str, str], room: str
    ) -> None:
        small = await http.get(room, params={"limit": 1}, headers=ann)
        assert "content-encoding" not in small.headers
        await http.post("/v1/publish", json=PUBLISH | {"data": "said " * 500, "priority": "express"}, headers=ann)
        plain = await http.get(room, headers=ann | {"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        compressed = await http.get(room, headers=ann)
        assert (compressed.headers["content-encoding"], compressed.headers["vary"]) == ("gzip", "Accept-Encoding")
        assert int(compressed.headers["content-length"]) < len(plain.content) / 2
        assert compressed.json() == plain.json()

    async def test_is_for_those_who_may(self, http: httpx.AsyncClient, stack: MemoryStack, room: str) -> None:
        headers = bearer(stack, {"room:*": ["subscribe"]})
        problem_of(await http.get(room, headers=headers), 403, "forbidden")
        own = f"/v1/channels/{quote('user:ann', safe='')}/history"
        assert (await http.get(own, headers=headers)).json()["publications"] == []
        assert len((await http.get(room, headers={"X-API-Key": KEY})).json()["publications"]) == 5

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=0", "limit"),
            ("limit=301", "limit"),
            ("limit=many", "limit"),
            ("reverse=perhaps", "reverse"),
            ("since_epoch=e&since_offset=-1", "since_offset"),
            ("since_epoch=e&since_offset=9007199254740992", "since_offset"),
            ("since_offset=1&since_epoch=" + "e" * 65, "since_epoch"),
            ("since_offset=1", "since_"),
            ("since_epoch=e", "since_"),
        ],
    )
    async def test_bad_questions_are_problems(
        self, http: httpx.AsyncClient, ann: dict[str, str], room: str, query: str, field: str
    ) -> None:
        problem = problem_of(await http.get(f"{room}?{query}", headers=ann), 422, "invalid_field")
        assert problem["message"].startswith(field)

    @pytest.mark.parametrize("channel", ["room", "room:", "room:a b", "room:ä", "room:%", "room:a*"])
    async def test_bad_channels_are_problems(self, http: httpx.AsyncClient, ann: dict[str, str], channel: str) -> None:
        path = f"/v1/channels/{quote(channel, safe='')}/history"
        response = await http.get(path, headers=ann)
        if channel == "room:%":
            assert response.status_code == 200  # a % may stand for itself
        else:
            problem_of(response, 422, "invalid_field")


class TestDevToken:
    async def test_signs_for_anybody(self, http: httpx.AsyncClient, stack: MemoryStack) -> None:
        body = {"user_id": "ann@example.org", "caps": {"room:*": ["publish"]}, "ttl_s": 60}
        principal = stack.tokens.verify((await http.post("/v1/dev/token", json=body)).json()["token"])
        assert (principal.user_id, principal.capabilities) == ("ann@example.org", {"room:*": ["publish"]})
        assert (principal.expires_at_s or 0) - principal.issued_at_s == 60

    async def test_allows_everything_but_admin_unless_it_says_otherwise(
        self, http: httpx.AsyncClient, stack: MemoryStack
    ) -> None:
        token = (await http.post("/v1/dev/token", json={"user_id": "ann"})).json()["token"]
        (allowed,) = stack.tokens.verify(token).capabilities.values()
        assert {"subscribe", "publish", "history"} <= set(allowed)
        assert "admin" not in allowed

    @pytest.mark.parametrize("user_id", ["", "x" * 129, "ü" * 33])
    async def test_needs_somebody_who_can_be_addressed(self, http: httpx.AsyncClient, user_id: str) -> None:
        response = await http.post("/v1/dev/token", json={"user_id": user_id})
        assert problem_of(response, 422, "invalid_field")["message"].startswith("user_id: ")

    @pytest.mark.parametrize("stage", ["", "dev", "prod", "LOCAL"])
    async def test_is_there_in_stage_local_alone(self, stack: MemoryStack, stage: str) -> None:
        async with client_of(services_of(stack, TIDEWIRE_STAGE=stage)) as http:
            assert (await http.post("/v1/dev/token", json={"user_id": "ann"})).status_code == 404
            assert "/v1/dev/token" not in (await http.get("/openapi.json")).json()["paths"]


class TestHealth:
    async def test_alive_needs_nothing(self, stack: MemoryStack) -> None:
        services = services_of(stack)
        services.connections = None  # type: ignore[assignment]  # whoever asked for it would fail
        async with client_of(services) as http:
            response = await http.get("/healthz")
        assert (response.status_code, response.json()["status"]) == (200, "ok")

    async def test_ready_has_reached_what_requests_need(self, http: httpx.AsyncClient, services: Services) -> None:
        services._read_token_secret = lambda: ["secret"]  # type: ignore[method-assign]  # the one thing not in memory
        response = await http.get("/readyz")
        checks = {"connections": "ok", "streams": "ok", "tokens": "ok"}
        assert (response.status_code, response.json()) == (200, {"status": "ok", "checks": checks})

    async def test_not_ready_says_what_is_missing_and_no_more(
        self, http: httpx.AsyncClient, services: Services, log: Log
    ) -> None:
        def broken() -> list[str]:
            raise UnavailableError("HUSH")

        services._read_token_secret = broken  # type: ignore[method-assign]
        response = await http.get("/readyz")
        assert response.status_code == 503
        assert response.json()["status"] == "unavailable"
        assert response.json()["checks"] == {"connections": "ok", "streams": "ok", "tokens": "UnavailableError"}
        assert [line["error"] for line in log.lines()] == ["UnavailableError"]
        assert "HUSH" not in log.text()


async def test_commands_are_listed_with_their_schemas_for_who_may_use_them(
    http: httpx.AsyncClient, stack: MemoryStack, ann: dict[str, str]
) -> None:
    answer = await http.get("/v1/commands", headers=ann)
    commands = CommandsAnswer.model_validate(answer.json()).commands
    assert [one.name for one in commands] == ["dice.roll", "history.search"]
    assert commands[0].description == "Roll dice, and publish the result in a channel as the server's word."
    assert commands[0].input["properties"]["dice"] == {
        "default": 1,
        "maximum": 20,
        "minimum": 1,
        "title": "Dice",
        "type": "integer",
    }
    assert commands[0].output["required"] == ["rolls", "total"]
    limited = await http.get("/v1/commands", headers=bearer(stack, {"command:dice.*": ["command"], "*": ["publish"]}))
    assert [one["name"] for one in limited.json()["commands"]] == ["dice.roll"]
    assert (await http.get("/v1/commands", headers={"X-API-Key": KEY})).json() == {"commands": []}
    problem_of(await http.get("/v1/commands"), 401, "unauthenticated")


async def test_config_says_where_to_connect(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/config")).json() == {
        "websocket_url": "wss://example.org/v1/ws",
        "http_url": "https://example.org",
        "stream_url": "",
        "transports": ["websocket", "sse", "stream", "long_poll", "short_poll"],
    }


async def test_the_description_is_the_published_one(http: httpx.AsyncClient) -> None:
    published = Path(__file__).resolve().parents[3] / "docs" / "schemas" / "openapi.json"
    assert (await http.get("/openapi.json")).json() == json.loads(published.read_text())


class TestErrors:
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/", 404),
            ("GET", "/v1/nothing", 404),
            ("GET", "/docs", 404),
            ("GET", f"/v1/channels/{quote('room:a/b', safe='')}/history", 404),
            ("GET", "/v1/publish", 405),
            ("DELETE", "/v1/config", 405),
        ],
    )
    async def test_what_is_not_there_is_a_problem_too(
        self, http: httpx.AsyncClient, method: str, path: str, status: int
    ) -> None:
        response = await http.request(method, path)
        assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM)
        assert response.json() == {"type": "about:blank", "title": response.reason_phrase, "status": status}

    async def test_what_may_pass_says_when_to_come_back(
        self, http: httpx.AsyncClient, ann: dict[str, str], stack: MemoryStack
    ) -> None:
        self.break_lanes(stack, UnavailableError("the lane is busy", retry_after_ms=1200))
        response = await http.post("/v1/publish", json=PUBLISH, headers=ann)
        problem = problem_of(response, 503, "unavailable")
        assert (problem["retryable"], problem["retry_after_ms"]) == (True, 1200)
        assert response.headers["retry-after"] == "2"

    async def test_a_failure_is_told_as_internal_and_no_more(
        self, http: httpx.AsyncClient, ann: dict[str, str], stack: MemoryStack, log: Log
    ) -> None:
        """Nor does it leave the app: whoever hosts it would log its text."""
        self.break_lanes(stack, RuntimeError("HUSH"))
        problem = problem_of(await http.post("/v1/publish", json=PUBLISH, headers=ann), 500, "internal")
        assert problem["message"] == "internal"
        assert [line["error"] for line in log.lines()] == ["RuntimeError"]
        assert "HUSH" not in json.dumps(problem) + log.text()

    @staticmethod
    def break_lanes(stack: MemoryStack, error: Exception) -> None:
        class BrokenLanes(MemoryLaneQueue):
            def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
                raise error

        object.__setattr__(stack.publishing, "lanes", BrokenLanes())


class TestPresence:
    async def test_who_is_there_is_told_by_http(
        self, http: httpx.AsyncClient, stack: MemoryStack, ann: dict[str, str]
    ) -> None:
        for user_id in ("ann", "bob"):
            stack.connect(user_id, user_id)
            stack.ask(user_id, {"type": "subscribe", "channel": "room:a", "presence": True})
        page = (await http.get("/v1/channels/room:a/presence", headers=ann)).json()
        assert ([member["user_id"] for member in page["members"]], page["count"]) == (["ann", "bob"], 2)
        page = (await http.get("/v1/channels/room:a/presence?after=ann", headers=ann)).json()
        assert ([member["user_id"] for member in page["members"]], page["count"]) == (["bob"], 2)

    async def test_who_may_not_see_is_refused(self, http: httpx.AsyncClient, stack: MemoryStack) -> None:
        headers = bearer(stack, {"*": ["subscribe"]})
        problem_of(await http.get("/v1/channels/room:a/presence", headers=headers), 403, "forbidden")
        problem_of(await http.get("/v1/channels/room/presence", headers=headers), 422, "invalid_field")
