"""The browser client does what clients do, on each of the five transports, against the deployed local stack."""

from contextlib import AsyncExitStack
from typing import Any, Final

import pytest
from playwright.async_api import Browser

from localstack.stack import LocalStack
from tests.clients.javascript import JavaScriptDriver, harness
from tests.clients.network import Network
from tests.clients.scenario import Scenario, scenarios

TRANSPORTS: Final = ("websocket", "sse", "stream", "long_poll", "short_poll")

pytestmark = pytest.mark.timeout(300)  # the first test starts the stack, and all functions


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)
async def test_the_client_does(scenario: Scenario, transport: str, warm_stack: LocalStack, browser: Browser) -> None:
    async with AsyncExitStack() as opened:

        async def open_(user_id: str, caps: Any) -> JavaScriptDriver:
            network = await opened.enter_async_context(Network(warm_stack.url))
            context = await opened.enter_async_context(await browser.new_context())
            await context.add_init_script(harness())
            options = {"transports": [transport], "shareTabs": False, "caps": caps}
            return await JavaScriptDriver.open(context, network, user_id, **options)

        await scenario.run(open_)
