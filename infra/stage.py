"""What differs between stages. Everything else is the same stack."""

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs

from shared.domain.stage_limits import DEFAULT_LIMITS, StageLimits
from shared.errors import ConfigError

Lane = Literal["high", "normal", "low"]

StageName = Literal["local", "dev", "prod"]


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
        stream_memory_mb: Of the function that holds streams and polls: it waits, and is paid for by its memory.
        aws_events: Whether the status of every Step Functions execution of the account is published in
            ``executions:<name>``: an example of AWS events to channels.
        demo: Whether anybody who comes by finds the demo, and may talk in its rooms (``room:*``).
        archive: A namespace whose publications go to a queue as well: an example of channels to anything.
        allowed_origins: Of pages that may connect and call: ``scheme://host[:port]`` as browsers write it, or ``*``.
        limits: What clients may do at most (docs/limits.md).
    """

    name: StageName
    edge_url: str | None = None
    generation: int = 1
    lane_concurrency: tuple[tuple[Lane, int], ...] = (("high", 20), ("normal", 20), ("low", 5))
    push_rate_per_s: int = 6_000
    push_concurrency: int = 6
    memory_mb: int = 1024
    stream_max_age_s: int = 120
    stream_memory_mb: int = 256
    allowed_origins: tuple[str, ...] = ("*",)
    log_retention: logs.RetentionDays = logs.RetentionDays.ONE_WEEK
    removal_policy: RemovalPolicy = RemovalPolicy.DESTROY
    log_level: str = "INFO"
    aws_events: bool = False
    demo: bool = False
    archive: str | None = None
    limits: StageLimits = DEFAULT_LIMITS

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
        aws_events=True,
        demo=True,
        archive="orders",
    ),
    "dev": StageConfig("dev", demo=True),
    "prod": StageConfig(
        "prod",
        lane_concurrency=(("high", 100), ("normal", 100), ("low", 20)),
        log_retention=logs.RetentionDays.ONE_MONTH,
        removal_policy=RemovalPolicy.RETAIN,
    ),
}


# RFC 6454, section 6.2: lower case, no port where it is the scheme's own, no path, not even a slash.
_ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::([0-9]{1,5}))?")
_OWN_PORTS: Final = {"http": "80", "https": "443"}


def is_origin(text: str) -> bool:
    """Tell whether a browser may send this as ``Origin``; ``*`` stands for all of them."""
    match = _ORIGIN.fullmatch(text)
    return text == "*" or (match is not None and (match[2] is None or match[2] != _OWN_PORTS.get(match[1])))


def stage_config(name: str | None, *, edge_url: str | None) -> StageConfig:
    """Return the stage that the CDK context names.

    Raises:
        SystemExit: There is no such stage, it has something wrong, or the local one was not told where its edge is.
    """
    stages = {str(stage): config for stage, config in _STAGES.items()}
    if name not in stages:
        raise SystemExit(f"stage {name!r} is unknown; -c stage= takes {', '.join(stages)}")
    if stages[name].emulated and not edge_url:
        raise SystemExit("stage local needs -c edge_url=http://127.0.0.1:PORT (make run passes it)")
    for origin in stages[name].allowed_origins:
        if not is_origin(origin):
            raise SystemExit(f"stage {name}: allowed_origins: {origin!r}: write scheme://host[:port], as browsers do")
    try:
        stages[name].limits.check()
    except ConfigError as error:
        raise SystemExit(f"stage {name}: {error}") from error
    return replace(stages[name], edge_url=edge_url if stages[name].emulated else None)
