"""Somebody who reads a page from its beginning, and does what each block says: on the local stack, in a clone."""

import ast
import asyncio
import inspect
import os
import re
import signal
import socket
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from playwright.async_api import Browser, Page, Route

from localstack.deploy import ROOT
from localstack.stack import LocalStack
from tests.docs import models, pages, rules
from tests.docs.clone import Clone
from tests.docs.pages import Block
from tests.docs.said import ERROR, Said
from tests.integration.client import dev_token
from tests.integration.command_line import environment
from tests.integration.edited import overlaid
from tests.integration.shell import Shell
from tests.oidc import OidcServer

_RULES: Final = "infra/realtime_stack.py"  # a page adds rules to it
_END: Final = "--- the script has come to its end ---"


class Reader:
    """One page's.

    Attributes:
        clone: Where it types.
        said: What its terminals and its browser's console say.
        names: What Python code takes for granted, and what it has defined.
        site: Where what it serves from its folder is.
        given: What stands in this run for what the page has.
        modules: Code of packages that scripts import and that are not here, by their names.
        routes: What the page's own server answers, by path.
    """

    def __init__(self, stack: LocalStack, oidc: OidcServer, browser: Browser, folder: Path) -> None:
        self.stack, self.oidc, self.browser = stack, oidc, browser
        self.clone, self.said = Clone(folder), Said()
        self.names: dict[str, Any] = {
            "get_token": lambda _fresh: dev_token(stack.url, "ann"),
            "print": lambda *words: self.said.add(" ".join(map(str, words))),
        }
        self.site = f"http://localhost:{_free_port()}"
        self.given: dict[str, str] = {}
        self.modules: dict[str, str] = {}
        self.routes: dict[str, Callable[[], str]] = {}
        self._open = AsyncExitStack()
        self._shell: Shell | None = None
        self._script = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def read(self, blocks: list[Block]) -> None:
        """Do what all blocks say, in order.

        Raises:
            AssertionError: One fails, or does not say what it should.
        """
        last_script = max((block.line for block in blocks if _is_script(block)), default=0)
        promised: list[str] = []
        for block in blocks:
            try:
                await self._do(block)
                lines = _promised(block)
                if _is_script(block):
                    promised += lines
                    if block.line != last_script:
                        continue
                    await self.run_script(self._script)
                    lines = promised
                for line in lines:
                    await self.said.wait_for(line)
            except Exception as error:
                raise AssertionError(f"{block.where}: {type(error).__name__}: {error}") from error

    async def _do(self, block: Block) -> None:
        code, marks = self.here(block.code), block.marks
        if not pages.runs(block) or "tested" in marks:
            return
        if name := marks.get("file"):
            self.clone.write(name, code)
        elif marks.get("in") == _RULES:
            await asyncio.to_thread(self._open.enter_context, rules.deployed(code))
        elif name := marks.get("in"):
            self.clone.put_in(name, code)
        elif name := marks.get("is"):
            models.MODELS[name](code)
        elif name := marks.get("quotes"):
            assert pages.whole(code) in pages.whole((ROOT / name).read_text()), f"{name} has it no more"
        elif names := marks.get("deploys"):
            await self.deploy(*names.split(", "))
        elif block.language == "sh":
            await self._type(code, marks.get("endless"))
        elif block.language == "python":
            await self._execute(code, block.where)
        elif block.language == "toml":
            self.clone.put_in("channels.toml", code)
        else:
            assert _is_script(block)
            self._script += code

    async def deploy(self, *functions: str) -> None:
        """Deploy what the page has changed to some functions, until it is read."""
        await asyncio.to_thread(self.clone.load)
        for function in functions:
            await asyncio.to_thread(self._open.enter_context, overlaid(self.stack, function, self.clone.changed))

    def here(self, text: str) -> str:
        """Return a text with the addresses of this run in place of those that a page has."""
        text = text.replace("http://localhost:8000", self.site).replace(
            "http.server 8000", f"http.server {self.site.rpartition(':')[2]}"
        )
        text = text.replace("http://localhost:8080", self.stack.url)
        for theirs, ours in self.given.items():
            text = text.replace(theirs, ours)
        return text.replace("localhost:8080", self.stack.url.removeprefix("http://"))

    async def _type(self, code: str, endless: str | None) -> None:
        if self._shell is None:
            path = f"{self.clone.folder / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
            self._shell = self._open.enter_context(
                Shell(
                    self.clone.folder,
                    self.clone.folder,
                    TIDEWIRE_URL=self.stack.url,
                    PATH=path,
                )
            )
        ends = [line for line in code.splitlines() if not endless or endless not in line]
        if ends:
            self.said.add(await asyncio.to_thread(self._shell.type, "\n".join(ends)))
        for line in code.splitlines():
            if line not in ends:
                await self._open_terminal(line)

    async def _open_terminal(self, line: str) -> None:
        """Type a line that never ends, in the shell's environment."""
        assert self._shell is not None
        variables = dict(
            line.split("=", 1) for line in self._shell.type("env").splitlines() if "=" in line and line[0].isupper()
        )
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            line,
            cwd=self.clone.folder,
            env={**os.environ, **environment(self.clone.folder), **variables, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        reading = asyncio.create_task(self._listen(process.stdout))

        async def end() -> None:
            assert process.returncode is None, f"{line!r} has ended:\n" + "\n".join(self.said.lines[-20:])
            os.killpg(process.pid, signal.SIGKILL)  # what it has started is in its group
            await process.wait()
            await reading

        self._open.push_async_callback(end)

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self.said.add(line.decode())

    async def _execute(self, code: str, where: str) -> None:
        """Run Python code, in which the top level may await, with the names of the page's code before.

        What imports functions of the page's own does so in the clone.
        """
        if "from functions." in code:
            self.said.add(await asyncio.to_thread(self.clone.python, code))
            return
        compiled = compile(code, where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        outcome = eval(compiled, self.names)
        if inspect.isawaitable(outcome):
            await outcome

    async def run_script(self, script: str) -> None:
        """Run a page's script in a browser to its end, with the client that was built."""
        page = await self.open_page(f"{self.stack.url}/healthz")
        for path, answer in self.routes.items():
            await page.route(f"**{path}", _answering(answer))
        if re.search(r"\bgetToken\b(?=,| })", script):  # what a page takes for granted
            script = f"const getToken = async () => {dev_token(self.stack.url, 'ann')!r};\n{script}"
        bundled = await asyncio.to_thread(bundle, f"{script}\nconsole.log({_END!r});", self.modules, self.clone.folder)
        await page.add_script_tag(content=bundled, type="module")
        await self.said.wait_for(f"{_END}")

    async def open_page(self, url: str) -> Page:
        """Open a page in a window of its own, whose console is heard; its errors are, too."""
        context = await self.browser.new_context()
        self._open.push_async_callback(context.close)
        page = await context.new_page()
        page.on("console", lambda message: self.said.add(message.text))
        page.on("pageerror", lambda error: self.said.add(f"{ERROR} {error}"))
        await page.goto(url)
        return page


def bundle(script: str, modules: Mapping[str, str], folder: Path) -> str:
    """Return a script for browsers, with what it imports; modules that are not here are put into a folder."""
    command = [str(ROOT / "node_modules/.bin/esbuild"), "--loader=ts", "--bundle", "--format=esm", "--log-level=error"]
    for number, (name, code) in enumerate(modules.items()):
        (folder / f"module-{number}.js").write_text(code)
        command.append(f"--alias:{name}={folder / f'module-{number}.js'}")
    done = subprocess.run(command, input=script, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _answering(answer: Callable[[], str]) -> Callable[[Route], Awaitable[None]]:
    async def fulfil(route: Route) -> None:
        await route.fulfill(body=answer())

    return fulfil


def _is_script(block: Block) -> bool:
    ways = block.marks.keys() - {"prints"}
    return block.language in ("ts", "js") and not ways


def _promised(block: Block) -> list[str]:
    return block.marks.get("prints", "").splitlines()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
