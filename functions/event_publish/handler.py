"""The event queue's consumer: events that ask for a publication, from Tidewire's bus and from rules on others."""

from typing import Any

from shared import bootstrap
from shared.adapters.telemetry import failure, observed

bootstrap.prewarm("event_publishing")


@observed
def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Publish what each event asks for; hand back those that may succeed later."""
    publishing = bootstrap.services().event_publishing
    failed = []
    for record in event["Records"]:
        tries = int(record["attributes"]["ApproximateReceiveCount"])
        try:
            publishing.take(record["body"], repeat=tries > 1)
        except Exception as error:  # one record's failure is not the others'
            failure(error, attempt=tries)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
