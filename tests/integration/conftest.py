"""Clients of the deployed stack, and names that no other test uses."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import boto3
import httpx
import pytest

from localstack.stack import LocalStack
from shared.adapters.dynamodb_connections import DynamoDbApiKeyStore
from shared.contract import ENV_LIMITS_TABLE, OUTPUT_HTTP_FUNCTION, OUTPUT_TABLE_NAMES
from shared.domain.principal import Principal
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
def api_key(stack: LocalStack) -> str:
    """A server's key that allows to publish and read everywhere."""
    key = f"{secrets.token_hex(6)}.{secrets.token_urlsafe(24)}"
    principal = Principal("billing", {"*": ["publish", "history"]}, server=True)
    table = stack.outputs[OUTPUT_TABLE_NAMES[ENV_LIMITS_TABLE]]
    DynamoDbApiKeyStore(boto3.client("dynamodb"), table).add(key, principal)
    return key
