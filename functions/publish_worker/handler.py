"""The lanes' consumer: SQS FIFO to log to EventBridge."""

from typing import Any

from shared import bootstrap
from shared.adapters.sqs import lane_record
from shared.adapters.telemetry import observed

bootstrap.prewarm("publish_worker")


@observed
def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Store a batch; hand back what failed, and what comes behind it in the same channel."""
    services = bootstrap.services()
    records = [lane_record(record, services.settings.lane_urls) for record in event["Records"]]
    failed = services.publish_worker.work(records)
    return {"batchItemFailures": [{"itemIdentifier": record_id} for record_id in failed]}
