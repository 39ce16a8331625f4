"""Where the emulator unpacks its functions: in memory if there is room.

Its functions and layers are some thousand files, and each worker has a copy of their zips. On a busy disk that was
measured to take seconds, and nothing in memory.
"""

import fcntl
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

_MEMORY: Final = Path("/dev/shm")  # nosec B108 # what somebody else has put there, mkdir refuses
_MIN_BYTES: Final = 4_000_000_000  # a hundred workers take less
_PREFIX: Final = "tidewire-"


class Scratch:
    """A folder that is empty when it begins and gone when it ends; always the same one for the same ``folder``.

    Attributes:
        path: Where it is.
    """

    def __init__(self, folder: Path, *, memory: Path = _MEMORY, min_bytes: int = _MIN_BYTES) -> None:
        self._memory = memory if _has_room(memory, min_bytes) else None
        self.path = folder / "emulator"
        if self._memory is not None:
            self.path = memory / f"{_PREFIX}{hashlib.sha256(bytes(folder.resolve())).hexdigest()[:16]}"
        self._lock: TextIO | None = None

    def make(self) -> None:
        """Begin, and remove what those have left in memory who were killed: it is dear there."""
        if self._memory is not None:
            for lock in self._memory.glob(f"{_PREFIX}*.lock"):
                _remove_if_dead(lock)
            self._lock = self.path.with_suffix(".lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)  # gone with this process, however that ends
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)

    def remove(self) -> None:
        """End."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self.path.with_suffix(".lock").unlink(missing_ok=True)
            self._lock.close()


def _has_room(memory: Path, min_bytes: int) -> bool:
    if not memory.is_dir() or not os.access(memory, os.W_OK):
        return False
    status = os.statvfs(memory)
    # In containers it is often small, and does not let shared libraries be loaded.
    return status.f_bavail * status.f_frsize >= min_bytes and not status.f_flag & os.ST_NOEXEC


def _remove_if_dead(lock: Path) -> None:
    with suppress(BlockingIOError, FileNotFoundError), lock.open() as claim:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
        lock.unlink()
