"""Where traffic is shifted, everything that invokes leads to an alias; where it is not, nothing of it is there."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from infra.stage import StageConfig, check, stage_config
from tests.infra.template import STATEFUL, Synthesised, values_of

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
        assert (properties["MetricName"], properties["Threshold"]) == ("Errors", 1)
        assert {one["Name"] for one in properties["Dimensions"]} == {"FunctionName", "Resource"}
    for name, resource in shifted.document["Resources"].items():
        if resource["Type"] == "AWS::Lambda::Alias":
            moved_by = resource["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
            assert moved_by["DeploymentGroupName"]["Ref"] in groups, name


def test_alarms_that_are_given_take_every_function_back(tmp_path: Path) -> None:
    import aws_cdk as cdk
    from aws_cdk import aws_cloudwatch as cloudwatch
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk.assertions import Template

    from infra.constructs.traffic_shift import TrafficShift

    stack = cdk.Stack(cdk.App(outdir=str(tmp_path)), "Stack")
    function = lambda_.Function.from_function_name(stack, "Function", "f")
    alias = lambda_.Alias(
        stack, "Alias", alias_name="live", version=lambda_.Version(stack, "Version", lambda_=function)
    )
    alarm = cloudwatch.Alarm.from_alarm_arn(
        stack, "Alarm", "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:Tidewire-Health"
    )
    TrafficShift(stack, "TrafficShift", steps=STEPS, aliases={"Function": alias}, alarms=[alarm])
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::CloudWatch::Alarm", 0)
    template.has_resource_properties(
        "AWS::CodeDeploy::DeploymentGroup",
        {"AlarmConfiguration": {"Alarms": [{"Name": "Tidewire-Health"}], "Enabled": True}},
    )


def test_nothing_that_holds_data_is_made_anew(shifted: Synthesised, dev: Synthesised) -> None:
    assert set(STATEFUL.values()) <= set(shifted.document["Resources"])
    assert set(dev.function_ids.values()) == set(shifted.function_ids.values())


def test_nag_finds_nothing(shifted: Synthesised) -> None:
    from aws_cdk.assertions import Match

    found = shifted.annotations.find_error("*", Match.string_like_regexp("^AwsSolutions-"))
    assert [f"{one.id} {one.entry.data}" for one in found] == []


def test_by_default_there_is_none_of_it(stage: Synthesised) -> None:
    types = {resource["Type"] for resource in stage.document["Resources"].values()}
    assert not [one for one in types if re.search("CodeDeploy|Lambda::(Alias|Version)", one)]


def test_the_emulator_shifts_nothing() -> None:
    local = replace(stage_config("local", edge_url="http://localhost:8080"), traffic_shift=STEPS)
    with pytest.raises(SystemExit, match="traffic_shift: the emulator has no CodeDeploy"):
        check(local)
