"""The examples of docs/extending.md: they run, or are quoted from what runs."""

import re
from pathlib import Path
from typing import Any

import pytest

from functions.processors.validate_schema import SchemaValidation
from shared.domain.commands import Command
from shared.domain.processing import Processor
from tests.unit.stack import MemoryStack

ROOT = Path(__file__).resolve().parents[2]


def examples(section: str) -> list[str]:
    """Return the Python in a section of the page."""
    text = (ROOT / "docs" / "extending.md").read_text()
    (body,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^```python\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)


def defined(source: str, **names: Any) -> dict[str, Any]:
    exec(source, names)
    return names


@pytest.fixture
def stack() -> MemoryStack:
    shorten: Processor = defined(examples("Processors")[0])["shorten"]
    stack = MemoryStack()
    stack.processors.append(shorten)
    stack.connect("a", "ann")
    return stack


def say(stack: MemoryStack, channel: str, data: Any) -> Any:
    frame = {"type": "publish", "channel": channel, "name": "said", "data": data, "priority": "express"}
    reply = stack.ask("a", frame)
    if "error" in reply:
        return reply["error"]
    return stack.history.read(channel, None, limit=1, reverse=True)[1].publications[0]["data"]


def test_the_processor_changes_what_it_is_for(stack: MemoryStack) -> None:
    assert say(stack, "chat:a", {"text": "  " + "x" * 600, "by": "ann"}) == {"text": "x" * 500, "by": "ann"}
    assert say(stack, "room:a", {"text": "  hi"}) == {"text": "  hi"}


def test_the_processor_refuses(stack: MemoryStack) -> None:
    error = say(stack, "chat:a", {"text": " "})
    assert (error["name"], error["details"]) == ("refused", {"field": "text"})


def test_the_schemas_are_good(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text("{}")
    source = examples("Processors")[2].replace("SCHEMAS: Final[Mapping[str, Schema | str]]", "SCHEMAS")
    SchemaValidation(defined(source)["SCHEMAS"], tmp_path)


def test_the_command_does_what_it_is_for() -> None:
    place: Command = defined(examples("Commands")[0])["place"]
    stack = MemoryStack()
    stack.catalogue[place.name] = place
    stack.connect("a", "ann")

    def order(item: str, count: int) -> dict[str, Any]:
        return stack.ask("a", {"type": "command", "name": "orders.place", "data": {"item": item, "count": count}})

    assert order("tea", 10)["result"] == {"data": {"left": 2}}
    assert order("tea", 3)["error"]["details"] == {
        "message": "there is not enough of it",
        "details": {"left": 2},
    }
    assert order("tea", 0)["error"]["name"] == "invalid_field"
    stack.ask("a", {"type": "subscribe", "channel": "orders:shop"})
    stack.drain()
    assert [event["data"] for event in stack.events("a")] == [{"by": "ann", "item": "tea"}]


@pytest.mark.parametrize(
    ("section", "index", "file"),
    [
        ("From AWS events to channels", 1, "infra/realtime_stack.py"),
        ("From channels to anything", 0, "infra/constructs/archive.py"),
    ],
)
def test_what_describes_infrastructure_is_quoted_from_it(section: str, index: int, file: str) -> None:
    indented = "".join(f"        {line}\n" for line in examples(section)[index].splitlines())
    assert indented in (ROOT / file).read_text()
