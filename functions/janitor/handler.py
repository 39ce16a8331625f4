"""The deadline queue's consumer: closes connections that did not say in time who they are."""

import json
from typing import Any

from shared import bootstrap
from shared.adapters.telemetry import failure, observed

bootstrap.prewarm("deadlines")


@observed
def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Check each connection whose time is up."""
    failed = []
    for record in event["Records"]:
        try:
            bootstrap.services().deadlines.check(json.loads(record["body"])["connection_id"])
        except Exception as error:  # one record's failure is not the others'
            failure(error)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
