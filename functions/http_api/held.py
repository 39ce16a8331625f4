"""Count what is held open: each takes a whole function for as long as that (docs/transports.md)."""

import secrets
from typing import Final

import anyio
from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from functions.http_api.address import address_of
from shared.adapters.telemetry import failure
from shared.bootstrap import Services
from shared.domain.held_stream import HeldStream
from shared.errors import TidewireError

_MARGIN_S: Final = 30


async def hold(services: Services, request: Request, user_id: str, *, at_most_s: float) -> str | None:
    """Count one more of the user's; return its id for :func:`release`, or ``None`` where no more can be held."""
    now_s, limits = services.now_ms() // 1000, services.settings.limits
    expires_at_s = now_s + int(at_most_s) + _MARGIN_S
    stream = HeldStream(secrets.token_urlsafe(9), user_id, address_of(request), expires_at_s)
    counted = await run_in_threadpool(
        services.held_streams.hold,
        stream,
        user_at_most=limits.user_held_streams,
        address_at_most=limits.address_held_streams,
        at_most=limits.held_streams,
        now_s=now_s,
    )
    return stream.reader if counted else None


async def release(services: Services, held: str) -> None:
    """Count it no more, also when its client has gone and everything is being cancelled."""
    with anyio.CancelScope(shield=True):
        try:
            await run_in_threadpool(services.held_streams.release, held)
        except TidewireError as error:
            failure(error)  # it ends by itself
