"""The event queue's consumer: events that ask for a publication, from Tidewire's bus and from rules on others."""

from typing import Any

from shared import bootstrap
from shared.adapters.telemetry import failure, observed
from shared.contract import QUEUE_TRIES

bootstrap.prewarm("event_publishing")


@observed
def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Publish what each event asks for; hand back those that may succeed later.

    At the last try the service buries what fails: the queue would bury it with the channels that took it.
    """
    publishing = bootstrap.services().event_publishing
    failed = []
    for record in event["Records"]:
        tries = int(record["attributes"]["ApproximateReceiveCount"])
        try:
            publishing.take(record["body"], repeat=tries > 1, last=tries >= QUEUE_TRIES)
        except Exception as error:  # one record's failure is not the others'
            failure(error, attempt=tries)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
