"""What a channel has beside its events: documents, presence. Each rides on the channel's subscription."""

from typing import Protocol

from tidewire.errors import TidewireError
from tidewire.frames import Frame


class ChannelPart(Protocol):
    """Everything is called in the event loop, and must not raise."""

    def subscribing(self) -> Frame:
        """``subscribe`` is about to be sent: return the fields (``presence``, ``state``) to ask with it.

        What is pushed from now on may be newer than its answer.
        """
        ...

    def subscribed(self, result: Frame) -> None:
        """``subscribe`` has been answered."""
        ...

    def push(self, push: Frame) -> None:
        """Something of this channel was pushed."""
        ...

    def check(self) -> None:
        """The machine or the network has woken, or it is time for the heartbeat.

        The loss of a last push shows in nothing else.
        """
        ...

    def disconnected(self) -> None:
        """The connection has gone: nothing can be asked until ``subscribed``."""
        ...

    def closed(self, error: TidewireError) -> None:
        """The channel was left, or the client was closed: what waits is refused. It may be subscribed to again."""
        ...
