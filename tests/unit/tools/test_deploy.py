"""make deploy says what is missing before it starts, and knows from the CDK CLI whether anything was changed."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from botocore.exceptions import (
    EndpointConnectionError,
    InvalidRegionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    UnauthorizedSSOTokenError,
)
from botocore.stub import Stubber

from infra.stage import CloudFront, StageConfig, stage_config
from tools.aws_region import region_of, settle_region
from tools.deploy.__main__ import main
from tools.deploy.cdk import changed, run
from tools.deploy.preflight import Found, concurrency, examine
from tools.deploy.remains import remains

REGION: Final = "eu-central-1"
_NAME: Final = {"Name": "/cdk-bootstrap/hnb659fds/version"}
DEV: Final = stage_config("dev", edge_url=None)
LOCAL: Final = stage_config("local", edge_url="http://localhost:8080")

Answer = Callable[[Stubber], None]
Said = Mapping[str, "Answer | Failing | Exception"]


def answers(method: str, result: Mapping[str, Any], asked: Mapping[str, Any] | None = None) -> Answer:
    return lambda stub: stub.add_response(method, dict(result), None if asked is None else dict(asked))


def refuses(method: str, code: str) -> Answer:
    return lambda stub: stub.add_client_error(method, code)


class Failing:
    """A client that fails before it has sent anything."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, _method: str) -> Any:
        raise self._error


KNOWN: Final = answers("get_caller_identity", {"Account": "123456789012"})
BOOTSTRAPPED: Final = answers("get_parameter", {"Parameter": {"Value": "21"}}, _NAME)


def may_run(count: int) -> Answer:
    return answers("get_account_settings", {"AccountLimit": {"ConcurrentExecutions": count}})


NO_STACK: Final = refuses("describe_stacks", "ValidationError")


def stack_is(status: str) -> Answer:
    stack = {"StackName": "TidewireDev", "CreationTime": 0, "StackStatus": status}
    return answers("describe_stacks", {"Stacks": [stack]}, {"StackName": "TidewireDev"})


GOOD: Final[Said] = {"sts": KNOWN, "cloudformation": NO_STACK, "ssm": BOOTSTRAPPED, "lambda": may_run(1000)}


@pytest.fixture
def look() -> Iterator[Callable[..., Found]]:
    """Examines with clients that answer as they are told, and no other call."""
    with ExitStack() as opened:

        def client(said: Said, service: str, region: str) -> Any:
            answer = said[service]
            if isinstance(answer, Failing):
                return answer
            if isinstance(answer, Exception):
                raise answer
            made = boto3.client(service, region_name=region, aws_access_key_id="a", aws_secret_access_key="b")  # type: ignore[call-overload]
            stub = opened.enter_context(Stubber(made))
            answer(stub)
            return made

        def look_(
            stage: StageConfig = DEV,
            *,
            region: str | None = REGION,
            small: bool = False,
            **said: Answer | Failing | Exception,
        ) -> Found:
            every = {**GOOD, **{name.rstrip("_"): one for name, one in said.items()}}
            environment = {"AWS_ENDPOINT_URL": "http://localhost:4566"} if stage.emulated else {}
            return examine(
                stage,
                "TidewireDev",
                environment=environment,
                region=region,
                client=lambda service, where: client(every, service, where),
                small_quota=small,
            )

        yield look_


def test_nothing_is_missing(look: Callable[..., Found]) -> None:
    assert look() == Found(())


@pytest.mark.parametrize(
    ("said", "what", "cure"),
    [
        ({"sts": Failing(NoCredentialsError())}, "no AWS credentials", "aws configure"),
        ({"sts": refuses("get_caller_identity", "ExpiredToken")}, "have expired", "aws sso login"),
        ({"sts": Failing(UnauthorizedSSOTokenError())}, "sign-in has expired", "aws sso login"),
        ({"sts": refuses("get_caller_identity", "InvalidClientTokenId")}, "does not take", "AWS_ACCESS_KEY_ID"),
        ({"sts": Failing(EndpointConnectionError(endpoint_url="https://sts"))}, "can't be asked", "AWS_REGION"),
        ({"sts": ProfileNotFound(profile="nobody")}, "not in ~/.aws/config", "list-profiles"),
        ({"sts": PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY")}, "a part", "AWS_SECRET"),
        (
            {"sts": InvalidRegionError(region_name="eu central")},
            "can't be asked in region 'eu-central-1'",
            "AWS_REGION",
        ),
        ({"cloudformation": stack_is("UPDATE_IN_PROGRESS")}, "TidewireDev is being changed", "wait"),
        ({"cloudformation": stack_is("UPDATE_ROLLBACK_FAILED")}, "stuck", "continue-update-rollback"),
        (
            {"ssm": refuses("get_parameter", "ParameterNotFound")},
            "not bootstrapped",
            "cdk bootstrap aws://123456789012/eu-central-1`",
        ),
        (
            {"ssm": answers("get_parameter", {"Parameter": {"Value": "5"}}, _NAME)},
            "is of version 5, and 6 is needed",
            "cdk bootstrap",
        ),
        ({"lambda_": may_run(10)}, "Lambda runs 10 functions", "request-service-quota-increase"),
        ({"lambda_": may_run(concurrency(DEV))}, "Lambda runs 61 functions", "SMALL_QUOTA=1"),
    ],
)
def test_what_is_missing_is_told_in_one_line_with_its_cure(
    look: Callable[..., Found], said: Said, what: str, cure: str
) -> None:
    [line] = look(**said).missing
    assert what in line
    assert cure in line
    assert "\n" not in line


@pytest.mark.parametrize("status", ["CREATE_COMPLETE", "ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"])
def test_a_stack_that_the_cdk_cli_can_deal_with_stops_nothing(look: Callable[..., Found], status: str) -> None:
    assert look(cloudformation=stack_is(status)) == Found(())


def test_without_a_region_nobody_is_asked(look: Callable[..., Found]) -> None:
    [line] = look(region=None, sts=Failing(AssertionError("asked"))).missing
    assert "AWS_REGION" in line


def test_a_small_quota_can_be_lived_with(look: Callable[..., Found]) -> None:
    assert look(small=True, lambda_=Failing(AssertionError("asked"))) == Found(())


def test_what_may_not_be_looked_at_is_told_and_stops_nothing(look: Callable[..., Found]) -> None:
    found = look(lambda_=refuses("get_account_settings", "AccessDeniedException"))
    assert found.missing == ()
    assert "GetAccountSettings" in found.unseen[0]


def test_all_that_is_missing_is_told_at_once(look: Callable[..., Found]) -> None:
    found = look(
        stage_config("prod", edge_url=None), ssm=refuses("get_parameter", "ParameterNotFound"), lambda_=may_run(10)
    )
    assert [word in line for word, line in zip(("origin", "bootstrap", "Lambda"), found.missing, strict=True)] == [
        True
    ] * 3


def test_prod_goes_once_it_names_its_origins(look: Callable[..., Found]) -> None:
    prod = replace(stage_config("prod", edge_url=None), allowed_origins=("https://app.example.com",))
    assert look(prod) == Found(())


def test_cloudfront_needs_a_bootstrap_in_its_own_region_too(look: Callable[..., Found]) -> None:
    [line] = look(replace(DEV, cloudfront=CloudFront()), ssm=lambda stub: _only_in(REGION, stub)).missing
    assert "not bootstrapped in 123456789012/us-east-1" in line


def _only_in(region: str, stub: Stubber) -> None:
    there = stub.client.meta.region_name == region
    (BOOTSTRAPPED if there else refuses("get_parameter", "ParameterNotFound"))(stub)


def test_stage_local_needs_an_emulator(look: Callable[..., Found]) -> None:
    assert look(LOCAL) == Found(())
    [line] = examine(LOCAL, "TidewireLocal", environment={}, region=None, client=_nobody, small_quota=False).missing[:1]
    assert "make run" in line


def _nobody(service: str, region: str) -> Any:
    raise AssertionError(f"{service} of {region} is not to be asked")


@pytest.mark.parametrize(
    ("arguments", "named"), [(["staging"], "'staging'"), ([], "''"), (["--destroy"], "''"), (["--destroy", "x"], "'x'")]
)
def test_a_stage_that_is_none_is_refused_with_those_that_are(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    told = f"tidewire: stage {named} is unknown: STAGE=, or cdk's -c stage=, takes local, dev, prod\n"
    assert capsys.readouterr().err == told


# Interrupts who runs it, as a runner would; and ends once it is told so itself.
_INTERRUPTED: Final = """
import os, pathlib, signal, sys
def end(*_):
    pathlib.Path(sys.argv[1]).touch()
    sys.exit(1)
signal.signal(signal.SIGINT, end)
os.kill(os.getppid(), signal.SIGINT)
while True:
    signal.pause()
"""


def test_who_interrupts_a_deployment_ends_the_cli_as_well(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", _INTERRUPTED, str(ended)])
    assert ended.exists()


def test_what_a_command_says_is_passed_on_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    script = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)"
    status, said = run([sys.executable, "-uc", script])
    assert (status, said) == (3, ["one\n", "two\n"])
    assert capsys.readouterr().out == "one\ntwo\n"


def test_the_region_is_read_as_the_cdk_cli_reads_it() -> None:
    assert region_of({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}) == "eu-west-1"
    assert region_of({"AWS_DEFAULT_REGION": "us-east-1"}) == "us-east-1"


def test_boto3_and_the_cdk_cli_ask_the_same_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert settle_region() == "eu-west-1"
    assert boto3.client("cloudformation").meta.region_name == "eu-west-1"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([" ✅  TidewireDev (no changes)\n", "✨  Deployment time: 1s\n"], False),
        ([" ✅  TidewireDev\n"], True),
        ([" ✅  TidewireDevFirewall (no changes)\n", " ✅  TidewireDev\n"], True),
        (["what a CLI of another version says\n"], True),
    ],
)
def test_whether_anything_was_changed_is_read_from_what_the_cli_says(said: list[str], expected: bool) -> None:
    assert changed(said) is expected


def test_what_stays_is_what_the_deployed_template_keeps() -> None:
    client = boto3.client("cloudformation", region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")
    template = {
        "Resources": {
            "Table": {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "Retain"},
            "Queue": {"Type": "AWS::SQS::Queue", "DeletionPolicy": "Delete"},
            "Role": {"Type": "AWS::IAM::Role"},
        }
    }
    summary = {
        "LogicalResourceId": "Table",
        "PhysicalResourceId": "TidewireProd-Table-1",
        "ResourceType": "AWS::DynamoDB::Table",
        "LastUpdatedTimestamp": 0,
        "ResourceStatus": "CREATE_COMPLETE",
    }
    with Stubber(client) as stub:
        stub.add_response("get_template", {"TemplateBody": json.dumps(template)}, {"StackName": "TidewireProd"})
        stub.add_response("list_stack_resources", {"StackResourceSummaries": [summary]}, {"StackName": "TidewireProd"})
        assert remains(client, "TidewireProd") == ["AWS::DynamoDB::Table TidewireProd-Table-1"]
        stub.add_client_error("get_template", "ValidationError")
        assert remains(client, "TidewireProd") is None
