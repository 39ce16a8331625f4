"""What a link needs of a transport. Each of the five looks the same: text goes out, text comes in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Handlers(Protocol):
    """Who is told what happens. Called in the event loop, never from within a call of the transport's own methods."""

    def open(self) -> None:
        """Frames may be sent from now on, ``hello`` first."""
        ...

    def message(self, text: str) -> None:
        """One message has come: a frame or a batch, still as text."""
        ...

    def close(self) -> None:
        """It has ended; nothing comes after this, and it is called once."""
        ...


class Transport(Protocol):
    """One of them, open or about to be."""

    @property
    def max_bytes(self) -> int | None:
        """The most that it takes, in bytes of UTF-8; what is larger goes by HTTP."""
        ...

    def send(self, text: str) -> None:
        """Send one message, after those before it."""
        ...

    def retire(self) -> None:
        """Its session is another's now: a read would take it back. What was sent is answered still."""
        ...

    def close(self, *, for_good: bool = False) -> None:
        """End it; ``close`` of the handlers is not called any more. ``for_good``: nobody comes back to its session."""
        ...

    async def wait_closed(self) -> None:
        """Return when everything that it held has been let go."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a deployment is: what ``GET /v1/config`` says."""

    websocket_url: str
    http_url: str
    stream_url: str


OpenTransport = Callable[[Endpoints, Handlers], Transport]
"""Starts a transport; it never raises, but calls ``close`` if it can't be had."""
