"""Route ``$connect``: lets a connection in, or not. It can't be sent anything before this has returned."""

from typing import TYPE_CHECKING, Any, Final

from shared import bootstrap
from shared.adapters.telemetry import observed
from shared.domain.address import client_address
from shared.errors import BadFrameError, TidewireError, UnauthenticatedError

if TYPE_CHECKING:
    from shared.services.front_door import FrontDoor

bootstrap.prewarm("sessions", "limits")

# By which Centrifugo's clients say that they speak protobuf: there is JSON alone (docs/centrifugo.md).
_PROTOBUF: Final = "centrifuge-protobuf"


@observed
def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer 200, or refuse the handshake with the error's status."""
    services = bootstrap.services()
    if not _origin_allowed(event, services.settings.allowed_origins):
        return {"statusCode": 403}
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    if _PROTOBUF in headers.get("sec-websocket-protocol", ""):
        return {"statusCode": BadFrameError.http_status}
    ticket = (event.get("queryStringParameters") or {}).get("ticket")
    try:
        address = _address(services.front_door, headers, event)
        services.limits.connect(address, pending=ticket is None)
        if ticket is not None:
            services.limits.check_failures(address)
        try:
            services.sessions.connect(event["requestContext"]["connectionId"], ticket)
        except UnauthenticatedError:
            services.limits.failed(address)
            raise
    except TidewireError as error:
        return {"statusCode": error.http_status}
    return {"statusCode": 200}


def _address(front_door: "FrontDoor | None", headers: dict[str, str], event: dict[str, Any]) -> str:
    # docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-integrations-lambda.html has it among
    # what a proxy is handed: requestContext.identity.sourceIp.
    peer = event["requestContext"].get("identity", {}).get("sourceIp", "")
    return client_address(peer if front_door is None else front_door.address(headers, peer))


def _origin_allowed(event: dict[str, Any], allowed: frozenset[str]) -> bool:
    """Browsers always send their page's origin, and pages can't change it; what is no browser needs none."""
    # Whoever sends several is no browser: each has to be good, whichever of them somebody else would look at.
    headers = event.get("multiValueHeaders") or {name: [value] for name, value in (event.get("headers") or {}).items()}
    origins = [origin for name, values in headers.items() if name.lower() == "origin" for origin in values]
    return "*" in allowed or all(origin in allowed for origin in origins)
