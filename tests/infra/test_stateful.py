"""What an update would replace, and so empty: ids, and the properties that CloudFormation replaces a resource for."""

import json
from typing import Final

import pytest

from tests.infra.template import ROOT, Properties, Synthesised

_PINS: Final = ROOT / "tests" / "infra" / "stateful.json"
# Those whose change means "Replacement", from each type's page under
# docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/.
_REPLACING: Final = {
    "AWS::DynamoDB::GlobalTable": ("TableName", "KeySchema", "LocalSecondaryIndexes"),
    "AWS::SecretsManager::Secret": ("Name",),
    "AWS::Events::EventBus": ("Name",),
    "AWS::SQS::Queue": ("QueueName", "FifoQueue"),
}


def _pinned(kind: str, properties: Properties) -> Properties:
    """Return what must stay; of attributes' types those of keys, which can't change in place."""
    kept = {name: properties[name] for name in _REPLACING[kind] if name in properties}
    if kind == "AWS::DynamoDB::GlobalTable":
        kept["AttributeDefinitions"] = properties["AttributeDefinitions"]
    return {"Type": kind, **kept}


def _lost(pins: Properties, found: Properties) -> list[str]:
    """Say what an update would lose, and what is not pinned yet."""
    gone = [
        f"{i}: an update deletes this {pin['Type']}, or makes an empty one under another id"
        for i, pin in pins.items()
        if i not in found
    ]
    changed = [
        f"{i}: an update replaces this {pin['Type']} by an empty one: {pin} became {found[i]}"
        for i, pin in pins.items()
        if i in found and found[i] != pin
    ]
    return [*gone, *changed, *(f"{i}: holds data, and is not in stateful.json" for i in found if i not in pins)]


def test_no_update_replaces_what_holds_data(stage: Synthesised) -> None:
    pins = json.loads(_PINS.read_text())
    expected = {**pins["every stage"], **pins.get(stage.name, {})}
    found = {i: _pinned(kind, properties) for kind in _REPLACING for i, properties in stage.of_type(kind).items()}
    assert _lost(expected, found) == []


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ({}, "an update deletes"),
        ({"Store": {"Type": "T", "KeySchema": ["key"]}}, "an update replaces"),
        ({"Store": {"Type": "T", "KeySchema": ["pk"]}, "New": {"Type": "T"}}, "is not in stateful.json"),
    ],
)
def test_it_says_what_would_be_lost(found: Properties, what: str) -> None:
    (message,) = _lost({"Store": {"Type": "T", "KeySchema": ["pk"]}}, found)
    assert what in message
