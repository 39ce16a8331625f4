"""Two duties: the deadline queue, for connections that must have said who they are; and a sweep every minute."""

import json
from typing import Any, Final

from shared import bootstrap
from shared.adapters.telemetry import failure, observed

bootstrap.prewarm("deadlines", "janitor")

_TIME_TO_END_MS: Final = 15_000  # what one connection may still take


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any] | None:
    """Check each connection whose deadline is up; without records, sweep."""
    if "Records" not in event:
        bootstrap.services().janitor.sweep(lambda: context.get_remaining_time_in_millis() > _TIME_TO_END_MS)
        return None
    failed = []
    for record in event["Records"]:
        try:
            bootstrap.services().deadlines.check(json.loads(record["body"])["connection_id"])
        except Exception as error:  # one record's failure is not the others'
            failure(error)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
