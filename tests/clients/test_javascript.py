"""The browser client does what clients do, on each of its ways, against the deployed local stack."""

from contextlib import AsyncExitStack
from typing import Any, Final

import pytest
from playwright.async_api import Browser

from localstack.stack import LocalStack
from tests.clients.javascript import JavaScriptDriver, harness
from tests.clients.network import Network
from tests.clients.scenario import Arguments, Scenario, scenarios

# Each alone; and as it is by default, by way of the connection that tabs share.
WAYS: Final[dict[str, dict[str, Any]]] = {
    way: {"transports": [way], "shareTabs": False} for way in ("websocket", "sse", "stream", "long_poll", "short_poll")
} | {"tabs": {}}

pytestmark = pytest.mark.timeout(300)  # the first test starts the stack, and all functions


@pytest.mark.parametrize(
    ("scenario", "way"), scenarios(WAYS), ids=lambda value: value.name if isinstance(value, Scenario) else value
)
async def test_the_client_does(scenario: Scenario, way: str, warm_stack: LocalStack, browser: Browser) -> None:
    async with AsyncExitStack() as opened:

        async def open_(user_id: str, token: Arguments) -> JavaScriptDriver:
            network = await opened.enter_async_context(Network(warm_stack.url))
            context = await opened.enter_async_context(await browser.new_context())
            await context.add_init_script(harness())
            return await JavaScriptDriver.open(context, network, user_id, token=dict(token), **WAYS[way])

        await scenario.run(open_)
