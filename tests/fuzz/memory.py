"""How much memory edge, emulator and a function have, over the time of a run."""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final

_EVERY_S: Final = 2.0


@dataclass(slots=True)
class Memory:
    """Samples: seconds since the start, and resident megabytes by process."""

    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, at_s: float, sizes_mb: Mapping[str, float]) -> None:
        """Note one look."""
        for name, size_mb in sizes_mb.items():
            self.samples.setdefault(name, []).append((at_s, size_mb))

    def peak_mb(self, name: str) -> float:
        """Return the most that there was."""
        return max((size for _, size in self.samples.get(name, [])), default=0.0)

    def growth_mb(self, name: str) -> float:
        """Return how much was added in the second half, by a straight line through its samples.

        In the first half caches fill, functions start, and Python finds out how much it needs at a time.
        """
        samples = self.samples.get(name, [])
        late = [(at, size) for at, size in samples if at >= samples[-1][0] / 2] if samples else []
        return slope(late) * (late[-1][0] - late[0][0]) if len(late) > 1 else 0.0


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the rise of the line that lies nearest to the points."""
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


class MemoryWatch:
    """Looks every other second, in a thread of its own, from ``with`` to its end."""

    def __init__(self, pids: Callable[[], Mapping[str, Sequence[int]]]) -> None:
        """Make one; ``pids`` tells which processes there are now, by name. Of those with the same, the mean is taken:
        functions come and go with their work.
        """
        self.memory = Memory()
        self._pids = pids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        begun_s = time.monotonic()
        while not self._stop.wait(_EVERY_S):
            sizes = resident_mb()
            self.memory.add(
                time.monotonic() - begun_s,
                {name: fmean(sizes.get(pid, 0.0) for pid in pids) for name, pids in self._pids().items() if pids},
            )


def resident_mb() -> dict[int, float]:
    """Return the resident size of every process."""
    listing = subprocess.run(["ps", "-A", "-o", "pid=,rss="], capture_output=True, text=True, check=True).stdout
    return {int(pid): int(kilobytes) / 1024 for pid, kilobytes in map(str.split, listing.splitlines())}
