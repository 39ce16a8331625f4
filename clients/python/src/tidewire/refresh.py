"""Replaces a token that ends soon on the connection that stands."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tidewire.backoff import backoff_ms
from tidewire.errors import TidewireError
from tidewire.link import Link


class Refresh:
    """One at a time, however often the end of the token is told.

    What fails is tried again as long as there is time; after it the server ends the connection, and who has no good
    token is told by the next one.

    Args:
        token: As of the connection.
        link: The one that is up, if there is one.
    """

    def __init__(
        self,
        *,
        token: Callable[[bool], Awaitable[str]],
        link: Callable[[], Link | None],
        spawn: Callable[[Coroutine[Any, Any, None]], Any],
        report: Callable[[BaseException], None],
        random: Callable[[], float],
    ) -> None:
        self._token, self._link, self._spawn, self._report, self._random = token, link, spawn, report, random
        self._running = False

    def begin(self, left_s: float) -> None:
        """The token ends after so long. Nothing more happens if it is being replaced already."""
        if not self._running:
            self._running = True
            self._spawn(self._run(asyncio.get_running_loop().time() + left_s))

    async def _run(self, until_s: float) -> None:
        refused: str | None = None
        attempt = 0
        try:
            while True:
                token = await self._fresh()
                link = self._link()
                if token is not None and link is not None and token != refused:
                    try:
                        return await link.refresh(token)
                    except TidewireError as error:
                        refused = refused if error.retryable else token
                await asyncio.sleep(backoff_ms(attempt, self._random) / 1000)
                attempt += 1
                if self._link() is None or asyncio.get_running_loop().time() >= until_s:
                    return
        finally:
            self._running = False

    async def _fresh(self) -> str | None:
        try:
            return await self._token(True)
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # or else it is of something that was asked for the token
            if not isinstance(error, TidewireError):
                self._report(error)
            return None
