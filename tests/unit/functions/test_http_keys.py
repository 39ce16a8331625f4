"""API keys over HTTP: who may make them, what they are good for, and that they are good for nothing once revoked."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shared.bootstrap import Services
from shared.domain.api_key import ApiKey
from shared.protocol.rest import KeysAnswer, NewKey
from shared.services.keys import KEYS_MAX, KEYS_PAGE
from tests.unit.functions.conftest import add_key, services_of
from tests.unit.functions.test_http_app import client_of, problem_of, results_of
from tests.unit.stack import MemoryStack

CAPS = {"*": ["publish"], "room:*": ["history", "publish"]}
PUBLISH = {"channel": "broadcast:all", "name": "said", "data": 1, "priority": "express"}


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack()


@pytest.fixture
def services(stack: MemoryStack) -> Services:
    return services_of(stack)


@pytest.fixture
async def admin(stack: MemoryStack, services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(services) as client:
        client.headers["Authorization"] = f"Bearer {stack.token('root', {'*': ['admin']})}"
        yield client


async def make(client: httpx.AsyncClient, name: str = "billing", caps: Any = CAPS, **headers: str) -> dict[str, Any]:
    response = await client.post("/v1/keys", json={"name": name, "caps": caps}, headers=headers)
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    assert NewKey.model_validate(answer).model_dump() == answer
    return answer


async def listed(client: httpx.AsyncClient, **query: str) -> tuple[list[dict[str, Any]], bool]:
    response = await client.get("/v1/keys", params=query)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert KeysAnswer.model_validate(answer).model_dump(exclude_none=True) == answer
    return answer["keys"], answer.get("more", False)


async def publish(client: httpx.AsyncClient, key: str) -> httpx.Response:
    return await client.post("/v1/publish", json=PUBLISH, headers={"X-API-Key": key})


async def test_a_key_is_a_servers_from_its_making_to_its_revocation(
    admin: httpx.AsyncClient, stack: MemoryStack
) -> None:
    stack.connect("c", "ann")
    made = await make(admin)
    (result,) = results_of(await publish(admin, made["key"]))
    assert result["position"]["offset"] == 1
    assert [event["sender"]["user_id"] for event in stack.events("c")] == ["key:billing"]
    assert (await admin.delete(f"/v1/keys/{made['key_id']}")).status_code == 204
    problem_of(await publish(admin, made["key"]), 401, "unauthenticated")
    problem_of(await publish(admin, f"{made['key_id']}.wrong"), 401, "unauthenticated")
    problem_of(await admin.delete(f"/v1/keys/{made['key_id']}"), 404, "not_found")


async def test_it_is_told_whole_once_and_can_not_be_guessed(admin: httpx.AsyncClient) -> None:
    response = await admin.post("/v1/keys", json={"name": "billing", "caps": CAPS})
    assert response.headers["cache-control"] == "no-store"
    made = response.json()
    key_id, _, secret = made["key"].partition(".")
    assert key_id == made["key_id"]
    assert len(secret) >= 43  # 256 bits in base64
    again = await make(admin)  # names may be shared
    assert {again["key_id"], again["key"].partition(".")[2]}.isdisjoint({key_id, secret})
    keys, more = await listed(admin)
    assert not more
    assert keys == sorted(
        ({name: one[name] for name in ("key_id", "name", "caps", "created_at_ms")} for one in (made, again)),
        key=lambda one: one["key_id"],
    )
    assert secret not in (await admin.get("/v1/keys")).text


async def test_they_are_listed_by_id_a_hundred_at_a_time(admin: httpx.AsyncClient, services: Services) -> None:
    ids = [f"{number:03}" for number in range(KEYS_PAGE + 1)]
    for key_id in ids:
        services.api_keys.add(key_named(key_id), "secret", at_most=KEYS_MAX)
    first, more = await listed(admin)
    assert ([key["key_id"] for key in first], more) == (ids[:-1], True)
    rest, more = await listed(admin, after=ids[-2])
    assert ([key["key_id"] for key in rest], more) == (ids[-1:], False)
    assert await listed(admin, after="zz") == ([], False)
    problem_of(await admin.get("/v1/keys", params={"after": "x" * 65}), 422, "invalid_field")


async def test_there_are_a_thousand_at_most(admin: httpx.AsyncClient, services: Services) -> None:
    for number in range(KEYS_MAX):
        services.api_keys.add(key_named(str(number)), "secret", at_most=KEYS_MAX)
    response = await admin.post("/v1/keys", json={"name": "billing", "caps": CAPS})
    problem_of(response, 409, "limit_reached")
    await admin.delete("/v1/keys/7")
    await make(admin)


async def test_a_key_may_be_an_admins(admin: httpx.AsyncClient) -> None:
    key = (await make(admin, caps={"*": ["admin"]}))["key"]
    del admin.headers["Authorization"]
    admin.headers["X-API-Key"] = key
    other = await make(admin, "other")
    assert len((await listed(admin))[0]) == 2
    assert (await admin.delete(f"/v1/keys/{other['key_id']}")).status_code == 204
    assert (await admin.delete(f"/v1/keys/{key.partition('.')[0]}")).status_code == 204  # itself
    problem_of(await admin.get("/v1/keys"), 401, "unauthenticated")


@pytest.mark.parametrize(
    "caps", [{"*": ["publish", "history"]}, {"room:*": ["admin"]}, {"admin:*": ["*"]}, {}], ids=str
)
async def test_nobody_else_may_look_at_them(
    admin: httpx.AsyncClient, stack: MemoryStack, services: Services, caps: dict[str, list[str]]
) -> None:
    add_key(services, "other.secret", caps)
    del admin.headers["Authorization"]
    for headers in ({"Authorization": f"Bearer {stack.token('ann', caps)}"}, {"X-API-Key": "other.secret"}):
        for call in calls(admin, headers):
            problem_of(await call, 403, "forbidden")
    for call in calls(admin, {}):
        problem_of(await call, 401, "unauthenticated")
    assert services.api_keys.page("", limit=10) == [key_named("other", caps)]


def calls(client: httpx.AsyncClient, headers: dict[str, str]) -> list[Any]:
    return [
        client.post("/v1/keys", json={"name": "billing", "caps": CAPS}, headers=headers),
        client.get("/v1/keys", headers=headers),
        client.delete("/v1/keys/other", headers=headers),
    ]


BAD_KEYS: dict[str, tuple[Any, str]] = {
    "no name": ({"caps": CAPS}, "name"),
    "an empty name": ({"name": "", "caps": CAPS}, "name"),
    "a long name": ({"name": "x" * 101, "caps": CAPS}, "name"),
    "a name that is no text": ({"name": 5, "caps": CAPS}, "name"),
    "a name of two lines": ({"name": "a\nb", "caps": CAPS}, "name"),
    "a name that ends its line": ({"name": "billing\n", "caps": CAPS}, "name"),
    "a name that colours the terminal": ({"name": "\x1b[31mred", "caps": CAPS}, "name"),
    "a name that turns text round": ({"name": "a\u202eb", "caps": CAPS}, "name"),
    "a name that fits no channel": ({"name": "ü" * 40, "caps": CAPS}, "name"),
    "no caps": ({"name": "billing"}, "caps"),
    "caps that are a list": ({"name": "billing", "caps": ["publish"]}, "caps"),
    "caps that are a text": ({"name": "billing", "caps": {"*": "publish"}}, "caps"),
    "no capability": ({"name": "billing", "caps": {"*": ["pubish"]}}, "caps.0"),
    "a number among them": ({"name": "billing", "caps": {"*": ["publish", 5]}}, "caps.1"),
    "no pattern": ({"name": "billing", "caps": {"room": ["publish"]}}, "caps"),
    "a star in the middle": ({"name": "billing", "caps": {"room:*:a": ["publish"]}}, "caps"),
    "an empty pattern": ({"name": "billing", "caps": {"": ["publish"]}}, "caps"),
    "a long pattern": ({"name": "billing", "caps": {f"room:{'x' * 200}*": ["publish"]}}, "caps"),
    "more than is kept": ({"name": "billing", "caps": {f"room:{n}": ["publish"] for n in range(500)}}, "caps"),
}


@pytest.mark.parametrize("name", BAD_KEYS)
async def test_a_bad_key_is_not_made(admin: httpx.AsyncClient, services: Services, name: str) -> None:
    body, field = BAD_KEYS[name]
    problem = problem_of(await admin.post("/v1/keys", json=body), 422, "invalid_field")
    assert [one["field"] for one in problem["details"]["fields"]] == [field]
    assert services.api_keys.page("", limit=1) == []


@pytest.mark.parametrize("name", ["<b>bold</b>", "Ann's “billing” & Co.", "日本語", "x" * 100, "../..", " "])
async def test_a_name_may_be_whatever_can_be_shown(admin: httpx.AsyncClient, stack: MemoryStack, name: str) -> None:
    made = await make(admin, name)
    assert [key["name"] for key in (await listed(admin))[0]] == [name]
    stack.connect("c", "ann")
    results_of(await publish(admin, made["key"]))
    assert [event["sender"]["user_id"] for event in stack.events("c")] == [f"key:{name}"]


@pytest.mark.parametrize("key_id", ["other", "%20", "x" * 3_000, "%23META", "..%00", "nobody%0A", "%C3%BC"])
async def test_a_foreign_id_is_nobodys(admin: httpx.AsyncClient, key_id: str) -> None:
    await make(admin)
    problem_of(await admin.delete(f"/v1/keys/{key_id}"), 404, "not_found")
    assert len((await listed(admin))[0]) == 1


@pytest.mark.parametrize("key", ["x" * 5_000, "x" * 5_000 + ".secret", "#.secret", ".secret", "other.", "other"])
async def test_a_foreign_key_is_nobodys(admin: httpx.AsyncClient, key: str) -> None:
    problem_of(await publish(admin, key), 401, "unauthenticated")


def key_named(key_id: str, caps: Any = CAPS) -> ApiKey:
    return ApiKey(key_id, key_id, caps, 1_800_000_000_000)
