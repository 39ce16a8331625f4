"""X-Ray: every function or none, with the two rights that it takes; and nothing of it where it can't be."""

import tomllib
from dataclasses import replace

import pytest

from tests.infra.template import FUNCTIONS, ROOT, Synthesised, values_of
from tests.infra.test_permissions import TRACE, traced


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_traced_where_the_stage_says_so(stage: Synthesised, name: str) -> None:
    config = {"Mode": "Active"} if traced(stage) else None
    assert stage.function(name).get("TracingConfig") == config


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_is_not_traced_may_write_no_traces(local: Synthesised, name: str) -> None:
    assert {action for action, _, _ in local.granted(name)} & TRACE == set()


def test_no_api_is_traced(dev: Synthesised) -> None:
    """X-Ray has REST APIs alone, and this stack has none; CloudFormation refuses the property of any other.

    docs.aws.amazon.com/xray/latest/devguide/xray-services-apigateway.html
    """
    assert not dev.of_type("AWS::ApiGateway::RestApi")
    assert not list(values_of("TracingEnabled", dev.document))


def test_no_function_is_packaged_with_an_sdk_for_it() -> None:
    packages = {one["name"] for one in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    assert {"boto3", "aws-lambda-powertools"} <= packages
    assert "aws-xray-sdk" not in packages


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_what_is_logged_is_a_share(share: float) -> None:
    from infra.stage import check, stage_config

    with pytest.raises(SystemExit, match="logged_share"):
        check(replace(stage_config("dev", edge_url=None), logged_share=share))
