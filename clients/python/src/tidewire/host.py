"""What channels, and what they have beside their events, use of the client: a port, so that tests can stand in."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from random import random
from typing import Any, Protocol

from tidewire.frames import Frame


class Ask(Protocol):
    """Send a request at once, in the order of the calls; return what its result can be awaited of.

    That raises :class:`~tidewire.errors.TidewireError`: what the server answered, or ``timeout``, retryable, where
    nothing came back or there is no connection. Whoever does not await it loses nothing but the answer.
    """

    def __call__(self, request: Frame, timeout_s: float = ...) -> "asyncio.Future[Any]":
        """Send ``request``, which has no ``id`` yet."""
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """The client, as its parts see it. All runs in one event loop.

    Attributes:
        ask: See :class:`Ask`.
        standing: Returns when something can be asked; raises a ``TidewireError`` when that takes more than 10 s.
        connected: Whether something can be asked now.
        user_id: Who the server says we are; ``None`` before it has.
        server_time_ms: What time it is for the server, in Unix milliseconds.
        report: Is told of errors that belong to nobody: a listener that raised, a subscription lost for good.
        spawn: Runs something beside the rest until it ends or the client is closed; what it raises is reported.
        random: From 0 to 1, for delays.
    """

    ask: Ask
    standing: Callable[[], Awaitable[None]]
    connected: Callable[[], bool]
    user_id: Callable[[], str | None]
    server_time_ms: Callable[[], float]
    report: Callable[[BaseException], None]
    spawn: "Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]"
    random: Callable[[], float] = random
