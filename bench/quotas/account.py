"""An account's quotas, and what connections take of them: by the ledger's counts, and the server's own settings."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from bench.ledger.document import PATH
from shared.domain.connection import CONNECTION_MAX_AGE_S, HEARTBEAT_S

READ_ON: Final = "2026-11-27"
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
# Ask for so much that what is needed is no more than this part of it.
_ROOM: Final = 0.6

# Default quotas, of an account in us-east-1. Sources stand with each in QUOTAS.
REQUESTS_PER_S: Final = 10_000
CONNECTS_PER_S: Final = 500
LAMBDA_CONCURRENCY: Final = 1_000
TABLE_UNITS_PER_S: Final = 40_000
FIFO_CALLS_PER_S: Final = 70_000
PUT_EVENTS_PER_S: Final = 10_000
EVENT_INVOCATIONS_PER_S: Final = 18_750
CLOUDFRONT_REQUESTS_PER_S: Final = 250_000

# The workload: a chat. Nobody's but an assumption, as is how long a warm invocation takes on AWS.
PUBLISHES_PER_MINUTE: Final = 0.1  # of a connection
ROOM: Final = 20  # subscribers of a channel
SUBSCRIPTIONS: Final = 3
INVOCATION_S: Final = 0.05
RETURN_S: Final = 600  # after an outage, or a deployment that closes all, clients come back within so long


@cache
def _steps() -> dict[str, dict[str, dict[str, float]]]:
    steps: dict[str, dict[str, dict[str, float]]] = json.loads(PATH.read_text())["steps"]
    return steps


@dataclass(frozen=True, slots=True)
class Load:
    """What so many connections do, a second."""

    connections: int

    @property
    def happenings(self) -> dict[str, float]:
        """How often each step of the ledger happens; each publication goes alone."""
        publishes = self.connections * PUBLISHES_PER_MINUTE / 60
        comes = self.connections / CONNECTION_MAX_AGE_S
        return {
            "connect": comes,
            "subscribe": comes * (SUBSCRIPTIONS - 1),
            "disconnect": comes,
            "sync": self.connections / HEARTBEAT_S,
            "publish_request": publishes,
            "batch": publishes,
            "delivery": publishes * ROOM,
        }

    @property
    def returning_per_s(self) -> float:
        """Connections, when all of them come back."""
        return self.connections / RETURN_S

    def units(self, metric: str) -> float:
        """Return what is billed by a metric of docs/metrics.md."""
        return sum(times * _steps()[step]["units"].get(metric, 0) for step, times in self.happenings.items())

    def invocations(self, *functions: str) -> float:
        """Return how often these functions are invoked; all, if none is named."""
        return sum(
            times * count
            for step, times in self.happenings.items()
            for name, count in _steps()[step]["functions"].items()
            if not functions or name in functions
        )

    @property
    def requests(self) -> float:
        """Of API Gateway: handshakes, frames, and pushes."""
        return self.invocations("ws_connect", "ws_message") + self.happenings["delivery"]


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota, and what a load takes of it.

    Attributes:
        source: The page that says so.
    """

    name: str
    limit: int
    source: str
    takes: Callable[[Load], float]

    def share(self, load: Load) -> float:
        """Return which part of it the load takes."""
        return self.takes(load) / self.limit

    def ask(self, load: Load) -> int | None:
        """Return what to ask AWS for, with room; ``None`` if the default has it."""
        needed = self.takes(load) / _ROOM
        return None if needed <= self.limit else math.ceil(needed / 100) * 100


_GATEWAY: Final = "docs.aws.amazon.com/apigateway/latest/developerguide"
_DYNAMODB: Final = "docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html"
_SQS: Final = "docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"
_EVENTBRIDGE: Final = "docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html"

QUOTAS: Final = (
    Quota(
        "API Gateway: requests/s, all APIs and `@connections`",
        REQUESTS_PER_S,
        f"{_GATEWAY}/limits.html",
        lambda load: load.requests,
    ),
    Quota(
        "API Gateway: new connections/s, all come back",
        CONNECTS_PER_S,
        f"{_GATEWAY}/apigateway-execution-service-websocket-limits-table.html",
        lambda load: load.returning_per_s,
    ),
    Quota(
        "Lambda: functions at a time",
        LAMBDA_CONCURRENCY,
        "docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html",
        lambda load: load.invocations() * INVOCATION_S,
    ),
    Quota(
        "DynamoDB: write units/s of a table",
        TABLE_UNITS_PER_S,
        _DYNAMODB,
        lambda load: load.units("DynamoDbWriteUnits"),
    ),
    Quota(
        "DynamoDB: read units/s of a table",
        TABLE_UNITS_PER_S,
        _DYNAMODB,
        lambda load: load.units("DynamoDbReadUnits"),
    ),
    Quota("SQS: calls/s of a FIFO queue", FIFO_CALLS_PER_S, _SQS, lambda load: load.units("SqsFifoRequests")),
    Quota("EventBridge: PutEvents/s", PUT_EVENTS_PER_S, _EVENTBRIDGE, lambda load: load.units("EventBridgeEvents")),
    Quota(
        "EventBridge: invocations/s",
        EVENT_INVOCATIONS_PER_S,
        _EVENTBRIDGE,
        lambda load: load.units("EventBridgeEvents"),
    ),
    Quota(
        "CloudFront: requests/s of a distribution",
        CLOUDFRONT_REQUESTS_PER_S,
        "docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html",
        lambda load: load.returning_per_s,
    ),
)


def first(load: Load) -> Quota:
    """Return the quota that binds first."""
    return max(QUOTAS, key=lambda quota: quota.share(load))
