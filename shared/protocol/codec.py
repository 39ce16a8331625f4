"""Bytes to requests, and frames to bytes. Whatever comes in, the result is a request or a TidewireError."""

import json
from collections.abc import Iterable
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from shared.errors import BadFrameError, InvalidFieldError, TooLargeError, UnknownTypeError
from shared.protocol.requests import BATCH_MAX_FRAMES, REQUEST_ADAPTER, REQUEST_TYPES, Request

# API Gateway's frame limit is 32 KB, and 32 KB is its billing unit (sources: shared/domain/connection.py):
# 32,000 is below both readings of KB.
WEBSOCKET_FRAME_MAX_BYTES: Final = 32_000
HTTP_FRAME_MAX_BYTES: Final = 256_000
SERVER_FRAME_MAX_BYTES: Final = 32_000
DATA_MAX_BYTES: Final = 24_000


def to_json(value: Any) -> bytes:
    """Encode compactly, as UTF-8. Raises nothing for what :func:`parse` let in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def parse(body: str | bytes, *, max_bytes: int) -> list[Any]:
    """Return the frames in ``body``: one object, or a batch of 1 to 100. They are not validated yet.

    Raises:
        TooLargeError: Over ``max_bytes`` of UTF-8.
        BadFrameError: Neither an object nor such an array, or not JSON: NaN, lone surrogates and nesting
            beyond 200 levels (pydantic-core's limit) are not either.
    """
    try:
        raw = body.encode() if isinstance(body, str) else body
    except UnicodeEncodeError:
        raise BadFrameError("the frame is not UTF-8") from None
    if len(raw) > max_bytes:
        raise TooLargeError(f"a frame has at most {max_bytes} bytes", details={"max_bytes": max_bytes})
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError:
        raise BadFrameError("the frame is not JSON, or nested too deep") from None
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list) or not 0 < len(value) <= BATCH_MAX_FRAMES:
        raise BadFrameError(f"a frame is an object, or an array of 1 to {BATCH_MAX_FRAMES} objects")
    return value


def request_id(frame: Any) -> int | str | None:
    """Return the ``id`` if it can be read: also that of a frame which is wrong otherwise."""
    value = frame.get("id") if isinstance(frame, dict) else None
    if isinstance(value, str):
        return value if len(value) <= 64 else None
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else None


def validate(frame: Any) -> Request:
    """Return the request that ``frame`` is.

    Raises:
        BadFrameError, UnknownTypeError, InvalidFieldError, TooLargeError: As the protocol's table says.
    """
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise BadFrameError("a frame is an object with a string type")
    if frame["type"] not in REQUEST_TYPES:
        raise UnknownTypeError("this type is not a request's")
    try:
        request: Request = REQUEST_ADAPTER.validate_python(frame)
    except ValidationError as error:
        raise invalid_field(error) from None
    check_data(getattr(request, "data", None))
    return request


def check_data(data: Any) -> None:
    """Refuse ``data`` over its limit.

    Raises:
        TooLargeError: It is.
    """
    if data is not None and len(to_json(data)) > DATA_MAX_BYTES:
        raise TooLargeError(f"data has at most {DATA_MAX_BYTES} bytes", details={"max_bytes": DATA_MAX_BYTES})


def invalid_field(error: ValidationError) -> InvalidFieldError:
    """Say which fields are wrong and why, without repeating what the client sent."""
    fields = [
        {"field": ".".join(_step(step) for step in issue["loc"]), "problem": issue["msg"]}
        for issue in error.errors(include_input=False, include_url=False, include_context=False)[:10]
    ]
    # The union puts the type before the field's own path.
    for field in fields:
        head, _, rest = field["field"].partition(".")
        field["field"] = rest if head in REQUEST_TYPES and rest else field["field"]
    return InvalidFieldError("; ".join(f"{f['field']}: {f['problem']}" for f in fields), details={"fields": fields})


def _step(step: int | str) -> str:
    # A step is a key of the client's in a mapping: cut short, so that an error stays small.
    return str(step)[:64]


def encode_frames(frames: Iterable[Any]) -> list[bytes]:
    """Return ``frames`` as messages of at most 32,000 bytes: an object where one stands alone, else arrays of up to 100.

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
