"""Who is told what happens on a transport: notes it, and can be waited for."""

import asyncio
import json
from typing import Any


class Recorder:
    """Notes what it is told, in its order: ``"open"``, each frame, ``"close"``."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.messages = 0
        self._more = asyncio.Event()

    def open(self) -> None:
        self._note("open")

    def message(self, text: str) -> None:
        self.messages += 1
        try:
            said = json.loads(text)
        except ValueError:
            said = text
        self._note(*(said if isinstance(said, list) else [said]))

    def close(self) -> None:
        self._note("close")

    @property
    def frames(self) -> list[Any]:
        return [what for what in self.told if what not in ("open", "close")]

    @property
    def closes(self) -> int:
        return self.told.count("close")

    async def until(self, count: int) -> list[Any]:
        """Return what it was told when that is so many things."""
        async with asyncio.timeout(10):
            while len(self.told) < count:
                self._more.clear()
                await self._more.wait()
        return self.told

    def _note(self, *what: Any) -> None:
        self.told += what
        self._more.set()
