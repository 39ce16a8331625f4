"""State documents by HTTP: the ETag is the version, If-Match and If-None-Match say what the caller knows."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from shared.bootstrap import Services
from shared.protocol.limits import DOCUMENT_MAX_BYTES
from tests.unit.functions.conftest import add_key, services_of
from tests.unit.functions.test_http_app import client_of
from tests.unit.stack import MemoryStack

KEY = "billing.secret"
BOARD = f"/v1/channels/{quote('room:a', safe='')}/state/board"


@pytest.fixture
def services(stack: MemoryStack) -> Services:
    services = services_of(stack)
    caps = {"room:*": ["state.read", "state.write"], "strict:*": ["state.read", "state.write"]}
    add_key(services, KEY, caps)
    add_key(services, "reader.secret", {"room:*": ["state.read"]})
    return services


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack('[namespaces.strict]\nstate_strategy = "reject"')


@pytest.fixture
async def http(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(services) as client:
        client.headers["X-API-Key"] = KEY
        yield client


def told(response: httpx.Response) -> tuple[int, Any, str | None]:
    return response.status_code, response.json(), response.headers.get("ETag")


async def test_a_document_is_set_read_changed_and_deleted(http: httpx.AsyncClient) -> None:
    assert told(await http.put(BOARD, json={"a": 1})) == (
        200,
        {"version": 1, "value": {"a": 1}, "resolution": "applied"},
        '"1"',
    )
    assert told(await http.get(BOARD)) == (200, {"a": 1}, '"1"')
    patched = await http.patch(BOARD, json={"b": 2}, headers={"If-Match": '"1"'})
    assert told(patched) == (200, {"version": 2, "value": {"a": 1, "b": 2}, "resolution": "applied"}, '"2"')
    unchanged = await http.get(BOARD, headers={"If-None-Match": '"2"'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert (await http.get(BOARD, headers={"If-None-Match": '"1"'})).status_code == 200
    assert told(await http.delete(BOARD)) == (
        200,
        {"version": 3, "deleted": True, "resolution": "applied"},
        '"3"',
    )
    gone = await http.get(BOARD)
    assert (gone.status_code, gone.json()["name"], gone.json()["code"]) == (404, "not_found", 1015)


async def test_a_precondition_that_does_not_hold_is_told_with_what_is_there(http: httpx.AsyncClient) -> None:
    strict = BOARD.replace("room", "strict")
    await http.put(strict, json=1)
    await http.put(strict, json=2)
    for headers in ({"If-Match": '"1"'}, {"If-Match": '"9"'}, {"If-None-Match": "*"}):
        refused = await http.put(strict, json=3, headers=headers)
        assert (refused.status_code, refused.json()["name"]) == (412, "version_conflict")
        assert refused.json()["details"] == {"version": 2, "value": 2}
    assert (await http.put(strict + "2", json=3, headers={"If-None-Match": "*"})).json()["version"] == 1


@pytest.mark.parametrize(
    "headers",
    [{"If-Match": "1"}, {"If-Match": "*"}, {"If-Match": 'W/"1"'}, {"If-Match": '"x"'}, {"If-None-Match": '"1"'}],
)
async def test_preconditions_that_say_nothing_here(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    refused = await http.put(BOARD, json=1, headers=headers)
    assert (refused.status_code, refused.json()["details"]["fields"][0]["field"]) == (422, next(iter(headers)))


async def test_large_documents_go_by_http(http: httpx.AsyncClient) -> None:
    value = {"text": "x" * (DOCUMENT_MAX_BYTES - len('{"text":""}'))}
    assert (await http.put(BOARD, json=value)).json()["version"] == 1
    assert (await http.get(BOARD)).json() == value
    over = await http.patch(BOARD, json={"y": 1})
    assert (over.status_code, over.json()["name"]) == (413, "too_large")
    far_over = await http.put(BOARD, json="x" * 256_000)
    assert (far_over.status_code, far_over.json()["name"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        ("null", 422, "invalid_field"),
        ("{", 400, "bad_frame"),
        ("", 400, "bad_frame"),
        ("NaN", 400, "bad_frame"),
        ("[" * 300, 400, "bad_frame"),
        ("1e999", 400, "bad_frame"),
        ('"\\ud800"', 400, "bad_frame"),
    ],
)
async def test_bodies_that_are_no_document(http: httpx.AsyncClient, body: str, status: int, name: str) -> None:
    refused = await http.put(BOARD, content=body)
    assert (refused.status_code, refused.json()["name"]) == (status, name)


async def test_a_patch_is_an_object(http: httpx.AsyncClient) -> None:
    refused = await http.patch(BOARD, json=[1])
    assert (refused.status_code, refused.json()["details"]["fields"][0]["field"]) == (422, "patch")


async def test_a_channel_s_documents(http: httpx.AsyncClient) -> None:
    for key in ("b", "a"):
        await http.put(BOARD.replace("board", key), json=key)
    listed = (await http.get(BOARD.removesuffix("/board"))).json()
    assert {key: entry["value"] for key, entry in listed["documents"].items()} == {"a": "a", "b": "b"}
    rest = (await http.get(BOARD.removesuffix("/board"), params={"after": "a"})).json()
    assert list(rest["documents"]) == ["b"]


async def test_rights_names_and_keys_are_checked(http: httpx.AsyncClient) -> None:
    reader = {"X-API-Key": "reader.secret"}
    assert (await http.put(BOARD, json=1, headers=reader)).status_code == 403
    assert (await http.get(BOARD, headers=reader)).status_code == 404
    assert (await http.get(BOARD.replace("room", "other"))).status_code == 403
    assert (await http.get(BOARD.replace("room%3Aa", "room"))).json()["name"] == "invalid_field"
    assert (await http.put(BOARD + "%23", json=1)).json()["details"]["fields"][0]["field"] == "key"
    assert (await http.put(BOARD, json=1, headers={"X-API-Key": "no"})).status_code == 401


async def test_subscribers_are_told_of_what_comes_by_http(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    stack.ask("c", {"type": "subscribe", "channel": "room:a", "state": True})
    await http.put(BOARD, json={"a": 1})
    [push] = [frame for frame in stack.events("c") if frame["type"] == "state"]
    assert (push["version"], push["value"], push["updated_by"]) == (1, {"a": 1}, "key:billing")
