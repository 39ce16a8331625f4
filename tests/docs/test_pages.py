"""Every page is read by somebody who does what it says, block by block, and sees what it promises."""

from pathlib import Path

import pytest
from playwright.async_api import Browser

from localstack.stack import LocalStack
from tests.docs import pages
from tests.docs.checks import CHECKS, GIVEN
from tests.docs.reader import Reader
from tests.oidc import OidcServer

pytestmark = pytest.mark.timeout(300)


def _read_here(page: str) -> bool:
    return any(pages.runs(block) and "tested" not in block.marks for block in pages.blocks(page))


@pytest.mark.parametrize("page", [page for page in pages.pages() if not pages.own_test(page) and _read_here(page)])
async def test_it_does_what_it_says(
    page: str, warm_stack: LocalStack, oidc: OidcServer, browser: Browser, tmp_path: Path
) -> None:
    async with Reader(warm_stack, oidc, browser, tmp_path) as reader:
        if give := GIVEN.get(page):
            give(reader)
        await reader.read(pages.blocks(page))
        if check := CHECKS.get(page):
            await check(reader)
