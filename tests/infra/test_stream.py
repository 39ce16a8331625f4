"""The streaming function: exactly what AWS Lambda Web Adapter's documentation asks for.

github.com/aws/aws-lambda-web-adapter: docs/guide/src/getting-started/zip-packages.md ("zip"),
docs/guide/src/configuration/environment-variables.md ("variables"),
examples/fastapi-response-streaming-zip ("example").
"""

import os
import re
import stat
from pathlib import Path

import pytest

from shared.contract import ENV_STREAM_MAX_AGE_S, ENV_STREAM_URL
from tests.infra.template import STREAM, Synthesised, arn, ref, text


def test_the_adapters_layer_is_that_of_the_region_and_the_architecture(stage: Synthesised) -> None:
    """zip, step 1."""
    own, adapter = stage.function(STREAM)["Layers"]
    assert text(own).startswith("${FunctionsStreamLayer")
    assert text(adapter) == "arn:aws:lambda:${AWS::Region}:753240598075:layer:LambdaAdapterLayerArm64:30"
    assert stage.function(STREAM)["Architectures"] == ["arm64"]


def test_the_adapter_starts_the_app_and_streams_what_it_says(stage: Synthesised) -> None:
    """zip, step 2; variables: invoke mode, port, readiness."""
    environment = stage.environment(STREAM)
    assert environment["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/bootstrap"
    assert environment["AWS_LWA_INVOKE_MODE"] == "response_stream"
    assert environment["AWS_LWA_PORT"] == "8000"
    assert environment["AWS_LWA_READINESS_CHECK_PATH"] == "/healthz"


def test_the_handler_is_a_script_that_can_be_executed(stage: Synthesised) -> None:
    """zip, step 3, and "Windows Users": LF, mode 755. The adapter executes it from the task's root."""
    script = stage.asset(STREAM) / stage.function(STREAM)["Handler"]
    assert stat.S_IMODE(script.stat().st_mode) & 0o555 == 0o555
    assert os.access(script, os.X_OK)
    content = script.read_bytes()
    assert content.startswith(b"#!/bin/sh\n")
    assert b"\r" not in content
    [command] = re.findall(rb"^exec .*(?:\\\n.*)*$", content, re.MULTILINE)
    assert b'--port "$AWS_LWA_PORT"' in command


def test_the_url_streams_and_has_the_only_cross_origin_rules(stage: Synthesised) -> None:
    """example: the URL's mode has to be the adapter's."""
    [url] = stage.of_type("AWS::Lambda::Url").values()
    assert (url["InvokeMode"], url["AuthType"]) == ("RESPONSE_STREAM", "NONE")
    assert url["TargetFunctionArn"] == arn(stage.function_ids[STREAM])
    assert url["Cors"]["AllowMethods"] == ["GET", "POST"]  # by POST, Centrifugo's clients ask for a stream
    assert set(url["Cors"]["AllowHeaders"]) == {"Authorization", "Content-Type", "Last-Event-ID"}
    source = Path(__file__).parents[2] / "functions" / "http_api"
    assert not [path for path in source.glob("*.py") if "CORSMiddleware" in path.read_text()]


def test_everybody_may_call_the_url_and_the_function_through_it_alone(stage: Synthesised) -> None:
    """docs.aws.amazon.com/lambda/latest/dg/urls-auth.html: both permissions, since October 2025."""
    allowed = {
        permission["Action"]: permission
        for permission in stage.of_type("AWS::Lambda::Permission").values()
        if permission["FunctionName"] in (arn(stage.function_ids[STREAM]), ref(stage.function_ids[STREAM]))
    }
    assert allowed.keys() == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    assert allowed["lambda:InvokeFunctionUrl"]["FunctionUrlAuthType"] == "NONE"
    assert allowed["lambda:InvokeFunction"]["InvokedViaFunctionUrl"] is True


def test_the_function_lives_a_little_longer_than_a_stream(stage: Synthesised) -> None:
    age_s = int(stage.environment(STREAM)[ENV_STREAM_MAX_AGE_S])
    assert age_s < stage.function(STREAM)["Timeout"] <= age_s + 60


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_clients_are_told_the_urls_origin(request: pytest.FixtureRequest, name: str) -> None:
    stage: Synthesised = request.getfixturevalue(name)
    [url] = stage.of_type("AWS::Lambda::Url")
    assert stage.environment("http_api")[ENV_STREAM_URL] == f"https://part 2 of ${{{url}.FunctionUrl}} by /"
