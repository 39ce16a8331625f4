"""No secret stands in a template, an output or an environment: there are ARNs, for those who may read them."""

import json
from typing import Any

import pytest

from tests.infra.one_origin import OneOrigin
from tests.infra.template import Synthesised

_RESOLVED = "resolve:secretsmanager"


def _told(document: Any) -> list[str]:
    """Return where a template would tell a secret to who may look at a stack or a function."""
    told = []
    for name, resource in document["Resources"].items():
        if "SecretString" in resource.get("Properties", {}):
            told.append(f"{name}: SecretString")
        if resource["Type"] == "AWS::Lambda::Function" and _RESOLVED in json.dumps(resource):
            told.append(f"{name}: environment")
    if _RESOLVED in json.dumps(document.get("Outputs", {})):
        told.append("outputs")
    return told


def test_no_secret_is_in_a_template(stage: Synthesised) -> None:
    assert _told(stage.document) == []


def test_nor_in_those_of_a_stage_with_cloudfront(one: OneOrigin, nameless: OneOrigin) -> None:
    for front in (one, nameless):
        assert [_told(stack.document) for stack in (front.main, front.firewall, front.access_log)] == [[], [], []]


_REFERENCE = "{{resolve:secretsmanager:arn:aws:secretsmanager:us-east-1:1:secret:a:SecretString:::}}"


@pytest.mark.parametrize(
    ("resource", "outputs"),
    [
        ({"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "hunter2"}}, {}),
        (
            {
                "Type": "AWS::Lambda::Function",
                "Properties": {"Environment": {"Variables": {"KEY": {"Fn::Join": ["", [_REFERENCE]]}}}},
            },
            {},
        ),
        ({"Type": "AWS::SQS::Queue"}, {"Key": {"Value": _REFERENCE}}),
    ],
)
def test_one_that_would_be_is_noticed(resource: dict[str, Any], outputs: dict[str, Any]) -> None:
    assert len(_told({"Resources": {"One": resource}, "Outputs": outputs})) == 1
