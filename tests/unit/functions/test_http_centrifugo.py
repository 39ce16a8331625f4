"""Centrifugo's HTTP API over HTTP: who may call, and what a body has to be."""

import pytest

from shared.bootstrap import Services
from tests.unit.functions.conftest import add_key, services_of
from tests.unit.functions.test_http_app import client_of
from tests.unit.stack import MemoryStack

KEY = "shop.secret"
PUBLISH = '{"channel": "news", "data": {"a": 1}}'


@pytest.fixture
def services() -> Services:
    return services_of(MemoryStack())


async def test_an_api_key_is_what_their_libraries_send(services: Services) -> None:
    add_key(services, KEY, {"centrifugo:*": ["publish", "history"]})
    async with client_of(services) as client:
        client.headers["X-API-Key"] = KEY
        # As their manual's example: curl calls this a form.
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await client.post("/v1/centrifugo/publish", content=PUBLISH, headers=form)
        assert (answer.status_code, answer.json()["result"]["offset"]) == (200, 1)
        history = await client.post("/v1/centrifugo/history", json={"channel": "news", "limit": 1})
        assert history.json()["result"]["publications"][0]["data"] == {"a": 1}
        assert "info" not in history.json()["result"]["publications"][0]
        denied = await client.post("/v1/centrifugo/publish", json={"channel": "room:1", "data": 1})
        assert (denied.status_code, denied.json()["error"]["code"]) == (200, 103)


async def test_nobody_may_call(services: Services) -> None:
    async with client_of(services) as client:
        assert (await client.post("/v1/centrifugo/publish", content=PUBLISH)).status_code == 401
        wrong = {"X-API-Key": "nonsense"}
        assert (await client.post("/v1/centrifugo/publish", content=PUBLISH, headers=wrong)).status_code == 401


@pytest.mark.parametrize(("body", "status"), [("", 400), ("nonsense", 400), ("[]", 200), ("1", 200), ("[" * 5000, 400)])
async def test_what_is_no_json_is_refused_and_what_is_no_object_a_bad_request(
    services: Services, body: str, status: int
) -> None:
    add_key(services, KEY, {"*": ["publish"]})
    async with client_of(services) as client:
        client.headers["X-API-Key"] = KEY
        answer = await client.post("/v1/centrifugo/publish", content=body)
        assert answer.status_code == status
        if status == 200:
            assert answer.json()["error"]["code"] == 107


async def test_it_is_described_elsewhere(services: Services) -> None:
    async with client_of(services) as client:
        paths: dict[str, object] = (await client.get("/openapi.json")).json()["paths"]
        assert not [path for path in paths if "centrifugo" in path]
