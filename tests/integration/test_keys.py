"""API keys on the deployed stack: from their making to their revocation, by the edge's app and by the function."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.integration.client import dev_token
from tests.integration.test_http import assert_problem

Header = dict[str, str]
CAPS = {"room:*": ["publish", "history"]}


@pytest.fixture
def name() -> str:
    return f"server-{secrets.token_hex(6)}"


def make(http: httpx.Client, admin: Header, name: str, caps: Any = CAPS) -> dict[str, Any]:
    response = http.post("/v1/keys", json={"name": name, "caps": caps}, headers=admin)
    assert response.status_code == 201
    made: dict[str, Any] = response.json()
    return made


def listed(http: httpx.Client, admin: Header) -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        page = http.get("/v1/keys", params={"after": after}, headers=admin).raise_for_status().json()
        yield from page["keys"]
        if not page.get("more"):
            return
        after = page["keys"][-1]["key_id"]


def publish(http: httpx.Client, key: str, channel: str = "room:a") -> httpx.Response:
    body = {"channel": channel, "name": "said", "data": 1, "priority": "express"}
    return http.post("/v1/publish", json=body, headers={"X-API-Key": key})


def test_a_key_is_good_until_it_is_revoked_and_then_at_once_no_more(
    everywhere: httpx.Client, http: httpx.Client, admin: Header, name: str, channel: str
) -> None:
    made = make(everywhere, admin, name)
    assert publish(everywhere, made["key"], channel).status_code == 200
    assert_problem(publish(everywhere, made["key"], "orders:1"), 403, "forbidden")
    assert_problem(publish(everywhere, made["key"][:-1], channel), 401, "unauthenticated")
    key = everywhere.get(f"/v1/channels/{channel}/history", headers={"X-API-Key": made["key"]}).json()
    assert key["publications"][0]["sender"]["user_id"] == f"key:{name}"
    # By another process: what one remembers of it would show here.
    assert http.delete(f"/v1/keys/{made['key_id']}", headers=admin).status_code == 204
    assert_problem(publish(everywhere, made["key"], channel), 401, "unauthenticated")
    assert_problem(publish(everywhere, f"{made['key_id']}.wrong", channel), 401, "unauthenticated")
    assert_problem(everywhere.delete(f"/v1/keys/{made['key_id']}", headers=admin), 404, "not_found")
    assert name not in [one["name"] for one in listed(everywhere, admin)]


def test_keys_are_listed_without_their_secrets_in_pages(http: httpx.Client, admin: Header, name: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: make_patiently(http, admin, name), range(101)))
    keys = [key for key in listed(http, admin) if key["name"] == name]
    described = [{field: value for field, value in one.items() if field != "key"} for one in made]
    assert keys == sorted(described, key=lambda one: str(one["key_id"]))
    assert {key["name"] for key in keys} == {name}
    for key in keys:
        assert http.delete(f"/v1/keys/{key['key_id']}", headers=admin).status_code == 204
    assert name not in [key["name"] for key in listed(http, admin)]


def make_patiently(http: httpx.Client, admin: Header, name: str) -> dict[str, Any]:
    """Make a key; others are made at the same moment, and one of two may be told to come again."""
    while True:
        response = http.post("/v1/keys", json={"name": name, "caps": CAPS}, headers=admin)
        if response.status_code != 503:
            made: dict[str, Any] = response.raise_for_status().json()
            return made
        assert response.json()["name"] == "contention"


@pytest.mark.parametrize("bad", ["", "a\nb", "\x1b[1m", "x" * 101])
def test_a_bad_name_makes_no_key(everywhere: httpx.Client, admin: Header, bad: str) -> None:
    response = everywhere.post("/v1/keys", json={"name": bad, "caps": CAPS}, headers=admin)
    assert_problem(response, 422, "invalid_field")


def test_markup_is_a_name_as_any_other(everywhere: httpx.Client, admin: Header) -> None:
    made = make(everywhere, admin, "<script>alert('ü')</script>")
    assert publish(everywhere, made["key"]).status_code == 200
    assert made["name"] in [one["name"] for one in listed(everywhere, admin)]
    everywhere.delete(f"/v1/keys/{made['key_id']}", headers=admin).raise_for_status()


@pytest.mark.parametrize("key_id", ["nobodys", "%23", "x" * 3_000, "%C3%BC"])
def test_a_foreign_id_is_not_found(everywhere: httpx.Client, admin: Header, key_id: str) -> None:
    assert_problem(everywhere.delete(f"/v1/keys/{key_id}", headers=admin), 404, "not_found")


def test_nobody_but_an_admin_may(everywhere: httpx.Client, http: httpx.Client, admin: Header, name: str) -> None:
    url = str(http.base_url)
    server, ops = make(everywhere, admin, name), make(everywhere, admin, f"{name}-ops", {"*": ["admin"]})
    for headers, status, error in (
        ({"Authorization": f"Bearer {dev_token(url, 'ann')}"}, 403, "forbidden"),
        ({"Authorization": f"Bearer {dev_token(url, 'ann', caps={'room:*': ['admin']})}"}, 403, "forbidden"),
        ({"X-API-Key": server["key"]}, 403, "forbidden"),
        ({"X-API-Key": f"{ops['key_id']}.{server['key'].partition('.')[2]}"}, 401, "unauthenticated"),
        ({}, 401, "unauthenticated"),
    ):
        body = {"name": name, "caps": {"*": ["admin"]}}
        assert_problem(everywhere.post("/v1/keys", json=body, headers=headers), status, error)
        assert_problem(everywhere.get("/v1/keys", headers=headers), status, error)
        assert_problem(everywhere.delete(f"/v1/keys/{server['key_id']}", headers=headers), status, error)
    by_key = {"X-API-Key": ops["key"]}
    for one in (server, ops):
        assert everywhere.delete(f"/v1/keys/{one['key_id']}", headers=by_key).status_code == 204
    assert_problem(everywhere.get("/v1/keys", headers=by_key), 401, "unauthenticated")
