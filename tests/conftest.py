"""What tests on the deployed local stack share."""

import secrets
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from localstack.stack import LocalStack
    from tests.oidc import OidcServer


START_TIMEOUT_S = 300  # on a busy machine; else 15 to 25
STREAM_MAX_AGE_S = 4  # by default it is 120: here every test that streams for a while sees some end


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let whichever test asks for the stack first wait for its start."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(START_TIMEOUT_S))


@pytest.fixture(scope="session")
def oidc() -> "Iterator[OidcServer]":
    """OIDC issuers whose tokens the stack takes, one for each algorithm, and one that nobody has ever heard of."""
    from tests.oidc import OidcServer, SigningKey

    with OidcServer("rsa", "ec", "down") as server:
        server.keys = {"rsa": [SigningKey("rsa")], "ec": [SigningKey("ec", "ES256")], "down": [SigningKey("down")]}
        server.down.add("down")
        yield server


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, oidc: "OidcServer") -> "Iterator[LocalStack]":
    """One stack a run: emulator, real CDK deploy, edge. Its logs stay in pytest's folder for a look at what failed."""
    from localstack.stack import LocalStack, remove  # loads all of Tidewire: only for those who ask for it
    from tests.oidc import issuer

    folder = tmp_path_factory.mktemp("stack")
    issuers = (
        issuer(oidc.url("rsa"), user_prefix="rsa:", capabilities={"room:*": ["subscribe", "publish"]}),
        issuer(oidc.url("ec"), user_prefix="ec:", algorithm="ES256", jwks_url=oidc.jwks_url("ec")),
        issuer(oidc.url("down"), user_prefix="down:"),
    )
    with LocalStack(folder, stream_max_age_s=STREAM_MAX_AGE_S, issuers=issuers) as running:
        yield running
    remove(folder / "cdk.out")  # 130 MB, and pytest keeps the folders of eight runs


@pytest.fixture(scope="session")
async def warm_stack(stack: "LocalStack") -> "LocalStack":
    """The stack, of which everything has worked once: functions that start from cold take longer than tests wait."""
    from tests.integration.client import Client, dev_token

    client = await Client.open(stack.url)
    channel = f"room:warm-up-{secrets.token_hex(4)}"
    await client.hello(dev_token(stack.url, "ann"), subscribe=[{"channel": channel, "state": True, "presence": True}])
    await client.publish(channel, 1)
    await client.wait_for_events(channel, 1)
    await client.close()
    return stack


@pytest.fixture(scope="session")
async def browser() -> "AsyncIterator[Browser]":
    from playwright.async_api import async_playwright

    from tests.e2e.browser import launch

    async with async_playwright() as playwright:
        browser = await launch(playwright)
        yield browser
        await browser.close()
