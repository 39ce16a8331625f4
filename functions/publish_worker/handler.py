"""The lanes' consumer: SQS FIFO to log to EventBridge."""

from typing import Any, Final

from shared import bootstrap
from shared.adapters.sqs import lane_record
from shared.adapters.telemetry import observed

bootstrap.prewarm("publish_worker")

# What a segment may take with a store that is slow to answer. A worker that runs out of its 5 s hands nothing back: its
# records wait for the lane's 30 s.
_TIME_TO_END_MS: Final = 2_500


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Store a batch; hand back what failed, and what comes behind it in the same channel."""
    services = bootstrap.services()
    records = [lane_record(record, services.settings.lane_urls) for record in event["Records"]]
    failed = services.publish_worker.work(records, lambda: context.get_remaining_time_in_millis() > _TIME_TO_END_MS)
    return {"batchItemFailures": [{"itemIdentifier": record_id} for record_id in failed]}
