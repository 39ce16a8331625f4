"""The app as a server of its own, which can stream: behind AWS Lambda Web Adapter it serves ``/v1/stream``."""

from starlette.types import Receive, Scope, Send

from functions.http_api.app import create_app
from shared import bootstrap
from shared.adapters.telemetry import flush

bootstrap.prewarm("mailbox_reader", "held_streams", "channel_tail")

_app = create_app(bootstrap.services(), calls=False)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve, and write each request's metrics when it ends: no handler of Lambda's does it here."""
    try:
        await _app(scope, receive, send)
    finally:
        flush()
