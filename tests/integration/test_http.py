"""The HTTP side: of the app that the edge serves, and of the same app in the deployed function."""

import secrets
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from localstack.stack import LocalStack
from shared.domain.channel import personal_channel
from tests.integration.checks import assert_gapless, eventually
from tests.integration.client import dev_token
from tests.integration.conftest import Connect

PROBLEM = "application/problem+json"
Header = dict[str, str]


@pytest.fixture(scope="module")
def bearer(stack: LocalStack) -> Header:
    return {"Authorization": f"Bearer {dev_token(stack.url, 'ann')}"}


@pytest.fixture
def key(api_key: str) -> Header:
    return {"X-API-Key": api_key}


def publish(http: httpx.Client, header: Header, channel: str, data: Any, **fields: Any) -> dict[str, Any]:
    body = {"channel": channel, "name": "said", "data": data, **fields}
    [result] = http.post("/v1/publish", json=body, headers=header).raise_for_status().json()["results"]
    assert isinstance(result, dict)
    return result


def history(http: httpx.Client, header: Header, channel: str, **query: Any) -> dict[str, Any]:
    response = http.get(f"/v1/channels/{quote(channel, safe='')}/history", params=query, headers=header)
    page: dict[str, Any] = response.raise_for_status().json()
    return page


async def test_what_a_server_publishes_reaches_who_is_connected(
    everywhere: httpx.Client, key: Header, connect: Connect, channel: str
) -> None:
    ann, bob = [await connect(user_id, subscribe=[{"channel": channel}]) for user_id in ("ann", "bob")]
    express = publish(everywhere, key, channel, "first", priority="express")
    assert (express["channel"], express["position"]["offset"]) == (channel, 1)
    accepted = publish(everywhere, key, channel, "second", message_id="m")
    assert accepted == {"channel": channel, "message_id": "m", "status": "accepted"}
    for client in (ann, bob):
        events = await client.wait_for_events(channel, 2)
        assert_gapless(events)
        assert [event["data"] for event in events] == ["first", "second"]
        assert events[0]["sender"] == {"user_id": "key:billing", "connection_id": None}


async def test_the_personal_and_the_broadcast_channel_are_there_from_hello_on(
    everywhere: httpx.Client, key: Header, bearer: Header, connect: Connect
) -> None:
    names = [f"Ann Ö {secrets.token_hex(4)}", f"bob/{secrets.token_hex(4)}"]
    ann, bob = [await connect(name, caps={}) for name in names]
    personal = personal_channel(names[0])
    publish(everywhere, key, personal, "for ann")
    [event] = await ann.wait_for_events(personal, 1)
    assert event["data"] == "for ann"
    publish(everywhere, key, "broadcast:all", "for everybody")
    for client in (ann, bob):
        [event] = await client.wait_for_events("broadcast:all", 1)
        assert event["data"] == "for everybody"
    assert bob.events(personal) == []
    for channel in (personal, "broadcast:all"):
        response = everywhere.post("/v1/publish", json={"channel": channel, "name": "said", "data": 1}, headers=bearer)
        assert (response.status_code, response.json()["name"]) == (403, "forbidden")
    assert history(everywhere, key, personal)["publications"][0]["data"] == "for ann"


async def test_one_publication_for_several_channels(
    everywhere: httpx.Client, bearer: Header, key: Header, channel: str
) -> None:
    channels = [f"{channel}.1", f"{channel}.2", f"{channel}.1", "broadcast:all"]
    body = {"channels": channels, "name": "said", "data": 1, "priority": "express", "message_id": "m"}
    results = everywhere.post("/v1/publish", json=body, headers=bearer).raise_for_status().json()["results"]
    assert [result["channel"] for result in results] == [f"{channel}.1", f"{channel}.2", "broadcast:all"]
    assert [result["position"]["offset"] for result in results[:2]] == [1, 1]
    assert results[2]["error"]["name"] == "forbidden"
    assert everywhere.post("/v1/publish", json=body, headers=bearer).json()["results"] == results


async def test_many_publications_in_one_call(
    everywhere: httpx.Client, key: Header, connect: Connect, channel: str
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    publications = [{"channel": channel, "name": "said", "data": n, "message_id": f"m{n}"} for n in range(99)]
    for round_ in range(2):
        body = [*publications, {"channel": f"{channel}.other", "name": "said", "data": 1, "priority": "express"}]
        body = [{**one, "retry": bool(round_)} for one in body]
        results = everywhere.post("/v1/publish", json=body, headers=key).raise_for_status().json()["results"]
        assert [result["channel"] for result in results] == [channel] * 99 + [f"{channel}.other"]
        assert [result.get("status") for result in results] == ["accepted"] * 99 + [None]
        assert results[-1]["position"]["offset"] == round_ + 1  # it has no id, and so each is another
    events = await ann.wait_for_events(channel, 99)
    assert_gapless(events)
    assert [event["data"] for event in events] == list(range(99))
    page = await eventually(lambda: history(everywhere, key, channel, limit=300)["publications"])
    assert [publication["data"] for publication in page] == list(range(99))


def test_an_array_with_a_bad_entry_publishes_nothing(
    everywhere: httpx.Client, key: Header, bearer: Header, channel: str
) -> None:
    good = {"channel": channel, "name": "said", "data": 1, "priority": "express"}
    response = everywhere.post("/v1/publish", json=[good, good, {**good, "channel": "none"}], headers=key)
    assert_problem(response, 422, "invalid_field")
    assert [field["field"] for field in response.json()["details"]["fields"]] == ["2.channel"]
    assert history(everywhere, key, channel)["publications"] == []
    refused = {**good, "channel": "user:ann"}
    results = everywhere.post("/v1/publish", json=[refused], headers=bearer).raise_for_status().json()
    assert results["results"][0]["error"]["name"] == "forbidden"


async def test_what_is_kept_for_a_user_is_purged(everywhere: httpx.Client, key: Header, admin: Header) -> None:
    for user_id in (f"Ann Ö {secrets.token_hex(4)}", f"a/b%2F {secrets.token_hex(4)}"):
        channel, path = personal_channel(user_id), f"/v1/users/{quote(user_id, safe='')}/data"
        publish(everywhere, key, channel, "for ann", priority="express")
        before = history(everywhere, key, channel)
        assert_problem(everywhere.delete(path, headers=key), 403, "forbidden")
        assert everywhere.delete(path, headers=admin).status_code == 204
        after = history(everywhere, key, channel)
        assert (len(before["publications"]), after["publications"]) == (1, [])
        assert before["position"]["epoch"] != after["position"]["epoch"]
    assert_problem(everywhere.delete(f"/v1/users/{'x' * 129}/data", headers=admin), 422, "invalid_field")


async def test_history_by_pages_and_both_ways(everywhere: httpx.Client, bearer: Header, channel: str) -> None:
    for number in range(5):
        publish(everywhere, bearer, channel, number, priority="express")
    page = history(everywhere, bearer, channel, limit=3)
    assert ([p["data"] for p in page["publications"]], page["more"]) == ([0, 1, 2], True)
    since = {"since_epoch": page["position"]["epoch"], "since_offset": 3}
    rest = history(everywhere, bearer, channel, **since)
    assert_gapless(page["publications"] + rest["publications"])
    assert (rest["position"]["offset"], rest["more"]) == (5, False)
    back = history(everywhere, bearer, channel, reverse=True, **since)
    assert [p["data"] for p in back["publications"]] == [1, 0]
    assert history(everywhere, bearer, f"{channel}.never")["publications"] == []


async def test_a_long_history_comes_compressed(everywhere: httpx.Client, bearer: Header, channel: str) -> None:
    for number in range(5):
        publish(everywhere, bearer, channel, f"{number}" * 1_000, priority="express")
    path = f"/v1/channels/{quote(channel, safe='')}/history"
    compressed = everywhere.get(path, headers=bearer)
    assert compressed.headers["content-encoding"] == "gzip"
    assert int(compressed.headers["content-length"]) < 2_500
    plain = everywhere.get(path, headers={**bearer, "Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert compressed.json() == plain.json()


async def test_a_publish_in_a_lane_is_in_the_history_soon(
    everywhere: httpx.Client, bearer: Header, channel: str
) -> None:
    publish(everywhere, bearer, channel, "queued")
    page = await eventually(lambda: history(everywhere, bearer, channel)["publications"])
    assert [p["data"] for p in page] == ["queued"]


def test_a_ticket_from_either_opens_a_connection(everywhere: httpx.Client, bearer: Header) -> None:
    answer = everywhere.post("/v1/tickets", headers=bearer).raise_for_status().json()
    assert answer["expires_in_s"] == 30
    assert len(answer["ticket"]) >= 32


def test_it_says_where_to_connect_and_how_it_is(everywhere: httpx.Client, stack: LocalStack) -> None:
    config = everywhere.get("/v1/config").raise_for_status().json()
    websocket_url = stack.url.replace("http", "ws", 1) + "/v1/ws"
    assert (config["websocket_url"], config["http_url"]) == (websocket_url, stack.url)
    assert "websocket" in config["transports"]
    assert everywhere.get("/healthz").raise_for_status().json()["status"] == "ok"
    ready = everywhere.get("/readyz").raise_for_status().json()
    assert ready == {"status": "ok", "checks": {"connections": "ok", "streams": "ok", "tokens": "ok"}}
    described = everywhere.get("/openapi.json").raise_for_status().json()
    assert {"/v1/publish", "/v1/channels/{channel}/history", "/v1/tickets"} <= described["paths"].keys()


PUBLISH = {"channel": "room:x", "name": "said", "data": 1}

# What is posted, and the status and name of the answer.
BAD_PUBLISHES: dict[str, tuple[Any, int, str]] = {
    "no JSON": (b"no json", 400, "bad_frame"),
    "no object": (b"1", 400, "bad_frame"),
    "an array of no objects": (b"[1]", 400, "bad_frame"),
    "nested 10,000 deep": (b"[" * 10_000 + b"]" * 10_000, 400, "bad_frame"),
    "everything missing": (b"{}", 422, "invalid_field"),
    "a field of another type": ({**PUBLISH, "name": 5}, 422, "invalid_field"),
    "a bad channel": ({**PUBLISH, "channel": "no namespace"}, 422, "invalid_field"),
    "both channel and channels": ({**PUBLISH, "channels": ["room:y"]}, 422, "invalid_field"),
    "an unknown priority": ({**PUBLISH, "priority": "urgent"}, 422, "invalid_field"),
    "data too large": ({**PUBLISH, "data": "x" * 24_001}, 413, "too_large"),
    "a channel for servers": ({**PUBLISH, "channel": "user:ann"}, 403, "forbidden"),
}


@pytest.mark.parametrize("name", BAD_PUBLISHES)
def test_a_bad_publish_is_a_problem(everywhere: httpx.Client, bearer: Header, name: str) -> None:
    body, status, error_name = BAD_PUBLISHES[name]
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    response = everywhere.post("/v1/publish", headers={**bearer, "Content-Type": "application/json"}, **content)
    assert_problem(response, status, error_name)


BAD_CREDENTIALS: dict[str, Header] = {
    "none": {},
    "a token that is none": {"Authorization": "Bearer nonsense"},
    "another scheme": {"Authorization": "Basic YTpi"},
    "nobody's key": {"X-API-Key": "nobodys.secret"},
}


def test_a_page_of_another_origin_may_ask_as_the_deployed_api_lets_it(http: httpx.Client) -> None:
    """As it does where a front end has a server of its own for development."""
    origin = {"Origin": "http://localhost:5173"}
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    preflight = http.options("/v1/publish", headers=origin | asks)
    assert preflight.is_success
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    for path in ("/v1/config", "/v1/nothing"):
        assert http.get(path, headers=origin).headers["access-control-allow-origin"] == "*", path
    assert "etag" in http.get("/v1/config", headers=origin).headers["access-control-expose-headers"].lower()


@pytest.mark.parametrize("name", BAD_CREDENTIALS)
def test_who_does_not_say_who_it_is_is_told_to(everywhere: httpx.Client, name: str) -> None:
    header = BAD_CREDENTIALS[name]
    for response in (
        everywhere.post("/v1/publish", json=PUBLISH, headers=header),
        everywhere.get("/v1/channels/room:x/history", headers=header),
        everywhere.post("/v1/tickets", headers=header),
    ):
        assert_problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"


def test_a_key_with_another_secret_is_refused(everywhere: httpx.Client, api_key: str) -> None:
    response = everywhere.post("/v1/publish", json=PUBLISH, headers={"X-API-Key": f"{api_key.partition('.')[0]}.x"})
    assert_problem(response, 401, "unauthenticated")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/channels/nonamespace/history",
        "/v1/channels/room%3Ax/history?limit=0",
        "/v1/channels/room%3Ax/history?limit=301",
        "/v1/channels/room%3Ax/history?since_offset=1",
        "/v1/channels/room%3Ax/history?since_epoch=e&since_offset=-1",
    ],
)
def test_a_bad_history_request_is_a_problem(everywhere: httpx.Client, bearer: Header, path: str) -> None:
    assert_problem(everywhere.get(path, headers=bearer), 422, "invalid_field")


def test_no_such_path_and_no_such_method_are_problems(everywhere: httpx.Client) -> None:
    for response, status in ((everywhere.get("/v1/nothing"), 404), (everywhere.get("/v1/publish"), 405)):
        assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM)
        assert response.json()["status"] == status


def assert_problem(response: httpx.Response, status: int, name: str) -> None:
    problem = response.json()
    assert (response.status_code, problem["status"], problem["name"], problem["title"]) == (status, status, name, name)
    assert response.headers["content-type"] == PROBLEM
    assert problem["retryable"] is False
    assert isinstance(problem["code"], int)
