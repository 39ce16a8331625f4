"""What terminals and consoles say while somebody reads a page, line by line."""

import asyncio
import re
from typing import Final

ERROR: Final = "page error:"  # begins a line of a script that has failed
_DEADLINE_S: Final = 60  # of a function that starts from cold, on a busy machine


class Said:
    """What was said; who waits is told of each line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = asyncio.Event()

    def add(self, text: str) -> None:
        """Note lines; in the loop that waits for them."""
        self.lines += [re.sub(r"\s+", " ", line).strip() for line in text.splitlines()]
        self._news.set()

    async def wait_for(self, wanted: str) -> None:
        """Return when a line has been said, spaces aside; ``…`` in it stands for anything.

        Raises:
            AssertionError: It does not come, or a script has failed.
        """
        parts = re.sub(r"\s+", " ", wanted).strip().split("…")
        pattern = re.compile(".*".join(map(re.escape, parts)))
        try:
            async with asyncio.timeout(_DEADLINE_S):
                while not any(pattern.fullmatch(line) for line in self.lines):
                    assert not any(line.startswith(ERROR) for line in self.lines), "\n".join(self.lines[-40:])
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"nothing says {wanted!r}; said was:\n" + "\n".join(self.lines[-40:])) from None
