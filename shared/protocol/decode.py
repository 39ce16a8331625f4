"""Bytes to requests. Whatever comes in, the result is a request or a TidewireError."""

import sys
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from shared.errors import BadFrameError, InvalidFieldError, TooLargeError, UnknownTypeError
from shared.protocol.encode import to_json
from shared.protocol.limits import BATCH_MAX_FRAMES, DATA_MAX_BYTES
from shared.protocol.requests import REQUEST_ADAPTER, REQUEST_TYPES, Model, Request

# An integer with more digits is infinite to readers that know floats alone, such as browsers. Python reads it.
_FLOAT_MAX_DIGITS: Final = sys.float_info.max_10_exp
# A regular expression would take milliseconds for a large frame.
_ZEROS_FOR_DIGITS: Final = bytes.maketrans(b"0123456789", b"0" * 10)
_MANY_ZEROS: Final = b"0" * _FLOAT_MAX_DIGITS
_MAX_PROBLEMS: Final = 10  # told of in one error, so that it stays small


def parse(body: str | bytes, *, max_bytes: int) -> list[Any]:
    """Return the frames in ``body``: one object, or a batch of 1 to 100. They are not validated yet.

    Raises:
        TooLargeError: Over ``max_bytes`` of UTF-8.
        BadFrameError: Neither an object nor such an array, or not JSON: NaN, lone surrogates and nesting
            beyond 200 levels (pydantic-core's limit) are not either. Of a key that comes twice, the last counts.
    """
    value = parse_json(body, max_bytes=max_bytes)
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list) or not 0 < len(value) <= BATCH_MAX_FRAMES:
        raise BadFrameError(f"a frame is an object, or an array of 1 to {BATCH_MAX_FRAMES} objects")
    return value


def parse_json(body: str | bytes, *, max_bytes: int) -> Any:
    """Return the value that ``body`` is.

    Raises:
        TooLargeError, BadFrameError: As for :func:`parse`.
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
    if len(raw) > _FLOAT_MAX_DIGITS and _MANY_ZEROS in raw.translate(_ZEROS_FOR_DIGITS) and _has_huge_integer(value):
        raise BadFrameError("the frame has a number that is beyond what JSON readers hold")
    return value


def _has_huge_integer(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_huge_integer, value.values()))
    if isinstance(value, list):
        return any(map(_has_huge_integer, value))
    return isinstance(value, int) and abs(value) > sys.float_info.max


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
        issues = error.errors(include_input=False, include_url=False, include_context=False)
        # The union puts the type before the field's own path.
        raise invalid_fields((field_path(issue["loc"][1:]), issue["msg"]) for issue in issues) from None
    check_data(getattr(request, "data", None))
    return request


def check_data(data: Any, *, field: str = "data") -> None:
    """Refuse ``data`` that is over its limit or could not be sent on; ``field`` is its path, for the error.

    Raises:
        TooLargeError: It is over 24,000 bytes.
        BadFrameError: A number such as 1e999 is beyond what JSON readers hold.
    """
    try:
        size = len(to_json(data))
    except ValueError:
        raise BadFrameError(f"{field} has a number that is not finite") from None
    if size > DATA_MAX_BYTES:
        raise TooLargeError(f"{field} has at most {DATA_MAX_BYTES} bytes", details={"max_bytes": DATA_MAX_BYTES})


def invalid_fields(problems: Iterable[tuple[str, str]]) -> InvalidFieldError:
    """Return the error for fields (their paths) and what is wrong with each."""
    fields = [{"field": path, "problem": problem} for path, problem in islice(problems, _MAX_PROBLEMS)]
    message = "; ".join(": ".join(filter(None, field.values())) for field in fields)
    return InvalidFieldError(message, details={"fields": fields})


def field_path(steps: Iterable[int | str]) -> str:
    """Return the path of a field as far as its steps are ours.

    What no model calls a field may be a key of the client's in a mapping, and an error never repeats what clients send.
    """
    ours = _field_names(Model)
    return ".".join(str(step) for step in steps if isinstance(step, int) or step in ours)


def _field_names(model: type[Model]) -> set[str]:
    return set(model.model_fields).union(*map(_field_names, model.__subclasses__()))
