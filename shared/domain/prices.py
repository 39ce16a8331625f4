"""What AWS takes for what Tidewire uses: list prices of one region, the first tier, without free tiers."""

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
        source: Where the price is published; behind it, where it was read on that day, if that is another page.
    """

    metric: str
    service: str
    what: str
    usd_per_million: float
    source: str


PRICES: Final = (
    Price(
        "DynamoDbReadUnits",
        "DynamoDB",
        "read request units",
        0.125,
        "aws.amazon.com/dynamodb/pricing/on-demand, airbyte.com/data-engineering-resources/dynamodb-pricing",
    ),
    Price(
        "DynamoDbWriteUnits",
        "DynamoDB",
        "write request units",
        0.625,
        "aws.amazon.com/dynamodb/pricing/on-demand, airbyte.com/data-engineering-resources/dynamodb-pricing",
    ),
    Price(
        "SqsRequests",
        "SQS",
        "requests, standard queues",
        0.40,
        "aws.amazon.com/sqs/pricing, cloudburn.io/blog/amazon-sqs-pricing",
    ),
    Price(
        "SqsFifoRequests",
        "SQS",
        "requests, FIFO queues",
        0.50,
        "aws.amazon.com/sqs/pricing, cloudburn.io/blog/amazon-sqs-pricing",
    ),
    Price(
        "EventBridgeEvents",
        "EventBridge",
        "custom events",
        1.00,
        "aws.amazon.com/eventbridge/pricing, cloudburn.io/blog/amazon-eventbridge-pricing",
    ),
    Price(
        "WebSocketMessages",
        "API Gateway",
        "WebSocket messages",
        1.00,
        "aws.amazon.com/api-gateway/pricing, amnic.com/blogs/aws-api-gateway-pricing",
    ),
    Price(
        "WebSocketConnectionMinutes",
        "API Gateway",
        "WebSocket connection minutes",
        0.25,
        "aws.amazon.com/api-gateway/pricing, amnic.com/blogs/aws-api-gateway-pricing",
    ),
    Price(
        "HttpApiRequests",
        "API Gateway",
        "HTTP API requests",
        1.00,
        "aws.amazon.com/api-gateway/pricing, amnic.com/blogs/aws-api-gateway-pricing",
    ),
    Price("LambdaRequests", "Lambda", "requests", 0.20, "aws.amazon.com/lambda/pricing"),
    Price("LambdaGbSeconds", "Lambda", "GB-seconds, arm64", 13.3334, "aws.amazon.com/lambda/pricing"),
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
