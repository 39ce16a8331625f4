"""A document's values, for whoever takes them one by one."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Self

from tidewire.errors import TidewireError


class Changes(AsyncIterator[Any]):
    """Values on their way, from the first on that the server has told.

    Attributes:
        begun: The server has told it.
    """

    def __init__(self) -> None:
        self.begun = False
        self._end: TidewireError | None = None
        self._values: deque[Any] = deque()
        self._more = asyncio.Event()

    def put(self, value: Any) -> None:
        """The document is so now."""
        if self.begun:
            self._values.append(value)
            self._more.set()

    def end(self, error: TidewireError) -> None:
        """Nothing comes any more."""
        self._end = self._end or error
        self._more.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while not self._values:
            if self._end is not None:
                if self._end.kind == "closed":
                    raise StopAsyncIteration
                raise self._end
            self._more.clear()
            await self._more.wait()
        return self._values.popleft()
