"""Tells what happens on a transport, as the port demands it: in its order, from the event loop, and once the end."""

import asyncio
from collections.abc import Callable

from tidewire.transports.transport import Handlers


class Teller:
    """Between one transport and its handlers. What a handler raises is the loop's to report; the transport goes on."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._loop = asyncio.get_running_loop()
        self._ended = False
        self._muted = False

    def open(self) -> None:
        """Frames may be sent."""
        self._soon(self._handlers.open)

    def message(self, text: str) -> None:
        """One message has come."""
        self._soon(self._handlers.message, text)

    def close(self) -> None:
        """It has ended. May be said again; nothing that comes later is told."""
        self._soon(self._handlers.close)
        self._ended = True

    def mute(self) -> None:
        """Tell nothing from now on, not even what was on its way."""
        self._muted = True

    def _soon(self, tell: Callable[..., None], *said: str) -> None:
        if not self._ended:
            self._loop.call_soon(self._tell, tell, *said)

    def _tell(self, tell: Callable[..., None], *said: str) -> None:
        if not self._muted:
            tell(*said)
