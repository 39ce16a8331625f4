"""A store that is not open yet: whose it is, the first token says."""

import asyncio
import base64
import json
from pathlib import Path

from tidewire.errors import closed
from tidewire.frames import Frame
from tidewire.outbox_file import OutboxFile
from tidewire.store import Kept


class LateStore:
    """A :class:`~tidewire.store.Store` on a file: what is asked before it is open waits until it is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: OutboxFile | None = None
        self._user_id: str | None = None
        self._opened = asyncio.Event()
        self._opening = asyncio.Lock()
        self._closed = False

    async def open(self, user_id: str) -> None:
        """Open it for this user, if it is not.

        Raises:
            TidewireError: The file can't be had; or it was opened for another user.
        """
        async with self._opening:
            if self._closed:
                raise closed("the client was closed")
            if self._user_id not in (None, user_id):
                raise closed("another user's token")
            if self._file is None:
                self._file = await OutboxFile.open(self._path, user_id)
                self._user_id = user_id
                self._opened.set()

    async def keep(self, request: Frame) -> int:
        """See :class:`~tidewire.store.Store`."""
        return await (await self._when_open()).keep(request)

    async def sent(self, id: int) -> bool:
        """See :class:`~tidewire.store.Store`."""
        return await (await self._when_open()).sent(id)

    def forget(self, id: int) -> None:
        """See :class:`~tidewire.store.Store`."""
        if self._file is not None:
            self._file.forget(id)

    async def left(self) -> list[Kept]:
        """See :class:`~tidewire.store.Store`."""
        return await (await self._when_open()).left()

    async def close(self) -> None:
        """See :class:`~tidewire.store.Store`. What waits for it to be open is refused."""
        self._closed = True
        self._opened.set()
        async with self._opening:
            if self._file is not None:
                await self._file.close()

    async def _when_open(self) -> OutboxFile:
        await self._opened.wait()
        if self._file is None:
            raise closed("the client was closed")
        return self._file


def subject(token: str) -> str | None:
    """Return whom a JWT is about; ``None`` if it is none."""
    try:
        claims = token.split(".")[1]
        user_id = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]
    except (LookupError, TypeError, ValueError, AttributeError):
        return None  # the server tells
    return user_id if isinstance(user_id, str) else None
