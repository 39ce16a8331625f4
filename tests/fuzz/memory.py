"""How much memory edge, emulator and a function have, over the time of a run."""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_EVERY_S: Final = 2.0
_LOOKS_MIN: Final = 10  # of less, a line says nothing


@dataclass(slots=True)
class Memory:
    """Samples of each process: seconds since the start, and resident megabytes. Several may do the same work."""

    samples: dict[str, dict[int, list[tuple[float, float]]]] = field(default_factory=dict)

    def add(self, at_s: float, name: str, sizes_mb: Mapping[int, float]) -> None:
        """Note one look at those who do the same work, by process."""
        for pid, size_mb in sizes_mb.items():
            self.samples.setdefault(name, {}).setdefault(pid, []).append((at_s, size_mb))

    def peak_mb(self, name: str) -> float:
        """Return the most that one of them had."""
        return max((size for samples in self.samples.get(name, {}).values() for _, size in samples), default=0.0)

    def growth_mb(self, name: str) -> float | None:
        """Return what was added in the second half, by a straight line through its samples, to that which grew most.

        In the first half caches fill, functions start, and Python finds out how much it needs at a time. ``None`` if
        nothing lived through the second half.
        """
        looks = sorted(
            {at for processes in self.samples.values() for samples in processes.values() for at, _ in samples}
        )
        late = [at for at in looks if at >= looks[-1] / 2]
        if len(late) < _LOOKS_MIN:
            return None
        through = [
            [(at, size) for at, size in samples if at >= late[0]]
            for samples in self.samples.get(name, {}).values()
            if samples[0][0] <= late[0] and samples[-1][0] == late[-1]
        ]
        return max((slope(samples) * (late[-1] - late[0]) for samples in through), default=None)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the rise of the line that lies nearest to the points."""
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


class MemoryWatch:
    """Looks every other second, in a thread of its own, from ``with`` to its end."""

    def __init__(self, pids: Callable[[], Mapping[str, Sequence[int]]]) -> None:
        """Make one; ``pids`` tells which processes there are now, by what they do."""
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
            sizes, at_s = resident_mb(), time.monotonic() - begun_s
            for name, pids in self._pids().items():
                self.memory.add(at_s, name, {pid: sizes[pid] for pid in pids if sizes.get(pid)})


def resident_mb() -> dict[int, float]:
    """Return the resident size of every process."""
    listing = subprocess.run(["ps", "-A", "-o", "pid=,rss="], capture_output=True, text=True, check=True).stdout
    return {int(pid): int(kilobytes) / 1024 for pid, kilobytes in map(str.split, listing.splitlines())}
