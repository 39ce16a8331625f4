"""Events of channels, from the bus or (what is left of a delivery) from the delivery queue, to their subscribers."""

from typing import Any

from shared import bootstrap
from shared.adapters.eventbridge import broadcast
from shared.adapters.sqs import delivery
from shared.adapters.telemetry import failure, observed

bootstrap.prewarm("fan_out")


@observed
def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any] | None:
    """Deliver. An event that fails is tried again by Lambda's asynchronous invocation, a delivery by its queue."""
    fan_out = bootstrap.services().fan_out
    if "Records" not in event:
        try:
            fan_out.deliver(broadcast(event))
        except Exception as error:  # Lambda tells of it, but not of which publications
            failure(error)
            raise
        return None
    failed = []
    for record in event["Records"]:
        try:
            fan_out.resume(delivery(record))
        except Exception as error:  # one record's failure is not the others'
            failure(error, attempt=record["attributes"]["ApproximateReceiveCount"])
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
