"""Count what is held open: each takes a whole function for as long as that (docs/transports.md)."""

import secrets
from typing import Final

import anyio
from fastapi.concurrency import run_in_threadpool

from shared.adapters.telemetry import failure
from shared.bootstrap import Services
from shared.errors import TidewireError

_MARGIN_S: Final = 30


async def hold(services: Services, user_id: str, *, at_most_s: float) -> str | None:
    """Count one more of the user's; return its id for :func:`release`, or ``None`` where no more can be held."""
    held, now_s = secrets.token_urlsafe(9), services.now_ms() // 1000
    counted = await run_in_threadpool(
        services.held_streams.hold,
        user_id,
        held,
        user_at_most=services.settings.limits.user_held_streams,
        at_most=services.settings.limits.held_streams,
        now_s=now_s,
        expires_at_s=now_s + int(at_most_s) + _MARGIN_S,
    )
    return held if counted else None


async def release(services: Services, held: str) -> None:
    """Count it no more, also when its client has gone and everything is being cancelled."""
    with anyio.CancelScope(shield=True):
        try:
            await run_in_threadpool(services.held_streams.release, held)
        except TidewireError as error:
            failure(error)  # it ends by itself
