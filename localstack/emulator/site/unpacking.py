"""Lets the emulator unpack each zip of a function or layer once, not for each worker that it starts.

That took it a second of processor, in which it did nothing else; and each worker compiled its modules anew, a second
more. Now a worker's folder leads to what lies there already, bytecode included.
"""

import hashlib
import shutil
import tempfile
import threading
import types
import zipfile
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime  # type: ignore[import-not-found]  # the environment beside it

_UNPACKED = Path(tempfile.gettempdir(), "unpacked")
_lock = threading.Lock()


class _UnpackedOnce(zipfile.ZipFile):
    """Only what the emulator asks of it."""

    @property
    def _place(self) -> Path:
        content = "\n".join(f"{entry.filename} {entry.CRC}" for entry in self.infolist())
        return _UNPACKED / hashlib.sha256(content.encode()).hexdigest()

    def namelist(self) -> list[str]:
        """Return the names that have to be checked: none of what was unpacked before."""
        return [] if self._place.exists() else super().namelist()

    def extractall(self, path: Any = None, *_: Any) -> None:
        """Let ``path`` lead to what is in it."""
        place = self._place
        with _lock:
            if not place.exists():
                _UNPACKED.mkdir(exist_ok=True)
                half_way = Path(tempfile.mkdtemp(dir=_UNPACKED))
                try:
                    super().extractall(half_way)
                except BaseException:
                    shutil.rmtree(half_way)
                    raise
                half_way.rename(place)
        for entry in place.iterdir():
            Path(path, entry.name).symlink_to(entry)


lambda_runtime.zipfile = types.SimpleNamespace(**{**vars(zipfile), "ZipFile": _UnpackedOnce})
