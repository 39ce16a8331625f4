"""Route ``$disconnect``: takes a connection out. API Gateway calls it when it can, so nothing depends on it."""

from typing import Any

from shared import bootstrap
from shared.adapters.telemetry import observed

bootstrap.prewarm("sessions")


@observed
def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Remove the connection; its session may come back for 2 minutes."""
    bootstrap.services().sessions.disconnect(event["requestContext"]["connectionId"])
    return {"statusCode": 200}
