"""README's example for browsers does what README says."""

import re
import subprocess

from playwright.async_api import Browser

from localstack.stack import LocalStack
from tests.e2e.browser import ROOT
from tests.integration.client import dev_token


def _bundled(example: str) -> str:
    """Return a script of the example, whose ``import`` is of the client's source."""
    command = [
        str(ROOT / "node_modules" / ".bin" / "esbuild"),
        "--loader=ts",
        "--bundle",
        "--format=esm",
        f"--alias:tidewire={ROOT / 'clients' / 'js' / 'src' / 'index.ts'}",
    ]
    return subprocess.run(command, input=example, capture_output=True, text=True, check=True, cwd=ROOT).stdout


async def test_the_example_says_and_shows(stack: LocalStack, browser: Browser) -> None:
    example = re.findall(r"```ts\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    get_token = f"const getToken = async () => {dev_token(stack.url, 'ann')!r};\n"
    script = _bundled(get_token + example.replace("http://localhost:8080", stack.url))
    page = await browser.new_page()
    try:
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        await page.goto(f"{stack.url}/healthz")
        async with (
            page.expect_console_message(lambda message: message.text == "Plans"),
            page.expect_console_message(lambda message: message.text == "ann: Hello"),
        ):
            await page.add_script_tag(content=script, type="module")
        assert len(said) == 2, said
    finally:
        await page.close()
