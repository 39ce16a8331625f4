"""Two duties: a sweep every minute; and the deadline queue, for connections that must have said who they are, whose
token ends, or that have lost their session, and for commands that a peer must have answered.
"""

from collections.abc import Mapping
from typing import Any, Final

from shared import bootstrap
from shared.adapters.sqs import message
from shared.adapters.telemetry import failure, observed

bootstrap.prewarm("deadlines", "janitor")

_TIME_TO_END_MS: Final = 15_000  # what one connection may still take


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any] | None:
    """Check each connection and command whose deadline is up; without records, sweep."""
    if "Records" not in event:
        bootstrap.services().janitor.sweep(lambda: context.get_remaining_time_in_millis() > _TIME_TO_END_MS)
        return None
    failed = []
    for record in event["Records"]:
        try:
            _check(message(record))
        except Exception as error:  # one record's failure is not the others'
            failure(error)
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def _check(due: Mapping[str, Any]) -> None:
    if "command_id" in due:
        bootstrap.services().peer_answers.expire(due["command_id"])
    elif "arrived_connection_id" in due:
        bootstrap.services().deadlines.arrived(due["arrived_connection_id"])
    elif "superseded_connection_id" in due:
        bootstrap.services().deadlines.superseded(due["superseded_connection_id"])
    else:
        bootstrap.services().deadlines.check(due["connection_id"], due.get("token_expires_at_s"))
