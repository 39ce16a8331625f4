"""No block of README.md and docs escapes: each is run, or says why not."""

from pathlib import Path

import pytest

from localstack.deploy import ROOT
from tests.docs import pages
from tests.docs.checks import CHECKS

_LINES_MAX = 13  # README's example for Python is read at a glance


@pytest.mark.parametrize("page", pages.pages())
def test_each_block_is_run_or_says_why_not(page: str) -> None:
    if test := pages.own_test(page):
        assert f'"{Path(page).stem}"' in (ROOT / test).read_text()
        return
    blocks = pages.blocks(page)
    faults = [
        f"{block.where}: {why}"
        for index, block in enumerate(blocks)
        if (why := pages.fault(block, blocks[index + 1 :], checked=page in CHECKS))
    ]
    assert faults == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```java\nx\n```\n", "a block of java is run by nothing"),
        ("```\nx\n```\n", "a block of no language is run by nothing"),
        ("```json\n{}\n```\n", "a block of json is run by nothing"),
        ("<!-- not-run -->\n```sh\nx\n```\n", "not-run says nothing"),
        ("<!-- notrun: needs AWS -->\n```sh\nx\n```\n", "nobody knows the mark notrun"),
        ("<!-- file: x.py -->\n```python\nx\n```\n", "nothing uses x.py"),
        ("<!-- tested: tests/unit/test_stages_document.py -->\n```sh\nx\n```\n", "does not name this page"),
    ],
)
def test_a_block_that_nothing_would_run_is_found(text: str, why: str) -> None:
    [block] = pages.read("docs/new.md", text)
    assert why in (pages.fault(block, []) or "")


def test_what_a_comment_says_twice_is_minded_twice() -> None:
    [block] = pages.read("docs/new.md", "<!-- prints: one -->\n<!-- prints: two -->\n```sh\nx\n```\n")
    assert block.marks == {"prints": "one\ntwo"}


def test_a_fence_that_is_not_closed_is_found() -> None:
    with pytest.raises(AssertionError, match="is not closed"):
        list(pages.read("docs/new.md", "```sh\nx\n"))


def test_readmes_example_for_python_is_short() -> None:
    [example] = [block for block in pages.blocks("README.md") if block.language == "python"]
    assert len(example.code.splitlines()) <= _LINES_MAX + 2
