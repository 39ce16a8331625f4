"""Route ``$default``: what clients send. The replies are the body; what does not fit one message is posted."""

from typing import Any

from shared import bootstrap
from shared.adapters.telemetry import observed
from shared.errors import ConnectionGoneError
from shared.protocol.centrifugo.commands import speaks_centrifugo
from shared.protocol.centrifugo.replies import encode
from shared.protocol.encode import encode_frames
from shared.protocol.limits import WEBSOCKET_FRAME_MAX_BYTES
from shared.services.caller import MIXED

bootstrap.prewarm("dispatcher", "transport")


@observed
def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Dispatch a frame or a batch. Raises only where API Gateway's own error body shall make the client ask again."""
    services = bootstrap.services()
    context = event["requestContext"]
    connection_id = context["connectionId"]
    body, received_at_ms = event.get("body") or "", context["requestTimeEpoch"]
    theirs = speaks_centrifugo(body)
    if theirs or (theirs is None and services.centrifugo.is_spoken_by(connection_id)):
        messages = encode(services.centrifugo.handle(connection_id, body, received_at_ms=received_at_ms))
    else:
        replies = services.dispatcher.handle(
            connection_id, body, max_bytes=WEBSOCKET_FRAME_MAX_BYTES, received_at_ms=received_at_ms
        )
        messages = encode_frames(replies)
        if replies and replies[-1] is MIXED:  # an answer would come behind the end
            services.transport.push_all([connection_id], messages)
            services.session_end.end_connection(connection_id, None)
            return {"statusCode": 200}
    if not messages:  # every reply comes later; without a body, API Gateway sends nothing
        return {"statusCode": 200}
    first, *rest = messages
    if rest:
        (error,) = services.transport.push_all([connection_id], rest)
        if error and not isinstance(error, ConnectionGoneError):  # else nobody waits for the answers
            raise error
    return {"statusCode": 200, "body": first.decode()}
