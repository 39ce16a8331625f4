"""What differs between stages. Everything else is the same stack."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs

from shared.domain.issuer import Issuer, check_issuers, issuers_from_json
from shared.domain.principal import why_no_capabilities
from shared.domain.stage_limits import DEFAULT_LIMITS, StageLimits
from shared.errors import ConfigError

Lane = Literal["high", "normal", "low"]

StageName = Literal["local", "dev", "prod"]
# Those that CodeDeploy has: docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html
TrafficSteps = Literal[
    "CodeDeployDefault.LambdaCanary10Percent5Minutes",
    "CodeDeployDefault.LambdaCanary10Percent10Minutes",
    "CodeDeployDefault.LambdaCanary10Percent15Minutes",
    "CodeDeployDefault.LambdaCanary10Percent30Minutes",
    "CodeDeployDefault.LambdaLinear10PercentEvery1Minute",
    "CodeDeployDefault.LambdaLinear10PercentEvery2Minutes",
    "CodeDeployDefault.LambdaLinear10PercentEvery3Minutes",
    "CodeDeployDefault.LambdaLinear10PercentEvery10Minutes",
]
Capabilities = Mapping[str, Sequence[str]]

USER_POOL_PREFIX: Final = "cognito:"  # stands before the ids of the pool's users
_CAPABILITIES_MAX_LENGTH: Final = 200  # of JSON: it stands in an environment, with issuers and much else
_CANARY_MAX_MINUTES: Final = 60  # more seldom, it would tell of a fault hours later

# docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cnames-and-https-requirements.html
_CERTIFICATE: Final = r"arn:aws:acm:us-east-1:\d{12}:certificate/[0-9a-f-]+"
# docs.aws.amazon.com/waf/latest/developerguide/waf-rule-statement-type-rate-based-high-level-settings.html
_LEAST_RATE: Final = 10


@dataclass(frozen=True, slots=True)
class CloudFront:
    """One origin before pages and APIs, with a firewall: docs/one-origin.md.

    Attributes:
        domain: A name of your own; without one it has CloudFront's, where browsers may use TLS 1.0.
        certificate_arn: Of that name, in us-east-1.
        hosted_zone_id: Of Route 53, where the name is made to lead here; without one you do that elsewhere.
        requests_per_address: How many one address may make in five minutes, a WebSocket being one. An office may be
            one address.
        secret_version: Of the secret that CloudFront shows its origins, once it was changed.
    """

    domain: str | None = None
    certificate_arn: str | None = None
    hosted_zone_id: str | None = None
    requests_per_address: int = 6_000
    secret_version: str | None = None

    def mistake(self) -> str | None:
        """Say what does not go together."""
        if (self.domain is None) != (self.certificate_arn is None):
            return "domain and certificate_arn go together"
        if self.hosted_zone_id is not None and self.domain is None:
            return "hosted_zone_id is for a domain, and there is none"
        if self.certificate_arn is not None and not re.fullmatch(_CERTIFICATE, self.certificate_arn):
            return "certificate_arn is to be of ACM in us-east-1: CloudFront takes no other"
        if self.requests_per_address < _LEAST_RATE:
            return f"requests_per_address is at least {_LEAST_RATE}"
        return None


@dataclass(frozen=True, slots=True)
class StageConfig:
    """One stage.

    Attributes:
        name: What ``-c stage=`` takes.
        edge_url: Origin of the local edge, which stands where API Gateway stands; ``None`` on AWS.
        generation: Raise it after a restore: it is part of every epoch on the wire, and of documents' versions.
        lane_concurrency: How many workers may work on a lane at a time (SQS event sources allow 2 to 1,000).
        push_rate_per_s: What the delivery queue's fan-out (large channels, what is tried again) may take of the
            account's 10,000 requests a second, which inbound traffic shares
            (docs.aws.amazon.com/apigateway/latest/developerguide/limits.html). It is no bound on all pushes: each of
            the other processes that push keeps to a rate, and nobody limits how many run (docs/adr/0007).
        push_concurrency: How many fan-out functions work for that queue at a time; each has its part of that rate.
        memory_mb: Of functions that somebody waits for: CPU comes with memory, 1 vCPU at 1,769 MB
            (docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
        reserved_concurrency: Of functions by name (``ws_message``): kept for each of them, and the most that it gets.
            Only where asked: 100 of the account's have to stay unreserved, and a new account may have no more
            (docs.aws.amazon.com/lambda/latest/api/API_PutFunctionConcurrency.html).
        stream_max_age_s: How long a stream is held; its client comes back by itself.
        stream_memory_mb: Of the function that holds streams and polls: it waits, and is paid for by its memory.
        log_retention: Of functions' logs and access logs.
        removal_policy: What becomes of data when its resource leaves the stack; ``RETAIN`` also protects tables and
            users from deletion.
        log_level: Of functions.
        logged_share: Of publications, whose way is logged, 0 to 1; what fails is logged of all
            (docs/observability.md).
        tracing: Whether X-Ray traces functions (docs/observability.md); it is paid for by the trace.
        aws_events: Whether the status of every Step Functions execution of the account is published in
            ``executions:<name>``: an example of AWS events to channels.
        demo: Whether anybody who comes by finds the demo, and may talk in its rooms (``room:*``).
        cloudfront: One origin before pages and APIs. ``prod`` has none until it has a domain: CloudFront's own lets
            browsers use TLS 1.0 (docs/adr/0020-one-origin.md).
        archive: A namespace whose publications go to a queue as well: an example of channels to anything.
        allowed_origins: Of pages that may connect and call: ``scheme://host[:port]`` as browsers write it, or ``*``.
        limits: What clients may do at most (docs/limits.md).
        issuers: OIDC issuers whose tokens are taken beside the stage's own (docs/tokens.md).
        user_pool: Makes a Cognito user pool whose users come in too: what they may unless their token says.
        anonymous: Whoever asks is given a token for an anonymous user: what these may.
        canary: Minutes between the runs of a client that looks from outside whether all is served, and raises an alarm
            (docs/runbooks/canary.md). Stage ``local`` has it, and runs it only when it is invoked.
        traffic_shift: In which steps a new version gets what comes, taken back on an alarm (docs/deploying.md).
        alarm_email: Whom alarms are sent to, once the address has confirmed the mail that SNS sends to it first.
        budget_usd: A month, of the whole account: told of when 80 % of it are spent, and when all of it will be
            (docs/runbooks/budget.md).
        account_requests_per_s: API Gateway's quota for the account in this Region, of which an alarm watches a share;
            10,000, and 2,500 in some (docs.aws.amazon.com/apigateway/latest/developerguide/limits.html).
        account_concurrency: Lambda's, the same; new accounts have less than 1,000
            (docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
    """

    name: StageName
    edge_url: str | None = None
    generation: int = 1
    lane_concurrency: tuple[tuple[Lane, int], ...] = (("high", 20), ("normal", 20), ("low", 5))
    push_rate_per_s: int = 6_000
    push_concurrency: int = 6
    memory_mb: int = 1024
    reserved_concurrency: tuple[tuple[str, int], ...] = ()
    stream_max_age_s: int = 120
    stream_memory_mb: int = 256
    allowed_origins: tuple[str, ...] = ("*",)
    log_retention: logs.RetentionDays = logs.RetentionDays.ONE_WEEK
    removal_policy: RemovalPolicy = RemovalPolicy.DESTROY
    log_level: str = "INFO"
    logged_share: float = 1.0
    tracing: bool = True
    aws_events: bool = False
    demo: bool = False
    archive: str | None = None
    cloudfront: CloudFront | None = None
    limits: StageLimits = DEFAULT_LIMITS
    issuers: tuple[Issuer, ...] = ()
    user_pool: Capabilities | None = None
    anonymous: Capabilities | None = None
    canary: int | None = None
    traffic_shift: TrafficSteps | None = None
    alarm_email: str | None = None
    budget_usd: int | None = None
    account_requests_per_s: int = 10_000
    account_concurrency: int = 1_000

    @property
    def emulated(self) -> bool:
        """Whether it runs on the local emulator."""
        return self.name == "local"


_STAGES: Final[dict[StageName, StageConfig]] = {
    "local": StageConfig(
        "local",
        # Each is a process, and there are few processors.
        lane_concurrency=(("high", 6), ("normal", 6), ("low", 3)),
        limits=StageLimits(
            held_streams=10_000,  # in one process
            address_held_streams=10_000,  # all of this machine
            # Tests are one address, and often one user.
            user_http_rate_per_s=10_000,
            user_http_burst=100_000,
            ticket_rate_per_s=1_000,
            ticket_burst=10_000,
            connect_rate_per_s=10_000,
            connect_burst=100_000,
            address_pending=100_000,
            pending=100_000,
            anonymous_rate_per_s=10_000,
            anonymous_burst=100_000,
            failure_rate_per_s=10_000,
            failure_burst=100_000,
        ),
        tracing=False,  # the emulator has no X-Ray
        aws_events=True,
        demo=True,
        archive="orders",
        anonymous={"room:*": ["subscribe", "publish", "history", "presence"]},
        canary=5,
    ),
    "dev": StageConfig("dev", demo=True),
    "prod": StageConfig(
        "prod",
        lane_concurrency=(("high", 100), ("normal", 100), ("low", 20)),
        log_retention=logs.RetentionDays.ONE_MONTH,
        removal_policy=RemovalPolicy.RETAIN,
        canary=5,
        logged_share=0.01,
    ),
}


# RFC 6454, section 6.2: lower case, no port where it is the scheme's own, no path, not even a slash.
_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::([0-9]{1,5}))?")
_OWN_PORTS: Final = {"http": "80", "https": "443"}


def is_origin(text: str) -> bool:
    """Tell whether a browser may send this as ``Origin``; ``*`` stands for all of them."""
    match = _ORIGIN.fullmatch(text)
    return text == "*" or (match is not None and (match[2] is None or match[2] != _OWN_PORTS.get(match[1])))


def stage_config(name: str | None, *, edge_url: str | None, issuers: str | None = None) -> StageConfig:
    """Return the stage that the CDK context names.

    Args:
        name: The stage's.
        edge_url: Where the local edge is.
        issuers: As JSON, those of stage local, where there are none else.

    Raises:
        SystemExit: There is none, the local one was not told where its edge is, or what a stage says can't work.
    """
    stages = {str(stage): config for stage, config in _STAGES.items()}
    if name not in stages:
        raise SystemExit(f"stage {name!r} is unknown: STAGE=, or cdk's -c stage=, takes {', '.join(stages)}")
    stage = stages[name]
    if stage.emulated and not edge_url:
        raise SystemExit("stage local needs -c edge_url=http://127.0.0.1:PORT (make run passes it)")
    if stage.emulated:
        stage = replace(stage, edge_url=edge_url, issuers=issuers_from_json(issuers) if issuers else stage.issuers)
    check(stage)
    return stage


def check(stage: StageConfig) -> None:
    """Check what a stage says.

    Raises:
        SystemExit: It can't work, or would let in more than was meant.
    """
    try:
        for origin in stage.allowed_origins:
            if not is_origin(origin):
                raise ConfigError(f"allowed_origins: {origin!r}: write scheme://host[:port], as browsers do")
        stage.limits.check()
        for name, count in stage.reserved_concurrency:
            if name not in _functions():
                raise ConfigError(f"reserved_concurrency: there is no function {name!r}")
            if count < 1:
                raise ConfigError(f"reserved_concurrency: {name}: with {count} it would never run")
        if stage.canary is not None and not 1 <= stage.canary <= _CANARY_MAX_MINUTES:
            raise ConfigError(f"canary: 1 to {_CANARY_MAX_MINUTES} minutes, not {stage.canary}")
        if not 0 <= stage.logged_share <= 1:
            raise ConfigError(f"logged_share: {stage.logged_share}: it is a share, 0 to 1")
        if stage.traffic_shift is not None and stage.emulated:
            raise ConfigError("traffic_shift: the emulator has no CodeDeploy")
        if stage.alarm_email is not None and not re.fullmatch(r"[^@\s]+@[^@\s]+", stage.alarm_email):
            raise ConfigError(f"alarm_email: {stage.alarm_email!r} is no address")
        for name in ("budget_usd", "account_requests_per_s", "account_concurrency"):
            if (value := getattr(stage, name)) is not None and value < 1:
                raise ConfigError(f"{name}: {value} is less than 1")
        if stage.cloudfront is not None:
            mistake = "the emulator has none" if stage.emulated else stage.cloudfront.mistake()
            if mistake is not None:
                raise ConfigError(f"cloudfront: {mistake}")
        _check_who_may_come(stage)
    except ConfigError as error:
        raise SystemExit(f"infra/stage.py: stage {stage.name}: {error}") from error


def _functions() -> set[str]:
    """Return what ``reserved_concurrency`` may name: handlers' folders, and the app of one of them once more."""
    handlers = (Path(__file__).resolve().parent.parent / "functions").glob("*/handler.py")
    return {"http_stream", *(handler.parent.name for handler in handlers)}


def _check_who_may_come(stage: StageConfig) -> None:
    prefixes = () if stage.user_pool is None else (USER_POOL_PREFIX,)
    check_issuers(stage.issuers, local=stage.emulated, taken_prefixes=prefixes)
    for name, capabilities in (("user_pool", stage.user_pool), ("anonymous", stage.anonymous)):
        why = None if capabilities is None else why_no_capabilities(capabilities)
        if not why and len(json.dumps(capabilities)) > _CAPABILITIES_MAX_LENGTH:
            why = f"as JSON at most {_CAPABILITIES_MAX_LENGTH} characters"
        if why:
            raise ConfigError(f"{name}: {why}")
    if any("admin" in names for names in (stage.anonymous or {}).values()):
        raise ConfigError("anonymous: whoever comes by would be an admin")
