"""The canary: when it runs, where it goes, and what is made of what it measures."""

from dataclasses import replace
from typing import Any, Final

import pytest

from infra.stage import CloudFront, check, stage_config
from shared import contract
from tests.infra.template import CANARY, Properties, Synthesised, arn, text

_MINUTES: Final = 5


def _rule(stage: Synthesised) -> Properties:
    lambda_arn = arn(stage.function_ids[CANARY])
    [rule] = [
        rule for rule in stage.of_type("AWS::Events::Rule").values() if rule["Targets"][0].get("Arn") == lambda_arn
    ]
    return rule


def _alarms(stage: Synthesised) -> list[Properties]:
    alarms = stage.of_type("AWS::CloudWatch::Alarm").values()
    return [alarm for alarm in alarms if alarm.get("AlarmDescription") == "docs/runbooks/canary.md"]


def test_it_runs_every_few_minutes(prod: Synthesised) -> None:
    rule = _rule(prod)
    assert (rule["ScheduleExpression"], rule["State"]) == (f"rate({_MINUTES} minutes)", "ENABLED")


def test_on_the_emulator_it_waits_to_be_invoked(local: Synthesised) -> None:
    assert _rule(local)["State"] == "DISABLED"
    assert _alarms(local) == []


def test_a_run_that_did_not_come_is_not_caught_up_with(prod: Synthesised) -> None:
    canary = prod.function_ids[CANARY]
    [asynchronous] = [
        config
        for config in prod.of_type("AWS::Lambda::EventInvokeConfig").values()
        if config["FunctionName"] == {"Ref": canary}
    ]
    assert (asynchronous["MaximumEventAgeInSeconds"], asynchronous["MaximumRetryAttempts"]) == (60, 0)
    assert _rule(prod)["Targets"][0]["RetryPolicy"] == {"MaximumRetryAttempts": 0}


def test_runs_that_fail_or_are_missing_raise_an_alarm(prod: Synthesised) -> None:
    [alarm] = _alarms(prod)
    assert alarm["Namespace"] == contract.METRICS_NAMESPACE
    assert alarm["MetricName"] == "CanarySuccess"  # as docs/metrics.md has it, which a test holds to the code
    assert alarm["Dimensions"] == [{"Name": "service", "Value": contract.SERVICE_NAME}]
    assert alarm["TreatMissingData"] == "breaching"
    assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == ("Minimum", "LessThanThreshold", 1)
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (3, 2)
    assert alarm["Period"] == 60 * _MINUTES  # a run in each
    assert alarm["AlarmActions"]


def test_a_stage_that_says_nothing_of_it_has_none(dev: Synthesised) -> None:
    assert CANARY not in dev.functions
    assert _alarms(dev) == []
    assert not any("canary" in layer["Description"] for layer in dev.of_type("AWS::Lambda::LayerVersion").values())


@pytest.fixture(scope="module")
def behind_cloudfront(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """With CloudFront, and traffic that is shifted."""
    import aws_cdk as cdk

    from infra.one_origin_stacks import add_stacks

    app = cdk.App(
        outdir=str(tmp_path_factory.mktemp("behind")),
        context={"aws:cdk:bundling-stacks": []},
        builtin_cloud_formation_validation=False,
    )
    shift: Any = "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    stage = replace(stage_config("dev", edge_url=None), canary=_MINUTES, cloudfront=CloudFront(), traffic_shift=shift)
    check(stage)
    return Synthesised.of("dev", add_stacks(app, "TidewireDev", stage=stage, region="us-east-1"))


def test_it_goes_where_clients_go(prod: Synthesised, local: Synthesised, behind_cloudfront: Synthesised) -> None:
    for stage in (prod, local, behind_cloudfront):
        told = stage.environment(CANARY)
        outputs = {name: text(output["Value"]) for name, output in stage.document["Outputs"].items()}
        assert told[contract.ENV_HTTP_URL] == outputs[contract.OUTPUT_HTTP_URL]
        assert told[contract.ENV_WEBSOCKET_URL] == outputs[contract.OUTPUT_WEBSOCKET_URL]
    distribution = "${FrontDistribution428BE642.DomainName}"
    assert behind_cloudfront.environment(CANARY)[contract.ENV_HTTP_URL] == f"https://{distribution}"


@pytest.mark.parametrize("minutes", [0, -1, 61])
def test_a_stage_that_would_not_notice_is_refused(minutes: int) -> None:
    with pytest.raises(SystemExit, match="canary: 1 to 60 minutes"):
        check(replace(stage_config("prod", edge_url=None), canary=minutes))


def test_what_its_channels_are_is_in_the_channels_file() -> None:
    from functions.canary.handler import NAMESPACE
    from shared import namespaces

    kept = namespaces.load().named[NAMESPACE]
    assert (kept.history_count, kept.history_ttl_s, kept.presence) == (1, 600, "off")
