"""Route ``$connect``: lets a connection in, or not. It can't be sent anything before this has returned."""

from typing import Any

from shared import bootstrap
from shared.adapters.telemetry import observed
from shared.errors import TidewireError

bootstrap.prewarm("sessions")


@observed
def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer 200, or refuse the handshake with the error's status."""
    services = bootstrap.services()
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    if not _origin_allowed(headers, services.settings.allowed_origins):
        return {"statusCode": 403}
    ticket = (event.get("queryStringParameters") or {}).get("ticket")
    try:
        if services.front_door is not None:
            services.front_door.address(headers, event["requestContext"]["identity"]["sourceIp"])
        services.sessions.connect(event["requestContext"]["connectionId"], ticket)
    except TidewireError as error:
        return {"statusCode": error.http_status}
    return {"statusCode": 200}


def _origin_allowed(headers: dict[str, str], allowed: frozenset[str]) -> bool:
    """Browsers always send their page's origin, and pages can't change it; what is no browser needs none."""
    origin = headers.get("origin")
    return origin is None or "*" in allowed or origin in allowed
