"""Rules: which events become publications, what is made of them, and where publications go besides."""

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from shared.contract import DETAIL_PUBLICATIONS, DETAIL_PUBLISH, EVENT_SOURCE
from tests.infra.template import EXAMPLES, STATEFUL, Properties, Synthesised, arn, ref, text

_BUS: Final = ref(STATEFUL["bus"])


def _rules_to(stage: Synthesised, queue: str) -> dict[str, Properties]:
    """Return the rules with this queue as their one target, by logical id."""
    rules = stage.of_type("AWS::Events::Rule").items()
    return {name: rule for name, rule in rules if [target["Arn"] for target in rule["Targets"]] == [arn(queue)]}


def _rule(stage: Synthesised, queue: str, bus: Mapping[str, str] | None) -> Properties:
    (rule,) = (rule for rule in _rules_to(stage, queue).values() if rule.get("EventBusName") == bus)
    return rule


def test_whoever_may_put_events_on_the_bus_may_ask_for_a_publication(stage: Synthesised) -> None:
    rule = _rule(stage, STATEFUL["event queue"], _BUS)
    assert rule["EventPattern"] == {"detail-type": [DETAIL_PUBLISH]}
    assert set(rule["Targets"][0]) == {"Arn", "Id", "DeadLetterConfig"}  # the event as it is


@pytest.mark.parametrize(("name", "bus"), [("event queue", STATEFUL), ("archive", EXAMPLES)])
def test_what_can_not_reach_the_queue_goes_to_its_dead_letters(
    local: Synthesised, name: str, bus: Mapping[str, str]
) -> None:
    rules = _rules_to(local, bus[name]).values()
    dead_letters = {"Arn": arn(bus[f"{name}'s dead letters"])}
    assert rules
    assert all(rule["Targets"][0]["DeadLetterConfig"] == dead_letters for rule in rules)


@pytest.mark.parametrize("name", ["event queue", "event queue's dead letters", "archive", "archive's dead letters"])
def test_rules_and_nobody_else_may_send_to_the_queue(local: Synthesised, name: str) -> None:
    queue = local.stateful[name]
    rules = _rules_to(local, local.stateful[name.removesuffix("'s dead letters")])
    allowed = [
        statement
        for policy in local.of_type("AWS::SQS::QueuePolicy").values()
        if policy["Queues"] == [ref(queue)]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]
    assert {statement["Principal"]["Service"] for statement in allowed} == {"events.amazonaws.com"}
    sources = [statement["Condition"]["ArnEquals"]["aws:SourceArn"] for statement in allowed]
    assert sorted(map(text, sources)) == sorted(text(arn(rule)) for rule in rules)


def test_a_rule_on_the_default_bus_makes_publications_of_executions(local: Synthesised) -> None:
    rule = _rule(local, STATEFUL["event queue"], None)
    assert rule["EventPattern"] == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
    }
    transformer = rule["Targets"][0]["InputTransformer"]
    values = {f"<{name}>": path for name, path in transformer["InputPathsMap"].items()}
    # EventBridge puts quotes around values that stand alone.
    template = transformer["InputTemplate"]
    for name, path in values.items():
        assert f'"{name}' not in template
        template = template.replace(name, json.dumps(path))
    assert json.loads(template) == {
        "id": "$.id",
        "source": "$.source",
        "detail-type": DETAIL_PUBLISH,
        "detail": {
            "channel": ["executions", "$.detail.name"],
            "name": "status",
            "data": {"status": "$.detail.status", "execution": "$.detail.executionArn"},
        },
    }


def test_the_examples_are_in_stage_local_alone(dev: Synthesised, prod: Synthesised) -> None:
    for stage in (dev, prod):
        assert all("EventBusName" in rule for rule in _rules_to(stage, STATEFUL["event queue"]).values())
        assert not set(EXAMPLES.values()) & set(stage.document["Resources"])


def test_the_archive_is_given_every_publication_of_its_namespace(local: Synthesised) -> None:
    rule = _rule(local, EXAMPLES["archive"], _BUS)
    assert rule["EventPattern"] == {
        "source": [EVENT_SOURCE],
        "detail-type": [DETAIL_PUBLICATIONS],
        "detail": {"channel": [{"prefix": "orders:"}]},
    }
    assert rule["Targets"][0]["InputPath"] == "$.detail"


@pytest.mark.parametrize(
    "fields",
    [
        {"channel": ["jobs-{value}"]},
        {"name": "is {value}"},
        {"data": {"text": "it is {value}"}},
        {"data": {"deep": [{"deeper": "{value}!"}]}},
    ],
)
def test_a_value_of_an_event_inside_a_string_is_not_taken(fields: dict[str, Any]) -> None:
    from aws_cdk import aws_events as events

    from infra.constructs.event_sources import check_whole

    value = events.EventField.from_path("$.detail.name")
    check_whole({"channel": ["jobs", value], "name": "status", "data": {"value": value, "more": [value, 5, True]}})
    with pytest.raises(ValueError, match="inside a longer string"):
        check_whole(json.loads(json.dumps(fields).replace("{value}", value)))
