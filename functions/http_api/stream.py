"""The app as a server of its own, which can stream: behind AWS Lambda Web Adapter it serves what is held."""

import json
import time

from starlette.types import Receive, Scope, Send

from functions.http_api.app import create_app
from shared import bootstrap
from shared.adapters.meter import invoked
from shared.adapters.telemetry import flush

bootstrap.prewarm("mailbox_reader", "held_streams", "channel_tail")

_app = create_app(bootstrap.services(), calls=False)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve, and write each request's metrics when it ends: no handler of Lambda's does it here."""
    begun_s = time.perf_counter()
    try:
        await _app({**scope, "client": (_source_ip(scope), 0)}, receive, send)
    finally:
        services = bootstrap.services()
        duration_s, memory_mb = time.perf_counter() - begun_s, services.settings.memory_mb
        invoked(services.metrics, None, None, duration_s, memory_mb)
        flush()


def _source_ip(scope: Scope) -> str:
    """Return the client's address: the socket's is the adapter's.

    The adapter puts the event's ``requestContext`` into a header, in place of one that a client may have sent:
    github.com/awslabs/aws-lambda-web-adapter, src/lib.rs.
    """
    context = json.loads(dict(scope["headers"]).get(b"x-amzn-request-context", b"{}"))
    return str(context.get("http", {}).get("sourceIp", ""))
