"""Route ``$default``: what clients send. The replies are the body; what does not fit one message is posted."""

from typing import Any

from shared import bootstrap
from shared.adapters.telemetry import observed
from shared.errors import ConnectionGoneError
from shared.protocol.centrifugo.commands import speaks_centrifugo
from shared.protocol.centrifugo.replies import encode
from shared.protocol.encode import encode_frames
from shared.protocol.limits import WEBSOCKET_FRAME_MAX_BYTES

bootstrap.prewarm("dispatcher", "transport")


@observed
def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Dispatch a frame or a batch. Raises only where API Gateway's own error body shall make the client ask again."""
    services = bootstrap.services()
    context = event["requestContext"]
    connection_id = context["connectionId"]
    body, received_at_ms = event.get("body") or "", context["requestTimeEpoch"]
    if speaks_centrifugo(body):
        messages = encode(services.centrifugo.handle(connection_id, body, received_at_ms=received_at_ms))
    else:
        messages = encode_frames(
            services.dispatcher.handle(
                connection_id, body, max_bytes=WEBSOCKET_FRAME_MAX_BYTES, received_at_ms=received_at_ms
            )
        )
    if not messages:  # every reply comes later; without a body, API Gateway sends nothing
        return {"statusCode": 200}
    first, *rest = messages
    if rest:
        (error,) = services.transport.push_all([connection_id], rest)
        if error and not isinstance(error, ConnectionGoneError):  # else nobody waits for the answers
            raise error
    return {"statusCode": 200, "body": first.decode()}
