"""The Python client does what clients do, on each of its ways, against the deployed local stack."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from localstack.stack import LocalStack
from tests.clients.network import Network
from tests.clients.python import PythonDriver
from tests.clients.scenario import Arguments, Scenario, scenarios
from tidewire.ways import WAYS

pytestmark = pytest.mark.timeout(300)  # the first test starts the stack, and all functions


@pytest.mark.parametrize(
    ("scenario", "way"), scenarios(WAYS), ids=lambda value: value.name if isinstance(value, Scenario) else value
)
async def test_the_client_does(scenario: Scenario, way: str, warm_stack: LocalStack, tmp_path: Path) -> None:
    async with AsyncExitStack() as opened:

        async def open_(user_id: str, token: Arguments) -> PythonDriver:
            network = await opened.enter_async_context(Network(warm_stack.url))
            driver = PythonDriver(network, user_id, token, tmp_path / f"{user_id}-{id(network)}", transports=[way])
            opened.push_async_callback(driver.client.close)
            return driver

        await scenario.run(open_)
