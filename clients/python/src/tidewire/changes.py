"""A document's values, for whoever takes them one by one."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Self


class Changes(AsyncIterator[Any]):
    """Values on their way, from the first on that the server has told.

    Attributes:
        begun: The server has told it.
    """

    def __init__(self) -> None:
        self.begun = False
        self._ended = False
        self._values: deque[Any] = deque()
        self._more = asyncio.Event()

    def put(self, value: Any) -> None:
        """The document is so now."""
        if self.begun:
            self._values.append(value)
            self._more.set()

    def end(self) -> None:
        """Nothing comes any more."""
        self._ended = True
        self._more.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while not self._values:
            if self._ended:
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        return self._values.popleft()
