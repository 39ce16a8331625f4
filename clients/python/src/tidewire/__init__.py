"""Client of Tidewire, a real-time backend that you deploy into your own AWS account.

:class:`Tidewire` is one user's client, for asyncio; :class:`Publisher` is a server's, without.
"""

from tidewire.channel import Channel
from tidewire.client import GetToken, StateListener, Tidewire
from tidewire.commands import CommandContext, CommandError, CommandHandler
from tidewire.connection import ConnectionState
from tidewire.document import Document
from tidewire.errors import TidewireError, UnreachableError
from tidewire.events import Events
from tidewire.frames import (
    Event,
    HistoryResult,
    Member,
    Position,
    Priority,
    PublishResult,
    Receipt,
    Sender,
    Status,
)
from tidewire.outbox_file import OutboxFileError
from tidewire.presence import Presence
from tidewire.publisher import Publisher
from tidewire.ways import Way
from tidewire.write import Conflict, WriteResult

__all__ = [
    "Channel",
    "CommandContext",
    "CommandError",
    "CommandHandler",
    "Conflict",
    "ConnectionState",
    "Document",
    "Event",
    "Events",
    "GetToken",
    "HistoryResult",
    "Member",
    "OutboxFileError",
    "Position",
    "Presence",
    "Priority",
    "PublishResult",
    "Publisher",
    "Receipt",
    "Sender",
    "StateListener",
    "Status",
    "Tidewire",
    "TidewireError",
    "UnreachableError",
    "Way",
    "WriteResult",
]
