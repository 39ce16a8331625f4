"""Throwing out over HTTP: by admins alone, whatever connections and users are called."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from shared.bootstrap import Services
from tests.unit.functions.conftest import add_key, services_of
from tests.unit.functions.test_http_app import client_of, problem_of
from tests.unit.functions.test_http_purge import USERS
from tests.unit.services.test_revocation import ADMIN, REVOKED
from tests.unit.stack import MemoryStack


@pytest.fixture
def services(stack: MemoryStack) -> Services:
    return services_of(stack)


@pytest.fixture
async def http(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(services) as client:
        yield client


@pytest.fixture
def admin(services: Services) -> dict[str, str]:
    add_key(services, "root.secret", {"*": ["admin"]})
    return {"X-API-Key": "root.secret"}


@pytest.mark.parametrize("user_id", USERS, ids=ascii)
async def test_a_user_is_thrown_out(
    http: httpx.AsyncClient, stack: MemoryStack, admin: dict[str, str], user_id: str
) -> None:
    stack.connect("c", user_id)
    response = await http.delete(f"/v1/users/{quote(user_id, safe='')}/connections", headers=admin)
    assert (response.status_code, response.content) == (204, b"")
    assert stack.events("c")[-1]["code"] == 3501
    assert stack.revocations.revoked_at_ms(user_id) == stack.clock()


@pytest.mark.parametrize("user_id", ["key:root", "iam:deploy"])
async def test_who_comes_without_a_token_is_revoked_elsewhere(
    http: httpx.AsyncClient, stack: MemoryStack, admin: dict[str, str], user_id: str
) -> None:
    bearer = {"Authorization": f"Bearer {stack.token('ann')}"}
    for headers in (admin, bearer):
        problem_of(await http.delete(f"/v1/users/{user_id}/connections", headers=headers), 422, "invalid_field")


async def test_no_connection_has_so_long_an_id(http: httpx.AsyncClient, admin: dict[str, str]) -> None:
    problem_of(await http.delete(f"/v1/connections/{'x' * 129}", headers=admin), 422, "invalid_field")


@pytest.mark.parametrize("connection_id", ["L0SM9cOFIAMCJqQ=", "mailbox.a-b_c", "a%2Fb"])
async def test_a_connection_is_thrown_out(
    http: httpx.AsyncClient, stack: MemoryStack, admin: dict[str, str], connection_id: str
) -> None:
    stack.connect(connection_id, "ann")
    path = f"/v1/connections/{quote(connection_id, safe='')}"
    if connection_id.startswith("mailbox."):
        stack.mailboxes.open(connection_id, expires_at_s=1_900_000_000)
    response = await http.delete(path, headers=admin)
    assert (response.status_code, response.content) == (204, b"")
    assert stack.connections.get(connection_id) is None
    assert stack.revocations.revoked_at_ms("ann") is None
    problem_of(await http.delete(path, headers=admin), 404, "not_found")


@pytest.mark.parametrize("path", ["/v1/users/ann/connections", "/v1/connections/c"])
async def test_only_admins_may(http: httpx.AsyncClient, stack: MemoryStack, path: str) -> None:
    stack.connect("c", "ann")
    bearer = {"Authorization": f"Bearer {stack.token('ann')}"}
    problem_of(await http.delete(path, headers=bearer), 403, "forbidden")
    problem_of(await http.delete(path), 401, "unauthenticated")
    assert stack.connections.get("c") is not None
    assert stack.revocations.revoked_at_ms("ann") is None


async def test_a_revoked_token_is_refused_by_every_call(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    bearer = {"Authorization": f"Bearer {stack.token('ann')}"}
    assert (await http.get("/v1/commands", headers=bearer)).status_code == 200
    stack.revocations.revoke("ann", at_ms=stack.clock())
    problem_of(await http.get("/v1/commands", headers=bearer), 401, "unauthenticated")
    problem_of(await http.post("/v1/tickets", headers=bearer), 401, "unauthenticated")


@pytest.mark.parametrize("wait_s", [0, 25])
@pytest.mark.parametrize("read_before", [False, True])
async def test_a_poll_that_comes_later_is_told_and_nothing_else_works(
    http: httpx.AsyncClient, stack: MemoryStack, admin: dict[str, str], wait_s: int, read_before: bool
) -> None:
    bearer = {"Authorization": f"Bearer {stack.token('ann')}"}
    session = (await http.post("/v1/sessions", json={"protocol": 1}, headers=bearer)).json()
    path, headers = f"/v1/sessions/{session['session_id']}", {"Authorization": f"Bearer {session['session_token']}"}
    params: dict[str, str | int] = {"wait_s": wait_s}
    if read_before:
        params["cursor"] = (await http.get(f"{path}/frames", headers=headers)).json()["cursor"]
    await http.delete("/v1/users/ann/connections", headers=admin)
    for _ in range(2):
        answer = await http.get(f"{path}/frames", params=params, headers=headers)
        assert answer.status_code == 200
        assert answer.json() == {"cursor": params.get("cursor", ""), "frames": [REVOKED]}
        params["cursor"] = answer.json()["cursor"]  # as clients do, whatever it is
    assert stack.mailbox_store.mailboxes == {}
    problem_of(await http.post(f"{path}/frames", json={"type": "ping"}, headers=headers), 410, "session_unknown")
    problem_of(await http.delete(path, headers=headers), 410, "session_unknown")
    problem_of(await http.get(f"{path}/frames", headers=bearer), 401, "unauthenticated")


async def test_a_poll_that_waits_is_told_last_whatever_else_has_come(
    http: httpx.AsyncClient, stack: MemoryStack
) -> None:
    bearer = {"Authorization": f"Bearer {stack.token('ann')}"}
    session = (await http.post("/v1/sessions", json={"protocol": 1}, headers=bearer)).json()
    path, headers = f"/v1/sessions/{session['session_id']}", {"Authorization": f"Bearer {session['session_token']}"}
    look, looks = stack.mailbox_store.look, list[int]()

    def looking(awaited: Any) -> Any:
        if not looks:
            for _ in range(30):
                stack.mailboxes.push(session["connection_id"], b'{"type":"event"}')
            stack.revocation.revoke_user(ADMIN, "ann")
        looks.append(1)
        return look(awaited)

    stack.mailbox_store.look = looking  # type: ignore[method-assign]
    answer = await http.get(f"{path}/frames", params={"wait_s": 25}, headers=headers)
    *_, last = answer.json()["frames"]
    assert last == REVOKED


@pytest.mark.parametrize("first", ["frames", "stream", "poll"])
async def test_a_session_that_nothing_had_is_unknown_and_its_poll_is_told(
    http: httpx.AsyncClient, stack: MemoryStack, admin: dict[str, str], first: str
) -> None:
    """Its WebSocket has gone a moment before."""
    token = stack.token("ann")
    stack.connect("c")
    hello = stack.ask("c", {"type": "hello", "protocol": 1, "token": token})["result"]
    body = {"protocol": 1, "session_id": hello["session_id"]}
    session = (await http.post("/v1/sessions", json=body, headers={"Authorization": f"Bearer {token}"})).json()
    stack.sessions.disconnect("c")
    path, headers = (
        f"/v1/sessions/{session['session_id']}/frames",
        {"Authorization": f"Bearer {session['session_token']}"},
    )
    await http.delete("/v1/users/ann/connections", headers=admin)
    if first == "frames":
        problem_of(await http.post(path, json={"type": "ping"}, headers=headers), 410, "session_unknown")
    elif first == "stream":
        stream = f"/v1/stream/sessions/{session['session_id']}"
        problem_of(await http.get(stream, headers=headers), 410, "session_unknown")
    answer = await http.get(path, headers=headers)
    assert (answer.status_code, answer.json()["frames"]) == (200, [REVOKED])
    assert stack.mailbox_store.mailboxes == {}


async def test_a_poll_of_a_session_that_just_ended_is_told_nothing(
    http: httpx.AsyncClient, stack: MemoryStack, admin: dict[str, str]
) -> None:
    """One connection was thrown out, or its client has ended it: its user may come back."""
    bearer = {"Authorization": f"Bearer {stack.token('ann')}"}
    session = (await http.post("/v1/sessions", json={"protocol": 1}, headers=bearer)).json()
    path, headers = f"/v1/sessions/{session['session_id']}", {"Authorization": f"Bearer {session['session_token']}"}
    connection_id = quote(session["connection_id"], safe="")
    assert (await http.delete(f"/v1/connections/{connection_id}", headers=admin)).status_code == 204
    problem_of(await http.get(f"{path}/frames", headers=headers), 410, "session_unknown")


@pytest.mark.parametrize("user_id", ["x" * 129, "é" * 100], ids=["long", "long when encoded"])
async def test_who_can_be_nobody_is_refused(http: httpx.AsyncClient, admin: dict[str, str], user_id: str) -> None:
    response = await http.delete(f"/v1/users/{quote(user_id, safe='')}/connections", headers=admin)
    problem_of(response, 422, "invalid_field")
