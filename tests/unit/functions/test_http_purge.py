"""Purges over HTTP: a channel's stream, and a user's, whatever the user is called."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx
import pytest

from shared.bootstrap import Services
from shared.domain.channel import personal_channel
from shared.ports import Broadcast
from tests.unit.functions.conftest import add_key, services_of
from tests.unit.functions.test_http_app import client_of, problem_of
from tests.unit.stack import MemoryStack

USERS = ["bob", "bob@example.org", "Ann Ö", "a/b", "a/data", "a%2Fb", "100%", "a\nb", "a\n", "a?b#c", "a+b", " "]


@pytest.fixture
def services(stack: MemoryStack) -> Services:
    return services_of(stack)


@pytest.fixture
def admin(stack: MemoryStack) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack.token('root', {'*': ['admin']})}"}


@pytest.fixture
async def http(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(services) as client:
        yield client


def path_of(user_id: str) -> str:
    return f"/v1/users/{quote(user_id, safe='')}/data"


def notice(channel: str) -> list[Broadcast]:
    return [Broadcast(channel, [{"type": "system", "event": "resubscribe", "channel": channel, "reason": "purged"}])]


@pytest.mark.parametrize("user_id", USERS, ids=ascii)
async def test_a_users_channel_begins_anew(
    http: httpx.AsyncClient, stack: MemoryStack, admin: dict[str, str], user_id: str
) -> None:
    stack.connect("c", "ann")
    stack.ask("c", {"type": "send", "to": {"user_id": user_id}, "name": "said", "data": 1})
    stack.drain()
    channel = personal_channel(user_id)
    before = stack.store.streams[channel]
    response = await http.delete(path_of(user_id), headers=admin)
    assert (response.status_code, response.content) == (204, b"")
    assert stack.store.streams[channel].epoch != before.epoch
    position, page = stack.history.read(channel, None, limit=10, reverse=False)
    assert (position.offset, page.publications) == (0, [])
    assert stack.bus.broadcasts == notice(channel)


async def test_a_channel_begins_anew(http: httpx.AsyncClient, stack: MemoryStack, admin: dict[str, str]) -> None:
    response = await http.delete("/v1/channels/room%3Aa", headers=admin)
    assert response.status_code == 204
    assert stack.bus.broadcasts == notice("room:a")


@pytest.mark.parametrize("user_id", ["x" * 129, "ü" * 40, ""])
async def test_whoever_can_not_be_addressed_is_a_problem(
    http: httpx.AsyncClient, admin: dict[str, str], user_id: str
) -> None:
    problem = problem_of(await http.delete(path_of(user_id), headers=admin), 422, "invalid_field")
    assert [one["field"] for one in problem["details"]["fields"]] == ["user_id"]


async def test_purges_are_for_admins(http: httpx.AsyncClient, stack: MemoryStack, services: Services) -> None:
    add_key(services, "billing.secret", {"*": ["publish"], "user:*": ["admin"]})
    for headers, status, name in (
        ({"Authorization": f"Bearer {stack.token('bob')}"}, 403, "forbidden"),  # not even one's own
        ({"X-API-Key": "billing.secret"}, 403, "forbidden"),
        ({}, 401, "unauthenticated"),
    ):
        for path in (path_of("bob"), "/v1/channels/room%3Aa"):
            problem_of(await http.delete(path, headers=headers), status, name)
    assert stack.bus.broadcasts == []


async def test_an_admins_key_purges(http: httpx.AsyncClient, stack: MemoryStack, services: Services) -> None:
    add_key(services, "ops.secret", {"*": ["admin"]})
    assert (await http.delete(path_of("bob"), headers={"X-API-Key": "ops.secret"})).status_code == 204
    assert stack.bus.broadcasts == notice("user:bob")
