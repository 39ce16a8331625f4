"""What is missing for a deployment, each in one line with its cure: asked before anything is built."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from infra.constructs.presence import CONCURRENCY as PRESENCE_CONCURRENCY
from infra.one_origin_stacks import CLOUDFRONT_REGION
from infra.stage import StageConfig
from tools.deploy.remains import NO_STACK

# docs.aws.amazon.com/cdk/v2/guide/bootstrapping-customizing.html: the CDK CLI and templates look here, too
_BOOTSTRAP: Final = "/cdk-bootstrap/hnb659fds/version"
_BOOTSTRAP_VERSION: Final = 6  # what the assembly asks for: "requiresBootstrapStackVersion" in its manifest
_EXPIRED: Final = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_NOT_ALLOWED: Final = {"AccessDenied", "AccessDeniedException"}
# docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: new accounts have less than the 1,000 of others.
_ASK_FOR: Final = 1000
_QUOTA_CODE: Final = "L-B99A9384"  # of Lambda's concurrent executions


NO_PROFILE: Final = "AWS_PROFILE names a profile that is not in ~/.aws/config: see `aws configure list-profiles`"


class NobodyError(Exception):
    """AWS has nobody to answer: why, and the cure."""


class Clients(Protocol):
    """Makes clients of AWS."""

    def __call__(self, service: str, region: str) -> Any:
        """Return one for the service, in the region."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What was found: what stops a deployment, and what could not be looked at."""

    missing: tuple[str, ...]
    unseen: tuple[str, ...] = ()


def examine(
    stage: StageConfig,
    stack: str,
    *,
    environment: Mapping[str, str],
    region: str | None,
    client: Clients,
    small_quota: bool,
) -> Found:
    """Look at what the stage needs; what the rest needs is asked first, and alone where it is missing."""
    missing = list(_of_stage(stage, environment))
    try:
        account = account_of(region, client)
    except NobodyError as error:
        return Found((*missing, str(error)))
    assert region is not None
    unseen: list[str] = []
    regions = {region: None} | ({} if stage.cloudfront is None else {CLOUDFRONT_REGION: None})
    checks = [partial(_busy, client("cloudformation", region), stack)]
    checks += [partial(_bootstrap, client("ssm", one), f"{account}/{one}") for one in regions]
    if not small_quota and not stage.emulated:
        checks.append(partial(_quota, client("lambda", region), stage, region))
    for check in checks:
        try:
            if told := check():
                missing.append(told)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NOT_ALLOWED:
                raise
            unseen.append(f"not looked at, since these credentials may not call {error.operation_name}")
    return Found(tuple(missing), tuple(unseen))


def _of_stage(stage: StageConfig, environment: Mapping[str, str]) -> Iterator[str]:
    if stage.emulated and "AWS_ENDPOINT_URL" not in environment:
        yield "stage local is of an emulator: `make run` starts one and deploys there; make deploy takes dev or prod"
    if stage.name == "prod" and "*" in stage.allowed_origins:
        yield (
            'stage prod lets pages of every origin connect: in infra/stage.py, give StageConfig("prod", …) those of '
            'yours, such as allowed_origins=("https://app.example.com",)'
        )


def account_of(region: str | None, client: Clients) -> str:
    """Return the number of the account that the credentials are of.

    Raises:
        NobodyError: AWS can't be asked, or does not take them.
    """
    if region is None:
        raise NobodyError("no region: set AWS_REGION, such as AWS_REGION=eu-central-1, or one in your profile")
    try:
        account: str = client("sts", region).get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        raise NobodyError(_why_nobody(error, region)) from error
    return account


def _why_nobody(error: BotoCoreError | ClientError, region: str) -> str:
    match error:
        case NoCredentialsError():
            return "no AWS credentials: run `aws configure` or `aws sso login`, or set AWS_PROFILE"
        case PartialCredentialsError():
            return f"of the AWS credentials a part is missing: {error}"
        case SSOError() | TokenRetrievalError():
            return "the AWS sign-in has expired: run `aws sso login`"
        case ProfileNotFound():
            return NO_PROFILE
        case ClientError():
            code = error.response["Error"]["Code"]
            if code in _EXPIRED:
                return "the AWS credentials have expired: run `aws sso login`, or get new ones where you had these"
            return f"AWS does not take these credentials ({code}): see what AWS_PROFILE and AWS_ACCESS_KEY_ID say"
    why = f"AWS can't be asked in region {region!r} ({type(error).__name__})"
    return f"{why}: see whether AWS_REGION is one, and whether this machine reaches AWS"


def _busy(cloudformation: Any, stack: str) -> str | None:
    """Say why CloudFormation would not take a change of the stack, if it would not.

    docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ContinueUpdateRollback.html. The CDK CLI itself sees
    to stacks that were never whole (ROLLBACK_COMPLETE, REVIEW_IN_PROGRESS).
    """
    try:
        [described] = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == NO_STACK:
            return None
        raise
    status = described["StackStatus"]
    if status == "UPDATE_ROLLBACK_FAILED":
        return f"stack {stack} is stuck ({status}): `aws cloudformation continue-update-rollback --stack-name {stack}`"
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        return f"stack {stack} is being changed ({status}), maybe by what was interrupted: wait until that is through"
    return None


def _bootstrap(ssm: Any, environment: str) -> str | None:
    cure = f"run `node_modules/.bin/cdk bootstrap aws://{environment}` once, by who may make roles"
    try:
        version = int(ssm.get_parameter(Name=_BOOTSTRAP)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return f"CDK is not bootstrapped in {environment}: {cure}"
    if version < _BOOTSTRAP_VERSION:
        return f"CDK's bootstrap in {environment} is of version {version}, and {_BOOTSTRAP_VERSION} is needed: {cure}"
    return None


def _quota(functions: Any, stage: StageConfig, region: str) -> str | None:
    at_once = int(functions.get_account_settings()["AccountLimit"]["ConcurrentExecutions"])
    need = concurrency(stage)
    if at_once > need:
        return None
    return (
        f"Lambda runs {at_once} functions at a time here, and the queues of stage {stage.name} alone may take {need}: "
        f"ask for {_ASK_FOR}: `aws service-quotas request-service-quota-increase --service-code lambda "
        f"--quota-code {_QUOTA_CODE} --desired-value {_ASK_FOR} --region {region}`; "
        f"to try with less: make deploy STAGE={stage.name} SMALL_QUOTA=1"
    )


def concurrency(stage: StageConfig) -> int:
    """Return how many functions its queues may have at work at a time; whoever connects or calls comes on top."""
    return sum(most for _, most in stage.lane_concurrency) + stage.push_concurrency + PRESENCE_CONCURRENCY
