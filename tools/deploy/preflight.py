"""What is missing for a deployment, each in one line with its cure: asked before anything is built."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import boto3
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

# docs.aws.amazon.com/cdk/v2/guide/bootstrapping-customizing.html: the CDK CLI and templates look here, too
_BOOTSTRAP: Final = "/cdk-bootstrap/hnb659fds/version"
_BOOTSTRAP_VERSION: Final = 6  # what the assembly asks for: "requiresBootstrapStackVersion" in its manifest
_EXPIRED: Final = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_NOT_ALLOWED: Final = {"AccessDenied", "AccessDeniedException"}
# docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: new accounts have less than the 1,000 of others.
_ASK_FOR: Final = 1000
_QUOTA_CODE: Final = "L-B99A9384"  # of Lambda's concurrent executions


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


def region_of(environment: Mapping[str, str]) -> str | None:
    """Return the region as the CDK CLI finds it; boto3 alone would not read ``AWS_REGION``.

    Raises:
        ProfileNotFound: ``AWS_PROFILE`` names none.
    """
    return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or boto3.Session().region_name


def examine(
    stage: StageConfig, *, environment: Mapping[str, str], region: str | None, client: Clients, small_quota: bool
) -> Found:
    """Look at what the stage needs; what the rest needs is asked first, and alone where it is missing."""
    missing = list(_of_stage(stage, environment))
    if region is None:
        missing.append("no region: set AWS_REGION, such as AWS_REGION=eu-central-1, or one in your profile")
        return Found(tuple(missing))
    if why := _why_nobody(client("sts", region)):
        return Found((*missing, why))
    unseen: list[str] = []
    regions = {region: None} | ({} if stage.cloudfront is None else {CLOUDFRONT_REGION: None})
    checks = [partial(_bootstrap, client("ssm", one), one) for one in regions]
    if not small_quota and not stage.emulated:
        checks.append(partial(_quota, client("lambda", region), stage, region))
    for check in checks:
        try:
            if told := check():
                missing.append(told)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NOT_ALLOWED:
                raise
            unseen.append(f"not looked at, since these credentials may not {error.operation_name}")
    return Found(tuple(missing), tuple(unseen))


def _of_stage(stage: StageConfig, environment: Mapping[str, str]) -> Iterator[str]:
    if stage.emulated and "AWS_ENDPOINT_URL" not in environment:
        yield "stage local is of an emulator: `make run` starts one and deploys there; make deploy takes dev or prod"
    if stage.name == "prod" and "*" in stage.allowed_origins:
        yield (
            "stage prod lets pages of every origin connect: name yours in infra/stage.py, such as "
            'allowed_origins=("https://app.example.com",)'
        )


def _why_nobody(sts: Any) -> str | None:
    """Say why AWS does not take the credentials, if it does not."""
    try:
        sts.get_caller_identity()
    except (NoCredentialsError, PartialCredentialsError):
        return "no AWS credentials: run `aws configure` or `aws sso login`, or set AWS_PROFILE"
    except (SSOError, TokenRetrievalError):
        return "the AWS sign-in has expired: run `aws sso login`"
    except ProfileNotFound:
        return "AWS_PROFILE names a profile that is not in ~/.aws/config"
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _EXPIRED:
            return "the AWS credentials have expired: run `aws sso login`, or get new ones where you had these"
        return f"AWS does not take these credentials ({code}): see what AWS_PROFILE and AWS_ACCESS_KEY_ID say"
    except BotoCoreError as error:
        return f"AWS can't be asked ({type(error).__name__}): see whether this machine reaches it, and AWS_REGION"
    return None


def _bootstrap(ssm: Any, region: str) -> str | None:
    cure = f"run `node_modules/.bin/cdk bootstrap aws://ACCOUNT/{region}` once, by who may make roles"
    try:
        version = int(ssm.get_parameter(Name=_BOOTSTRAP)["Parameter"]["Value"])
    except ssm.exceptions.ParameterNotFound:
        return f"CDK is not bootstrapped in {region}: {cure}"
    if version < _BOOTSTRAP_VERSION:
        return f"CDK's bootstrap in {region} is of version {version}, and {_BOOTSTRAP_VERSION} is needed: {cure}"
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
