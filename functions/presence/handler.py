"""The look queue's consumer: tells channels' subscribers who is there."""

from typing import Any

from shared import bootstrap
from shared.adapters.sqs import look
from shared.adapters.telemetry import failure, observed
from shared.domain.presence import Look

bootstrap.prewarm("presence_watch")


@observed
def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """See to all looks together, so that each channel is read once; those of a channel that failed go back."""
    looks: dict[str, Look] = {}
    failed = []
    for record in event["Records"]:
        try:
            looks[record["messageId"]] = look(record)
        except Exception as error:  # one record's failure is not the others'
            failure(error)
            failed.append(record["messageId"])
    channels = bootstrap.services().presence_watch.see_to(list(looks.values()))
    failed += [message_id for message_id, one in looks.items() if one.channel in channels]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}
