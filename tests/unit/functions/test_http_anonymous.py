"""Tokens for anonymous users: one each, renewed for who has it, and none where the stage has no such users."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx
import jwt
import pytest

from functions.http_api.app import create_app
from shared.adapters.memory import fixed_secret
from shared.adapters.tokens import Hs256Tokens
from shared.domain.principal import Principal
from tests.unit.functions.conftest import services_of
from tests.unit.stack import SECRET, MemoryStack

CAPABILITIES: Final = {"room:*": ["subscribe"]}
PATH: Final = "/v1/anonymous/token"


def client_of(stack: MemoryStack, **environment: str) -> httpx.AsyncClient:
    app = create_app(services_of(stack, **environment))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tidewire")


@pytest.fixture
async def http(stack: MemoryStack) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(stack, ANONYMOUS=json.dumps(CAPABILITIES), TIDEWIRE_STAGE="prod") as client:
        yield client


async def given(http: httpx.AsyncClient, token: str | None = None) -> str:
    answer = await http.post(PATH, headers={} if token is None else {"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    whole: Mapping[str, str] = answer.json()
    return whole["token"]


async def test_each_is_somebody_else_for_an_hour_and_may_what_the_stage_says(
    http: httpx.AsyncClient, stack: MemoryStack
) -> None:
    users: list[Principal] = [stack.tokens.verify(await given(http)) for _ in range(3)]
    assert len({user.user_id for user in users}) == 3
    for user in users:
        assert user.user_id.startswith("anonymous:") and len(user.user_id) > 30
        assert (user.capabilities, user.server) == (CAPABILITIES, False)
        assert user.expires_at_s == user.issued_at_s + 3600


async def test_who_sends_a_good_one_stays_who_it_is(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    first = await given(http)
    assert stack.tokens.verify(await given(http, first)).user_id == stack.tokens.verify(first).user_id


async def test_what_another_token_allowed_is_not_carried_on(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    wide = stack.tokens.issue("anonymous:x", {"*": ["publish"]}, ttl_s=60, public={"name": "Ann"})
    renewed = stack.tokens.verify(await given(http, wide))
    assert (renewed.user_id, renewed.capabilities, renewed.public_claims) == ("anonymous:x", CAPABILITIES, {})


async def test_an_expired_one_renews_nobody(http: httpx.AsyncClient) -> None:
    expired = jwt.encode({"sub": "anonymous:x", "iat": 1, "exp": 1_000_000_000}, SECRET)
    for authorization in (f"Bearer {expired}", "Bearer nonsense", "Bearer ", "Basic x", ""):
        answer = await http.post(PATH, headers={"Authorization": authorization})
        assert (answer.status_code, answer.json()["name"]) == (401, "unauthenticated")


async def test_who_is_revoked_while_it_is_renewed_gets_none(stack: MemoryStack) -> None:
    """The new one would be from after that, and so be good."""

    class Revoking(Hs256Tokens):
        def issue(self, user_id: str, *arguments: Any, **named: Any) -> str:
            stack.revocations.revoke(user_id, at_ms=stack.clock())
            return super().issue(user_id, *arguments, **named)

    token = stack.tokens.issue("anonymous:x", {}, ttl_s=60)
    stack.tokens = Revoking(fixed_secret(SECRET))
    async with client_of(stack, ANONYMOUS="{}") as http:
        answer = await http.post(PATH, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["name"]) == (401, "unauthenticated")


@pytest.mark.parametrize("user_id", ["ann", "anonymous", "Anonymous:x"])
async def test_nobody_else_is_renewed_here(http: httpx.AsyncClient, stack: MemoryStack, user_id: str) -> None:
    token = stack.tokens.issue(user_id, {}, ttl_s=60)
    answer = await http.post(PATH, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["name"]) == (403, "forbidden")


async def test_anonymous_users_may_be_there_with_no_right_at_all(stack: MemoryStack) -> None:
    async with client_of(stack, ANONYMOUS="{}") as http:
        assert stack.tokens.verify(await given(http)).capabilities == {}


async def test_they_are_not_there_unless_the_stage_says_so(stack: MemoryStack) -> None:
    async with client_of(stack) as http:
        assert (await http.post(PATH)).status_code == 404
        assert PATH not in (await http.get("/openapi.json")).json()["paths"]
