"""Clients of the deployed stack, and names that no other test uses."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import boto3
import httpx
import pytest

from localstack.stack import LocalStack
from shared.contract import OUTPUT_HTTP_FUNCTION
from tests.integration.client import DEADLINE_S, Client, dev_token
from tests.integration.http_function import FunctionTransport

Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
def channel() -> str:
    return f"room:{secrets.token_hex(6)}"


@pytest.fixture
async def connect(stack: LocalStack) -> AsyncIterator[Connect]:
    """Opens a client that has said hello as a user (``None``: one that has said nothing). All are closed at the end."""
    async with AsyncExitStack() as opened:

        async def open_(
            user_id: str | None = "ann",
            *,
            ticket: str | None = None,
            caps: Any = None,
            public: Any = None,
            **hello: Any,
        ) -> Client:
            client = await Client.open(stack.url, ticket=ticket)
            opened.push_async_callback(client.close)
            if user_id is not None:
                fields = {name: value for name, value in (("caps", caps), ("public", public)) if value is not None}
                await client.hello(dev_token(stack.url, user_id, **fields), **hello)
            return client

        yield open_


@pytest.fixture(scope="session")
def http(stack: LocalStack) -> Iterator[httpx.Client]:
    """The app that the edge serves."""
    with httpx.Client(base_url=stack.url, timeout=DEADLINE_S) as client:
        yield client


@pytest.fixture(scope="session", params=["edge", "function"])
def everywhere(stack: LocalStack, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """The app that the edge serves, then the one in the deployed function."""
    function = stack.outputs[OUTPUT_HTTP_FUNCTION]
    transport = FunctionTransport(boto3.client("lambda"), function) if request.param == "function" else None
    with httpx.Client(base_url=stack.url, transport=transport, timeout=DEADLINE_S) as client:
        yield client


@pytest.fixture(scope="session")
def admin(stack: LocalStack) -> dict[str, str]:
    """An admin's header."""
    return {"Authorization": f"Bearer {dev_token(stack.url, 'root', caps={'*': ['admin']})}"}


@pytest.fixture(scope="session")
def api_key(http: httpx.Client, admin: dict[str, str]) -> str:
    """A server's key that allows to publish and read everywhere."""
    body = {"name": "billing", "caps": {"*": ["publish", "history"]}}
    key: str = http.post("/v1/keys", json=body, headers=admin).raise_for_status().json()["key"]
    return key
