"""Frames to bytes. Imports no pydantic: functions that only send start without it."""

import json
from collections.abc import Iterable
from typing import Any

from shared.protocol.limits import BATCH_MAX_FRAMES, SERVER_FRAME_MAX_BYTES


def to_json(value: Any) -> bytes:
    """Encode compactly, as UTF-8.

    Raises:
        ValueError: A number is infinite or no number.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def encode_frames(frames: Iterable[Any]) -> list[bytes]:
    """Return ``frames`` as messages of at most 32,000 bytes: one alone as an object, several as arrays of up to 100.

    A single frame over the limit is sent alone all the same: whoever makes frames keeps them below.
    """
    messages: list[bytes] = []
    batch: list[bytes] = []
    size = 0

    def close() -> None:
        if batch:
            messages.append(batch[0] if len(batch) == 1 else b"[" + b",".join(batch) + b"]")
            batch.clear()

    for frame in frames:
        encoded = to_json(frame)
        if batch and (size + len(encoded) + 2 > SERVER_FRAME_MAX_BYTES or len(batch) == BATCH_MAX_FRAMES):
            close()
            size = 0
        batch.append(encoded)
        size += len(encoded) + 1
    close()
    return messages
