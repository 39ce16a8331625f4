"""What an update would replace, and so empty: ids, and the properties that CloudFormation replaces a resource for."""

from typing import Final

import pytest

from tests.infra.template import PINS, Properties, Synthesised

# Those whose change means "Update requires: Replacement" on each type's page under
# docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/:
_REPLACING: Final = {
    # aws-resource-dynamodb-globaltable.html
    "AWS::DynamoDB::GlobalTable": ("TableName", "KeySchema", "LocalSecondaryIndexes"),
    # aws-resource-secretsmanager-secret.html
    "AWS::SecretsManager::Secret": ("Name",),
    # aws-resource-events-eventbus.html
    "AWS::Events::EventBus": ("Name", "EventSourceName"),
    # aws-resource-sqs-queue.html
    "AWS::SQS::Queue": ("QueueName", "FifoQueue"),
}


def _pinned(kind: str, properties: Properties) -> Properties:
    """Return what must stay: what replaces it, and the types of a table's keys, which make it another table, too."""
    kept = {name: properties[name] for name in _REPLACING[kind] if name in properties}
    if kind == "AWS::DynamoDB::GlobalTable":
        keys = {key["AttributeName"] for key in properties["KeySchema"]}
        # Those of indexes may come and go.
        kept["AttributeDefinitions"] = [
            attribute for attribute in properties["AttributeDefinitions"] if attribute["AttributeName"] in keys
        ]
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
    pins = {**PINS["every stage"], **PINS.get(stage.name, {})}
    expected = {i: {name: value for name, value in pin.items() if name != "Called"} for i, pin in pins.items()}
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


def test_of_a_tables_attributes_those_of_its_keys_are_pinned() -> None:
    key, other = {"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "user_id", "AttributeType": "S"}
    table = {"KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}], "AttributeDefinitions": [key, other]}
    assert _pinned("AWS::DynamoDB::GlobalTable", table)["AttributeDefinitions"] == [key]
