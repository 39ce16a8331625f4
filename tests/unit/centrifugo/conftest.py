"""The app over a stack in memory, for clients that come by HTTP."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI

from functions.http_api.app import create_app, use
from shared.bootstrap import Services
from tests.unit.centrifugo.client import CHANNELS
from tests.unit.centrifugo.http import WAYS, Way
from tests.unit.functions.conftest import services_of
from tests.unit.functions.served import served
from tests.unit.stack import MemoryStack


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(CHANNELS)


@pytest.fixture
def services(stack: MemoryStack) -> Services:
    services = services_of(stack)
    services.centrifugo_streams = stack.centrifugo_streams
    services.centrifugo_emulation = stack.centrifugo_emulation
    return services


@pytest.fixture(scope="module")
def app() -> Iterator[tuple[FastAPI, str]]:
    made = create_app(services_of(MemoryStack()))
    with served(made) as origin:
        yield made, origin


@pytest.fixture
async def http(app: tuple[FastAPI, str], services: Services) -> AsyncIterator[httpx.AsyncClient]:
    use(app[0], services)
    async with httpx.AsyncClient(base_url=app[1], timeout=20) as client:
        yield client


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    way: Way = request.param
    return way
