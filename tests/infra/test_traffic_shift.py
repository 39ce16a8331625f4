"""Where traffic is shifted, everything that invokes leads to an alias; where it is not, nothing of it is there."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from infra.stage import StageConfig, check, stage_config
from tests.infra.one_origin import CERTIFICATE, DOMAIN
from tests.infra.template import STATEFUL, Synthesised, values_of

_CAPABILITIES: Final = {"room:*": ["subscribe"]}
STEPS: Final = "CodeDeployDefault.LambdaCanary10Percent5Minutes"
# What invokes a function, or says how, and the property in which it says which.
_INVOKERS: Final = {
    "AWS::ApiGatewayV2::Integration": "IntegrationUri",
    "AWS::Lambda::EventSourceMapping": "FunctionName",
    "AWS::Lambda::Permission": "FunctionName",
    "AWS::Lambda::Url": "TargetFunctionArn",
}


def shifting() -> StageConfig:
    return replace(stage_config("dev", edge_url=None), traffic_shift=STEPS)


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    import aws_cdk as cdk

    from infra import nag
    from infra.realtime_stack import RealtimeStack

    app = cdk.App(
        outdir=str(tmp_path_factory.mktemp("shifted")),
        context={"aws:cdk:bundling-stacks": []},
        builtin_cloud_formation_validation=False,
    )
    stack = RealtimeStack(app, "TidewireDev", stage=shifting())
    nag.watch(stack)
    return Synthesised.of("dev", stack)


def _referred(node: Any) -> set[str]:
    return {*values_of("Ref", node), *(name for name, *_ in values_of("Fn::GetAtt", node))}


def test_whatever_invokes_a_function_leads_to_its_alias(shifted: Synthesised) -> None:
    aliases, functions = set(shifted.of_type("AWS::Lambda::Alias")), set(shifted.function_ids.values())
    assert len(aliases) == len(shifted.functions)
    reached: set[str] = set()
    for resource_type, key in _INVOKERS.items():
        for name, properties in shifted.of_type(resource_type).items():
            if properties.get("IntegrationType") == "MOCK":
                continue
            # A function's URL takes the function's ARN and names the alias beside it.
            if "Qualifier" in properties:
                assert properties["Qualifier"] == "live", name
                continue
            assert not _referred(properties[key]) & functions, name
            reached |= _referred(properties[key]) & aliases
    for name, rule in shifted.of_type("AWS::Events::Rule").items():
        for target in rule["Targets"]:
            assert not _referred(target["Arn"]) & functions, name
            reached |= _referred(target["Arn"]) & aliases
    stream = {name for name in aliases if "HttpStream" in name}
    assert reached | stream == aliases
    [asynchronous] = shifted.of_type("AWS::Lambda::EventInvokeConfig").values()
    assert _referred(asynchronous["Qualifier"]) & aliases
    assert len(shifted.of_type("AWS::Lambda::Url")) == len(stream) == 1


def test_each_alias_is_moved_in_steps_and_taken_back_on_an_alarm(shifted: Synthesised) -> None:
    groups = shifted.of_type("AWS::CodeDeploy::DeploymentGroup")
    assert len(groups) == len(shifted.functions)
    alarms = shifted.of_type("AWS::CloudWatch::Alarm")
    for group in groups.values():
        assert group["DeploymentConfigName"] == STEPS
        assert group["DeploymentStyle"] == {
            "DeploymentOption": "WITH_TRAFFIC_CONTROL",
            "DeploymentType": "BLUE_GREEN",
        }
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        [alarm] = group["AlarmConfiguration"]["Alarms"]
        properties = alarms[alarm["Name"]["Ref"]]
        assert (properties["Threshold"], properties["ComparisonOperator"]) == (5, "GreaterThanThreshold")
        assert properties["TreatMissingData"] == "notBreaching"
        [share] = [one for one in properties["Metrics"] if "Expression" in one]
        assert share["Expression"] == "100 * errors / invocations"
        measured = {one["Id"]: one for one in properties["Metrics"] if one is not share}
        assert set(measured) == {"errors", "invocations"}
        versions = set(shifted.of_type("AWS::Lambda::Version"))
        for name, metric in measured.items():
            told = metric["MetricStat"]["Metric"]
            assert told["MetricName"] == name.capitalize()
            dimensions = {one["Name"]: one["Value"] for one in told["Dimensions"]}
            assert set(dimensions) == {"FunctionName", "Resource", "ExecutedVersion"}
            # Of the new version alone, which is another one with each deployment.
            assert _referred(dimensions["ExecutedVersion"]) <= versions
    for name, resource in shifted.document["Resources"].items():
        if resource["Type"] == "AWS::Lambda::Alias":
            moved_by = resource["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
            assert moved_by["DeploymentGroupName"]["Ref"] in groups, name


@pytest.mark.parametrize("changed", ["code", "layer", "environment", None])
def test_whatever_is_changed_of_a_function_makes_a_new_version(tmp_path: Path, changed: str | None) -> None:
    """The alias is moved to versions only: what is in none never comes to be used."""
    before, after = (_version_id(tmp_path / f"{number}", changed if number else None) for number in range(2))
    assert (before != after) == (changed is not None)


def _version_id(folder: Path, changed: str | None) -> str:
    """Return the logical id of a function's version, where something of it is another than in the others."""
    import aws_cdk as cdk
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk.assertions import Template

    from infra.constructs.functions import Functions

    (folder / "layer").mkdir(parents=True)
    (folder / "layer" / "file.py").write_text("2" if changed == "layer" else "1")
    app = cdk.App(outdir=str(folder / "out"), context={"aws:cdk:bundling-stacks": []})
    stack = cdk.Stack(app, "Stack")
    functions = Functions(stack, "Functions", stage=shifting())
    layer = lambda_.LayerVersion(functions, "More", code=lambda_.Code.from_asset(str(folder / "layer")))
    environment = {"A": "2" if changed == "environment" else "1"}
    function = functions.make("janitor", timeout_s=5, environment=environment, more_layers=[layer])
    if changed == "code":
        function.node.default_child.add_property_override("Code.S3Key", "another.zip")  # type: ignore[union-attr]
    functions.entry(function)
    [version] = Template.from_stack(stack).find_resources("AWS::Lambda::Version")
    return version


def test_nothing_that_holds_data_is_made_anew(shifted: Synthesised, dev: Synthesised) -> None:
    assert set(STATEFUL.values()) <= set(shifted.document["Resources"])
    assert set(dev.function_ids.values()) == set(shifted.function_ids.values())


def test_nag_finds_nothing(shifted: Synthesised) -> None:
    from aws_cdk.assertions import Match

    found = shifted.annotations.find_error("*", Match.string_like_regexp("^AwsSolutions-"))
    assert [f"{one.id} {one.entry.data}" for one in found] == []


def test_with_every_option_it_is_less_than_cloudformation_takes(tmp_path: Path) -> None:
    """``Synthesised.of`` refuses a template whose resources wait for each other in a circle."""
    import aws_cdk as cdk

    from infra.one_origin_stacks import add_stacks
    from infra.stage import CloudFront

    origin = CloudFront(domain=DOMAIN, certificate_arn=CERTIFICATE, hosted_zone_id="Z1")
    everything = replace(
        stage_config("prod", edge_url=None),
        **{"traffic_shift": STEPS, "cloudfront": origin, "user_pool": _CAPABILITIES, "anonymous": _CAPABILITIES},  # type: ignore[arg-type]
        **{"demo": True, "aws_events": True, "archive": "orders", "reserved_concurrency": (("ws_message", 100),)},  # type: ignore[arg-type]
    )
    check(everything)
    app = cdk.App(
        outdir=str(tmp_path),
        context={"aws:cdk:bundling-stacks": []},
        builtin_cloud_formation_validation=False,
    )
    document = Synthesised.of("prod", add_stacks(app, "TidewireProd", stage=everything, region="eu-central-1")).document
    # docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html; CDK refuses more than 500.
    assert len(document["Resources"]) < 400
    assert len(document["Outputs"]) < 60
    assert len(json.dumps(document, indent=1)) < 460_800


def test_by_default_there_is_none_of_it(stage: Synthesised) -> None:
    types = {resource["Type"] for resource in stage.document["Resources"].values()}
    assert not [one for one in types if re.search("CodeDeploy|Lambda::(Alias|Version)", one)]


def test_the_emulator_shifts_nothing() -> None:
    local = replace(stage_config("local", edge_url="http://localhost:8080"), traffic_shift=STEPS)
    with pytest.raises(SystemExit, match="traffic_shift: the emulator has no CodeDeploy"):
        check(local)
