"""The code that stands in README.md and docs: each block with what is said of it, unseen by who reads the site.

A comment above a block says how it is run, where its language does not (``WAYS``)::

    <!-- not-run: needs AWS -->
    ```sh
    make deploy
    ```
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localstack.deploy import ROOT

_FENCE: Final = re.compile(r"^( *)```(.*)\n((?:.*\n)*?)^\1```$", re.MULTILINE)
_MARK: Final = re.compile(r" *<!-- ([a-z-]+)(?:: (.+?))? -->")

WAYS: Final = {
    "not-run": "it is not run, and why",
    "tested": "which test runs it",
    "file": "it is written to this file, below what the page has written there; a later block or a check uses it",
    "in": "it is put into this file of a clone, in place of what has its names there",
    "is": "what it is, of tests/docs/models.py, which checks it",
    "quotes": "it stands in this file, which is deployed",
    "deploys": "in its place the page's changes are deployed to these functions",
    "endless": "its lines with this in them never end: each is typed in a terminal of its own",
    "prints": "it says this, a line of it; … stands for what differs",
}
RUN: Final = {"sh", "python", "ts", "js", "toml"}  # by their language; others need a mark
NO_CODE: Final = {"text", "mermaid"}  # drawings, and what a terminal shows
_OWN: Final = {
    "docs/runbooks/": "tests/integration/test_runbooks.py",
}
# What README's readers do not see stands here.
_README: Final[dict[str, dict[str, str]]] = {
    "make run": {"not-run": "is this very stack, and these very tests; tests/integration/test_start.py starts it"},
    "import { Tidewire }": {"prints": "ann: Hello"},
    "import asyncio": {"file": "hello.py"},
    "export TOKEN": {"endless": "hello.py", "prints": "ann: Hello"},
    ".venv/bin/tidewire sub": {"endless": "tidewire sub"},
    "curl -s localhost": {"endless": "curl -N"},
    "make deploy": {"not-run": "needs AWS; tests/integration/test_deploy.py does it on the emulator"},
    ".venv/bin/tidewire cost": {},
}


@dataclass(frozen=True, slots=True)
class Block:
    """One block.

    Attributes:
        page: Where it stands, below the repository's root.
        line: Its first.
        language: What stands behind the fence.
        marks: What comments above it say, by the names of ``WAYS``; what is said twice stands there line by line.
    """

    page: str
    line: int
    language: str
    code: str
    marks: dict[str, str]

    @property
    def where(self) -> str:
        """For who looks for it."""
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Return all pages that have a block, below the repository's root."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [str(path.relative_to(ROOT)) for path in found if "```" in path.read_text()]


def blocks(page: str) -> list[Block]:
    """Return a page's blocks in order."""
    found = list(read(page, (ROOT / page).read_text()))
    if page == "README.md":
        for block in found:
            [marks] = [marks for begin, marks in _README.items() if block.code.startswith(begin)]
            block.marks.update(marks)
    return found


def read(page: str, text: str) -> Iterator[Block]:
    """Yield the blocks of a text.

    Raises:
        AssertionError: A fence is not closed.
    """
    found = list(_FENCE.finditer(text))
    assert len(re.findall("^ *```", text, re.MULTILINE)) == 2 * len(found), f"{page}: a fence is not closed"
    for match in found:
        indent, language, code = match.groups()
        before = text[: match.start()].splitlines()
        marks: dict[str, str] = {}
        while before and (mark := _MARK.fullmatch(before[-1])):
            marks[mark[1]] = "\n".join(filter(None, (mark[2], marks.get(mark[1]))))
            before.pop()
        line = text.count("\n", 0, match.start()) + 2
        yield Block(page, line, language, re.sub(f"^{indent}", "", code, flags=re.MULTILINE), marks)


def own_test(page: str) -> str | None:
    """Return the test that runs all blocks of a page by itself, if one does."""
    return next((test for begin, test in _OWN.items() if page.startswith(begin)), None)


def fault(block: Block, later: list[Block], *, checked: bool = False) -> str | None:
    """Say why nothing would run a block; ``None`` if something does.

    Args:
        later: Those below it on the page.
        checked: Whether a check of its page (``tests/docs/checks.py``) uses the page's files.
    """
    if unknown := block.marks.keys() - WAYS.keys():
        return f"nobody knows the mark {', '.join(sorted(unknown))}"
    for needs_why in ("not-run", "tested", "file", "in", "is", "quotes", "deploys"):
        if block.marks.get(needs_why) == "":
            return f"{needs_why} says nothing"
    if test := block.marks.get("tested"):
        path = ROOT / test
        named = path.is_file() and Path(block.page).name in path.read_text()
        return None if named else f"{test} does not name this page"
    if "not-run" in block.marks or "is" in block.marks or block.language in NO_CODE:
        return None
    if name := block.marks.get("file"):
        used = checked or name.startswith("functions/") or any(name in one.code for one in later if runs(one))
        return None if used else f"nothing uses {name}"
    if block.language in RUN or block.marks.keys() & {"in", "quotes", "deploys"}:
        return None
    return f"a block of {block.language or 'no language'} is run by nothing: say what it is, or <!-- not-run: why -->"


def runs(block: Block) -> bool:
    """Tell whether something is done with a block."""
    return "not-run" not in block.marks and block.language not in NO_CODE


def whole(text: str) -> str:
    """Return a text without what spaces and lines make of it."""
    return " ".join(text.split())
