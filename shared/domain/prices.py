"""What AWS takes for what Tidewire uses: list prices of one region, without free tiers.

``tools/generate.py`` copies the table for ``tidewire cost``, which may import nothing of the server.
"""

from dataclasses import dataclass
from typing import Final

PRICED_ON: Final = "2026-11-26"
REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class Price:
    """What one thing costs.

    Attributes:
        metric: Under which it is counted (docs/metrics.md).
        what: What is counted, for people.
        usd_per_million: Of the first ones of a month.
        source: Where the price is published; behind it, where it was read on that day, if that is another page
            (docs/cost.md).
        beyond: So many a month, and what a million costs from there on.
    """

    metric: str
    service: str
    what: str
    usd_per_million: float
    source: str
    beyond: tuple[tuple[float, float], ...] = ()

    def usd(self, quantity: float) -> float:
        """Return what so many cost in a month."""
        steps = [(0.0, self.usd_per_million), *self.beyond]
        ends = [begin for begin, _ in self.beyond] + [float("inf")]
        parts = ((min(quantity, end) - begin) * usd for (begin, usd), end in zip(steps, ends, strict=True))
        return sum(max(0.0, part) for part in parts) / 1_000_000


_API_GATEWAY: Final = "aws.amazon.com/api-gateway/pricing, AWS Price List of 2026-09-21"
_DYNAMODB: Final = "aws.amazon.com/dynamodb/pricing/on-demand, AWS Price List of 2026-09-11"
_SQS: Final = "aws.amazon.com/sqs/pricing, cloudburn.io/blog/amazon-sqs-pricing"
_LAMBDA: Final = "aws.amazon.com/lambda/pricing, AWS Price List of 2026-09-19"
_CLOUDWATCH: Final = "aws.amazon.com/cloudwatch/pricing, AWS Price List of 2026-09-22"
# What the functions count (shared/adapters/meter.py).
PRICES: Final = (
    Price("DynamoDbReadUnits", "DynamoDB", "read request units", 0.125, _DYNAMODB),
    Price("DynamoDbWriteUnits", "DynamoDB", "write request units", 0.625, _DYNAMODB),
    Price("SqsRequests", "SQS", "requests, standard queues", 0.40, _SQS),
    Price("SqsFifoRequests", "SQS", "requests, FIFO queues", 0.50, _SQS),
    Price(
        "EventBridgeEvents",
        "EventBridge",
        "custom events",
        1.00,
        "aws.amazon.com/eventbridge/pricing, cloudburn.io/blog/amazon-eventbridge-pricing",
    ),
    Price("WebSocketMessages", "API Gateway", "WebSocket messages", 1.00, _API_GATEWAY, ((1e9, 0.80),)),
    Price("WebSocketConnectionMinutes", "API Gateway", "WebSocket connection minutes", 0.25, _API_GATEWAY),
    Price("HttpApiRequests", "API Gateway", "HTTP API requests", 1.00, _API_GATEWAY, ((300e6, 0.90),)),
    Price("LambdaRequests", "Lambda", "requests", 0.20, _LAMBDA),
    # From 7.5 billion on it is less: left out, since where the third step begins was not found.
    Price("LambdaGbSeconds", "Lambda", "GB-seconds, arm64", 13.3334, _LAMBDA),
)
# What nothing of ours counts, and a workload's estimate has (`tidewire cost`). A GB has 2**30 bytes.
PRICES_NOT_COUNTED: Final = (
    Price(
        "DataTransferGb",
        "Data transfer",
        "GB to the internet",
        0.0,
        "aws.amazon.com/ec2/pricing/on-demand, AWS Price List of 2025-10",
        # The first 100 GB are everybody's, for ever: no free tier that ends.
        ((100, 90_000), (10_240, 85_000), (51_200, 70_000), (153_600, 50_000)),
    ),
    Price("LogGb", "CloudWatch", "GB of logs", 500_000, _CLOUDWATCH),
    Price(
        "CustomMetrics",
        "CloudWatch",
        "metrics",
        300_000,
        "aws.amazon.com/cloudwatch/pricing, github.com/nishinoshake/aws-rough/issues/37",
    ),
    Price("Traces", "X-Ray", "traces", 5.00, "aws.amazon.com/xray/pricing, quoted by others"),
    Price("Secrets", "Secrets Manager", "secrets", 400_000, "AWS Price List of 2026-09"),
)
# What is used and not counted.
NOT_COUNTED: Final = (
    "CloudWatch: metrics, logs, and what this console asks of it",
    "data transfer",
    "storage and backups in DynamoDB",
    "DynamoDB: writes that a condition refused, and calls that failed",
    "SQS: Lambda's empty polls",
    "WebSocket: pings, and the minutes of connections that have not ended",
    "Lambda: the start of functions, invocations that were killed, and streams that are still open",
    "Secrets Manager, X-Ray, and whatever else the account uses",
)
NOT_COUNTED_LOCALLY: Final = "requests by HTTP, which the local edge serves itself: neither HTTP API nor Lambda"
