"""What a function is told by its environment, read once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared import contract
from shared.domain.issuer import Issuer, issuers_from_json
from shared.domain.stage_limits import StageLimits
from shared.ports import Lane


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment of one function; what it was not given is empty, and only used by functions that were.

    Attributes:
        generation: Raised after a restore; part of every epoch on the wire, and of documents' versions.
        lane_urls: Queue URL per lane; ``dead_letter_urls`` of what failed there.
        connections_endpoint: Base URL in front of ``/@connections``.
        front_secret_arn: What CloudFront shows; empty where the stage has none.
        allowed_origins: Browsers' origins that may connect; ``*`` for all.
        memory_mb: What the function has; 0 where it is none.
        logged_share: Of publications, whose way is logged.
        limits: What clients may do at most.
        issuers: Whose tokens are taken beside the stage's own.
        anonymous: What anonymous users may; ``None`` where there are none.
    """

    stage: str
    generation: int
    connections_table: str
    streams_table: str
    state_table: str
    presence_table: str
    limits_table: str
    lane_urls: Mapping[Lane, str]
    dead_letter_urls: Mapping[Lane, str]
    delivery_queue_url: str
    deadline_queue_url: str
    look_queue_url: str
    event_queue_url: str
    event_dead_letters_url: str
    event_bus_name: str
    push_rate_per_s: float
    connections_endpoint: str
    token_secret_arn: str
    front_secret_arn: str
    allowed_origins: frozenset[str]
    websocket_url: str
    http_url: str
    stream_url: str
    stream_max_age_s: int
    demo: bool
    memory_mb: int
    logged_share: float
    limits: StageLimits
    issuers: tuple[Issuer, ...]
    anonymous: Mapping[str, Sequence[str]] | None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Read the variables that shared/contract.py names."""
        lanes: tuple[Lane, ...] = ("high", "normal", "low")
        return cls(
            stage=env.get(contract.ENV_STAGE, ""),
            generation=int(env.get(contract.ENV_GENERATION, "1")),
            connections_table=env.get(contract.ENV_CONNECTIONS_TABLE, ""),
            streams_table=env.get(contract.ENV_STREAMS_TABLE, ""),
            state_table=env.get(contract.ENV_STATE_TABLE, ""),
            presence_table=env.get(contract.ENV_PRESENCE_TABLE, ""),
            limits_table=env.get(contract.ENV_LIMITS_TABLE, ""),
            lane_urls={lane: env.get(contract.ENV_LANE_URLS[lane], "") for lane in lanes},
            dead_letter_urls={lane: env.get(contract.ENV_DEAD_LETTER_URLS[lane], "") for lane in lanes},
            delivery_queue_url=env.get(contract.ENV_DELIVERY_QUEUE_URL, ""),
            deadline_queue_url=env.get(contract.ENV_DEADLINE_QUEUE_URL, ""),
            look_queue_url=env.get(contract.ENV_LOOK_QUEUE_URL, ""),
            event_queue_url=env.get(contract.ENV_EVENT_QUEUE_URL, ""),
            event_dead_letters_url=env.get(contract.ENV_EVENT_DEAD_LETTERS_URL, ""),
            event_bus_name=env.get(contract.ENV_EVENT_BUS_NAME, ""),
            push_rate_per_s=float(env.get(contract.ENV_PUSH_RATE_PER_S, "1000")),
            connections_endpoint=env.get(contract.ENV_CONNECTIONS_ENDPOINT, ""),
            token_secret_arn=env.get(contract.ENV_TOKEN_SECRET_ARN, ""),
            front_secret_arn=env.get(contract.ENV_FRONT_SECRET_ARN, ""),
            allowed_origins=frozenset(filter(None, env.get(contract.ENV_ALLOWED_ORIGINS, "").split(","))),
            websocket_url=env.get(contract.ENV_WEBSOCKET_URL, ""),
            http_url=env.get(contract.ENV_HTTP_URL, ""),
            stream_url=env.get(contract.ENV_STREAM_URL, ""),
            stream_max_age_s=int(env.get(contract.ENV_STREAM_MAX_AGE_S, "120")),
            demo=env.get(contract.ENV_DEMO) == "1",
            memory_mb=int(env.get(contract.ENV_MEMORY_MB, "0")),
            logged_share=float(env.get(contract.ENV_LOGGED_SHARE, "0")),
            limits=StageLimits.from_json(env.get(contract.ENV_LIMITS, "{}")),
            issuers=issuers_from_json(env.get(contract.ENV_ISSUERS, "[]")),
            anonymous=json.loads(env.get(contract.ENV_ANONYMOUS, "null")),
        )
