"""The processors that are shipped: public claims, and JSON Schemas per channel."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from functions.processors import PROCESSORS
from functions.processors.add_claims import add_claims
from functions.processors.validate_schema import SchemaValidation
from shared.domain.processing import Context, Draft
from shared.errors import ConfigError, RefusedError
from tests.unit.stack import ALL, MemoryStack

CONTEXT = Context("orders:1", "m", "ann", "c", server=False, public_claims={}, ephemeral=False)
ORDER = {
    "type": "object",
    "required": ["item"],
    "additionalProperties": False,
    "properties": {
        "item": {"type": "string", "maxLength": 20},
        "lines": {"type": "array", "items": {"properties": {"a/b~c": {"minimum": 1}}}},
        "notes": {"type": "object", "additionalProperties": {"type": "string"}},
        "mail": {"format": "email"},
        "point": {"prefixItems": [{"type": "number"}]},
    },
}


def draft(data: Any, name: str = "created") -> Draft:
    return Draft(name, data, "normal")


def problems(data: Any, schema: Any = ORDER) -> list[dict[str, str]]:
    with pytest.raises(RefusedError) as caught:
        SchemaValidation({"orders:*": schema})(draft(data), CONTEXT)
    assert caught.value.details is not None
    assert caught.value.details["schema"] == "orders:*"
    found: list[dict[str, str]] = caught.value.details["problems"]
    return found


def test_they_are_shipped_in_this_order_with_no_schema() -> None:
    validate_schema, last = PROCESSORS
    assert isinstance(validate_schema, SchemaValidation)
    assert last is add_claims
    given = draft({"anything": True})
    assert validate_schema(given, CONTEXT) is given


def test_without_a_schema_its_library_is_not_loaded() -> None:
    program = "import sys, functions.processors; sys.exit('jsonschema_rs' in sys.modules)"
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)


# Public claims


def test_public_claims_go_from_the_token_to_subscribers_and_into_the_history() -> None:
    stack = MemoryStack()
    stack.processors += PROCESSORS
    stack.connect("a")
    token = stack.tokens.issue("ann", ALL, ttl_s=100_000_000, public={"name": "Ann"})
    stack.ask("a", {"type": "hello", "protocol": 1, "token": token, "subscribe": [{"channel": "room:a"}]})
    stack.ask("a", {"type": "publish", "channel": "room:a", "name": "said", "data": 1})
    stack.drain()
    sender = {"user_id": "ann", "connection_id": "a", "claims": {"name": "Ann"}}
    assert stack.events("a")[0]["sender"] == sender
    page = stack.ask("a", {"type": "history", "channel": "room:a"})["result"]
    assert page["publications"][0]["sender"] == sender


def test_who_has_no_public_claims_is_told_without() -> None:
    given = draft(1)
    assert add_claims(given, CONTEXT) is given
    assert add_claims(given, replace(CONTEXT, public_claims={"name": "Ann"})).claims == {"name": "Ann"}


# Schemas


def test_what_fits_passes_unchanged() -> None:
    given = draft({"item": "tea", "lines": [{"a/b~c": 1}], "notes": {"x": "y"}, "mail": "a@b.example", "point": [1]})
    assert SchemaValidation({"orders:*": ORDER})(given, CONTEXT) is given


@pytest.mark.parametrize(
    ("data", "pointer", "keyword"),
    [
        ([], "", "type"),
        ({}, "/item", "required"),
        ({"item": 5}, "/item", "type"),
        ({"item": "x" * 21}, "/item", "maxLength"),
        ({"item": "x", "lines": [{}, {"a/b~c": 0}]}, "/lines/1/a~1b~0c", "minimum"),
        ({"item": "x", "mail": "nobody"}, "/mail", "format"),
        ({"item": "x", "point": ["1"]}, "/point/0", "type"),
        ({"item": "x", "secret": 1}, "", "additionalProperties"),
        ({"item": "x", "notes": {"secret": 5}}, "/notes", "type"),
    ],
)
def test_a_refusal_says_where_and_repeats_nothing_of_the_data(data: Any, pointer: str, keyword: str) -> None:
    assert problems(data) == [{"pointer": pointer, "keyword": keyword}]


def test_a_refusal_tells_of_ten_problems_at_most() -> None:
    assert len(problems({"item": "x", "notes": {str(number): number for number in range(50)}})) == 10


def test_every_schema_that_applies_must_be_satisfied() -> None:
    validation = SchemaValidation({"*": {"required": ["a"]}, "orders:*": {"required": ["b"]}, "orders:1": True})
    validation(draft({"a": 1, "b": 1}), CONTEXT)
    for data in ({"a": 1}, {"b": 1}):
        with pytest.raises(RefusedError):
            validation(draft(data), CONTEXT)


@pytest.mark.parametrize("key", ["orders:*", "orders:1", "*", "orders:*#created"])
def test_a_schema_is_for_the_channels_of_its_pattern_and_the_events_of_its_name(key: str) -> None:
    with pytest.raises(RefusedError):
        SchemaValidation({key: False})(draft(1), CONTEXT)


@pytest.mark.parametrize("key", ["orders:2", "room:*", "orders:*#deleted", "room:*#created"])
def test_a_schema_is_for_nothing_else(key: str) -> None:
    SchemaValidation({key: False})(draft(1), CONTEXT)


def test_a_schema_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text(json.dumps(ORDER))
    with pytest.raises(RefusedError):
        SchemaValidation({"orders:*": "order.json"}, tmp_path)(draft({}), CONTEXT)


@pytest.mark.parametrize(
    ("key", "schema", "told"),
    [
        ("orders", {}, "schema of 'orders': no pattern"),
        ("or ders:*", {}, "schema of 'or ders:*': no pattern"),
        ("", {}, "schema of '': no pattern"),
        ("a:b*c", {}, "no pattern"),
        ("a:*", {"type": "strng"}, "schema of 'a:*': /type: \"strng\""),
        ("a:*", {"properties": {"x": {"minimum": "1"}}}, "/properties/x/minimum: "),
        ("a:*", {"format": "no-such"}, "no-such"),
        ("a:*", {"$ref": "#/$defs/none"}, "/$defs/none"),
        ("a:*", {"pattern": "(?=a)b"}, "regex"),
        ("a:*", "none.json", "schema of 'a:*': none.json: No such file"),
        ("a:*", "broken.json", "schema of 'a:*'"),
    ],
)
def test_a_mistake_is_told_at_once_with_its_place(tmp_path: Path, key: str, schema: Any, told: str) -> None:
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ConfigError) as caught:
        SchemaValidation({key: schema}, tmp_path)
    assert told in str(caught.value)


def test_a_reference_to_another_document_is_not_followed(tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    file.write_text("{}")
    with pytest.raises(ConfigError, match=r"order\.json"):
        SchemaValidation({"a:*": {"$ref": file.as_uri()}})


def test_a_pattern_that_backtracks_elsewhere_takes_no_time_here() -> None:
    validation = SchemaValidation({"*": {"pattern": "^(a+)+$"}})
    with pytest.raises(RefusedError):
        validation(draft("a" * 20_000 + "b"), CONTEXT)
