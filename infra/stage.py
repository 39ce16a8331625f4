"""What differs between stages. Everything else is the same stack."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs

from shared.domain.issuer import Issuer, check_issuers, issuers_from_json
from shared.domain.principal import why_no_capabilities
from shared.errors import ConfigError

Lane = Literal["high", "normal", "low"]

StageName = Literal["local", "dev", "prod"]
Capabilities = Mapping[str, Sequence[str]]

USER_POOL_PREFIX: Final = "cognito:"  # stands before the ids of the pool's users
_CAPABILITIES_MAX_LENGTH: Final = 200  # of JSON: it stands in an environment, with issuers and much else


@dataclass(frozen=True, slots=True)
class StageConfig:
    """One stage.

    Attributes:
        edge_url: Origin of the local edge, which stands where API Gateway stands; ``None`` on AWS.
        generation: Raise it after a restore: it is part of every epoch on the wire.
        lane_concurrency: How many workers may work on a lane at a time (SQS event sources allow 2 to 1,000).
        push_rate_per_s: What the delivery queue's fan-out (large channels, what is tried again) may take of the
            account's 10,000 requests a second, which inbound traffic shares
            (docs.aws.amazon.com/apigateway/latest/developerguide/limits.html). It is no bound on all pushes: each of
            the other processes that push keeps to a rate, and nobody limits how many run (docs/adr/0007).
        push_concurrency: How many fan-out functions work for that queue at a time; each has its part of that rate.
        memory_mb: Of functions that somebody waits for: CPU comes with memory, 1 vCPU at 1,769 MB
            (docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
        stream_max_age_s: How long a stream is held; its client comes back by itself.
        held_streams: How many streams are held at a time, each by an environment of its own; whoever comes then polls.
        stream_memory_mb: Of the function that holds streams and polls: it waits, and is paid for by its memory.
        aws_events: Whether the status of every Step Functions execution of the account is published in
            ``executions:<name>``: an example of AWS events to channels.
        demo: Whether anybody who comes by finds the demo, and may talk in its rooms (``room:*``).
        archive: A namespace whose publications go to a queue as well: an example of channels to anything.
        issuers: OIDC issuers whose tokens are taken beside the stage's own (docs/tokens.md).
        user_pool: Makes a Cognito user pool whose users come in too: what they may unless their token says.
        anonymous: Whoever asks is given a token for an anonymous user: what these may.
    """

    name: StageName
    edge_url: str | None = None
    generation: int = 1
    lane_concurrency: tuple[tuple[Lane, int], ...] = (("high", 20), ("normal", 20), ("low", 5))
    push_rate_per_s: int = 6_000
    push_concurrency: int = 6
    memory_mb: int = 1024
    stream_max_age_s: int = 120
    held_streams: int = 100
    stream_memory_mb: int = 256
    allowed_origins: tuple[str, ...] = ("*",)
    log_retention: logs.RetentionDays = logs.RetentionDays.ONE_WEEK
    removal_policy: RemovalPolicy = RemovalPolicy.DESTROY
    log_level: str = "INFO"
    aws_events: bool = False
    demo: bool = False
    archive: str | None = None
    issuers: tuple[Issuer, ...] = ()
    user_pool: Capabilities | None = None
    anonymous: Capabilities | None = None

    @property
    def emulated(self) -> bool:
        """Whether it runs on the local emulator."""
        return self.name == "local"


_STAGES: Final[dict[StageName, StageConfig]] = {
    "local": StageConfig(
        "local",
        # Each is a process, and there are few processors.
        lane_concurrency=(("high", 6), ("normal", 6), ("low", 3)),
        held_streams=10_000,  # in one process
        aws_events=True,
        demo=True,
        archive="orders",
        anonymous={"room:*": ["subscribe", "publish", "history", "presence"]},
    ),
    "dev": StageConfig("dev", demo=True),
    "prod": StageConfig(
        "prod",
        lane_concurrency=(("high", 100), ("normal", 100), ("low", 20)),
        log_retention=logs.RetentionDays.ONE_MONTH,
        removal_policy=RemovalPolicy.RETAIN,
    ),
}


def stage_config(name: str | None, *, edge_url: str | None, issuers: str | None = None) -> StageConfig:
    """Return the stage that the CDK context names.

    Args:
        name: The stage's.
        edge_url: Where the local edge is.
        issuers: As JSON, those of stage local, where there are none else.

    Raises:
        SystemExit: There is no such stage, the local one was not told where its edge is, or what a stage says of who
            may come can't work.
    """
    stages = {str(stage): config for stage, config in _STAGES.items()}
    if name not in stages:
        raise SystemExit(f"stage {name!r} is unknown; -c stage= takes {', '.join(stages)}")
    stage = stages[name]
    if stage.emulated and not edge_url:
        raise SystemExit("stage local needs -c edge_url=http://127.0.0.1:PORT (make run passes it)")
    if stage.emulated:
        stage = replace(stage, edge_url=edge_url, issuers=issuers_from_json(issuers) if issuers else stage.issuers)
    check_who_may_come(stage)
    return stage


def check_who_may_come(stage: StageConfig) -> None:
    """Check what a stage says of issuers and of users.

    Raises:
        SystemExit: It can't work, or would let in more than was meant.
    """
    try:
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
    except ConfigError as error:
        raise SystemExit(f"infra/stage.py: stage {stage.name}: {error}") from error
