"""HTTP/1.1 answers, read from bytes (RFC 9112). No I/O."""

from dataclasses import dataclass, replace
from typing import Final

# @connections answers with a few hundred bytes; who sends this much is somebody else.
ANSWER_MAX_BYTES: Final = 65_536


class BadAnswerError(ConnectionError):
    """These bytes are no answer; nothing more can be made of what comes from there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        error_type: AWS's name of the error, empty if there is none.
        keeps_alive: Whether another request may go the same way.
    """

    status: int
    error_type: str = ""
    body: bytes = b""
    keeps_alive: bool = True


_TAKEN: Final = Answer(200)


def read_answer(received: bytes, *, ended: bool) -> Answer | None:
    """Return the answer, ``None`` if there has to come more of it.

    Args:
        received: From the end of the answer before.
        ended: Nothing more will come.

    Raises:
        BadAnswerError: It is none, or it has ended too early.
    """
    # Nearly every one, recognised at a third of what it takes to read it: a 200 without a body, and nothing behind it.
    # Should it name a transfer coding all the same, what comes of that is taken for what it is then: not asked for.
    lower = received.lower()
    if (
        lower.startswith(b"http/1.1 200 ")
        and lower.find(b"\r\n\r\n") == len(lower) - 4
        and b"\r\ncontent-length: 0\r\n" in lower
        and b"\r\nconnection: close" not in lower
        and not ended
    ):
        return _TAKEN
    status, size = 0, len(received)
    while status < 200:  # of 1xx there may be some before the real one
        head_end = received.find(b"\r\n\r\n")
        if head_end < 0:
            _want_more(size, ended=ended)
            return None
        head, body = received[: head_end + 2], received[head_end + 4 :]
        lower = head.lower()
        status, received = _status(lower), body
    closes = b"close" in _field(lower, b"connection") or lower.startswith(b"http/1.0")
    coding, length = _field(lower, b"transfer-encoding"), _field(lower, b"content-length")
    if coding:
        answer = _chunked(body, coding)
    elif length or status in (204, 304):
        answer = _of_length(body, length if status not in (204, 304) else b"0")
    else:
        closes, answer = True, (body, b"") if ended else None
    if answer is None:
        _want_more(size, ended=ended)
        return None
    body, rest = answer
    keeps_alive = not (closes or ended or rest or (coding and length))
    if status == 200 and not body:
        return _TAKEN if keeps_alive else replace(_TAKEN, keeps_alive=False)
    return Answer(status, _error_type(head, lower), body, keeps_alive)


def _want_more(size: int, *, ended: bool) -> None:
    if ended or size > ANSWER_MAX_BYTES:
        raise BadAnswerError("the answer has no end")


def _status(head: bytes) -> int:
    status = head[9:12]
    if head[:9] not in (b"http/1.1 ", b"http/1.0 ") or not status.isdigit() or head[12:13] not in (b" ", b"\r"):
        raise BadAnswerError("the answer has no status")
    if status < b"100" or status == b"101":  # nobody has asked for another protocol
        raise BadAnswerError("the answer's status makes no sense")
    return int(status)


def _field(head: bytes, name: bytes) -> bytes:
    start = head.find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    return head[start : head.find(b"\r\n", start)].strip()


def _error_type(head: bytes, lower: bytes) -> str:
    start = lower.find(b"\r\nx-amzn-errortype:")
    if start < 0:
        return ""
    start += len(b"\r\nx-amzn-errortype:")
    # "GoneException:http://internal.amazon.com/...": smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html
    return head[start : head.find(b"\r\n", start)].strip().partition(b":")[0].decode("latin-1")


def _of_length(body: bytes, length: bytes) -> tuple[bytes, bytes] | None:
    if not length.isdigit() or len(length) > 9:
        raise BadAnswerError("the answer's length makes no sense")
    end = int(length)
    return (body[:end], body[end:]) if len(body) >= end else None


def _chunked(body: bytes, coding: bytes) -> tuple[bytes, bytes] | None:
    if coding != b"chunked":
        raise BadAnswerError("nobody has asked for this coding")
    chunks: list[bytes] = []
    while True:
        line, found, rest = body.partition(b"\r\n")
        if not found:
            return None
        try:
            size = int(line.partition(b";")[0].strip(), 16)
        except ValueError:
            size = -1
        if not 0 <= size <= ANSWER_MAX_BYTES:
            raise BadAnswerError("a chunk's size makes no sense")
        if size == 0:
            return _trailer(b"".join(chunks), rest)
        if len(rest) < size + 2:
            return None
        if rest[size : size + 2] != b"\r\n":
            raise BadAnswerError("a chunk has no end")
        chunks.append(rest[:size])
        body = rest[size + 2 :]


def _trailer(body: bytes, rest: bytes) -> tuple[bytes, bytes] | None:
    if rest.startswith(b"\r\n"):
        return body, rest[2:]
    _, found, behind = rest.partition(b"\r\n\r\n")
    return (body, behind) if found else None
