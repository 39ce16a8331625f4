"""The canary: comes as a client does, from outside, and measures whether it is served. Reaches nothing but URLs."""

import asyncio
import logging
import time
import uuid
from typing import Any, Final

from shared import bootstrap
from shared.adapters.telemetry import failure, observed
from tidewire.cli.doctor.peer import HttpPeer, Peer, WebSocketPeer
from tidewire.errors import TidewireError, UnreachableError

bootstrap.prewarm("tokens")

# At DEBUG they write what is sent, the token among it, whatever level the functions' own lines have.
for _library in ("websockets", "httpcore"):
    logging.getLogger(_library).setLevel(logging.INFO)

NAMESPACE: Final = "tidewire-canary"  # as channels.toml has it
_USER: Final = "tidewire-canary"
_TOKEN_TTL_S: Final = 300
_PATIENCE_S: Final = (
    10.0  # for each thing that is waited for; there are four, and a goodbye (infra/constructs/canary.py)
)


@observed
def lambda_handler(_event: dict[str, Any], _context: object) -> None:
    """Come by each way; measure how long a publication took, and whether all is well."""
    services = bootstrap.services()
    capabilities = {f"{NAMESPACE}:*": ["subscribe", "publish"]}
    token = services.tokens.issue(_USER, capabilities, ttl_s=_TOKEN_TTL_S)
    settings = services.settings
    latencies_ms = asyncio.run(
        _come(
            websocket=WebSocketPeer(settings.websocket_url, token, _PATIENCE_S),
            http=HttpPeer(settings.http_url, token, _PATIENCE_S),
        )
    )
    for latency_ms in latencies_ms:
        if latency_ms is not None:
            services.metrics.milliseconds("CanaryLatency", latency_ms)
    services.metrics.count("CanarySuccess", int(None not in latencies_ms))


async def _come(**peers: Peer) -> list[float | None]:
    return await asyncio.gather(*(_served(way, peer) for way, peer in peers.items()))


async def _served(way: str, peer: Peer) -> float | None:
    """Return the milliseconds from publishing until it was pushed back; ``None`` where it was not."""
    channel, message_id, step = f"{NAMESPACE}:{way}", str(uuid.uuid4()), "hello"
    try:
        async with peer:
            step = "subscribe"
            await peer.ask({"type": "subscribe", "channel": channel})
            step, begun_s = "publish", time.perf_counter()
            publication = {"channel": channel, "name": "canary", "data": None, "message_id": message_id}
            await peer.ask({"type": "publish", **publication})
            step = "receive"
            if await peer.pushed(lambda push: push.get("message_id") == message_id) is None:
                raise UnreachableError("nothing was pushed")
            return (time.perf_counter() - begun_s) * 1000
    except Exception as error:  # whatever an answer leads to that makes no sense: that is a fault as well
        failure(error, way=way, step=step, code=error.kind if isinstance(error, TidewireError) else None)
        return None
