"""The id by which one publication is found in every function's log (docs/adr/0023-correlation.md).

Nothing carries it: every step has the channel, the sender and the message id, and reckons it from them.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from shared.domain.publication import identity

_LENGTH: Final = 16
# Only what this module has written itself: other libraries put texts into notes.
_NOTE: Final = re.compile(rf"correlation_id=([0-9a-f]{{{_LENGTH}}})")


def correlation_id(channel: str, user_id: str, message_id: str) -> str:
    """Return 16 hexadecimal digits: whatever a client has chosen, nothing of it is in a log.

    They are the first of the id by which a lane knows a repeat, and docs/observability.md has them reckoned by a shell.
    A client that repeats a publication repeats its id; two within one search of a log have the same by a chance of one
    in 2**64.
    """
    return hashlib.sha256(f"{channel} {identity(user_id, message_id)}".encode()).hexdigest()[:_LENGTH]


def of_frames(channel: str, frames: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the ids of the publications among these pushes: they alone have both a sender and a message id."""
    return [
        correlation_id(channel, frame["sender"]["user_id"], frame["message_id"])
        for frame in frames
        if "sender" in frame and "message_id" in frame
    ]


def is_followed(one: str, share: float) -> bool:
    """Tell whether this is one of the publications whose way is logged: every function comes to the same answer."""
    return int(one, 16) < share * 16**_LENGTH


@contextmanager
def about(correlation_ids: Sequence[str]) -> Iterator[None]:
    """Have each error that goes through here say which publications it is about."""
    try:
        yield
    except Exception as error:
        note(error, correlation_ids)
        raise


def note(error: BaseException, correlation_ids: Iterable[str]) -> None:
    """Write on an error which publications it is about."""
    for one in correlation_ids:
        if one not in noted(error):
            error.add_note(f"correlation_id={one}")


def noted(error: BaseException) -> list[str]:
    """Return what :func:`note` has written on an error."""
    matches = (_NOTE.fullmatch(text) for text in getattr(error, "__notes__", ()))
    return [match[1] for match in matches if match]
