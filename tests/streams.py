"""What comes on a stream, as it comes."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx


class Lines:
    """What comes on a stream, line by line."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def sse(self) -> dict[str, str]:
        """Return the next event with data: its fields."""
        fields: dict[str, str] = {}
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if not line and "data" in fields:
                return fields
            if line:  # data of several lines comes as several fields
                fields[name] = f"{fields[name]}\n{value}" if name in fields else value
        raise EOFError(fields)

    async def ndjson(self) -> dict[str, Any]:
        """Return the next line that is not blank."""
        async for line in self._lines:
            if line:
                value: dict[str, Any] = json.loads(line)
                return value
        raise EOFError


@asynccontextmanager
async def streaming(url: str, method: str = "GET", **options: Any) -> AsyncIterator[Lines]:
    """Open a stream."""
    async with httpx.AsyncClient(timeout=20) as client, client.stream(method, url, **options) as response:
        yield Lines(response)
