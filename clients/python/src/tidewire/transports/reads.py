"""What a read of a session brings, taken from the text in which it comes. Pure."""

import codecs
import json
from dataclasses import dataclass
from typing import Final

# A line holds a batch, which has at most 32,000 bytes (docs/protocol.md section 2).
_LINE_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Read:
    """Where a read has come to.

    Attributes:
        cursor: For the next one to go on from; ``None`` if none was given.
        frames: A frame or a batch, as text; ``None`` if nothing has come.
    """

    cursor: str | None
    frames: str | None


def read_of(text: str) -> Read:
    """Return what a line of a stream, or the answer to a poll, says: ``{"cursor": …, "frames": […]}``.

    Raises:
        Exception: It is something else.
    """
    said = json.loads(text)
    cursor, frames = said["cursor"], said["frames"]
    if not (isinstance(cursor, str) and isinstance(frames, list)):
        raise ValueError("neither a line of a stream nor a poll's answer")
    return Read(cursor, json.dumps(frames) if frames else None)


class Lines:
    """Cuts a stream of bytes into lines.

    At ``\\n`` alone: U+2028 and others that Python takes for the end of a line may stand in JSON as they are.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that have become whole, without their ends.

        Raises:
            ValueError: A line does not end.
        """
        *lines, self._rest = (self._rest + self._decoder.decode(chunk)).split("\n")
        if len(self._rest) > _LINE_MAX:
            raise ValueError("a line without an end")
        return lines


class NdjsonParser:
    """Takes lines of JSON. Empty ones keep the stream open."""

    def line(self, line: str) -> Read | None:
        """Return what a line brings.

        Raises:
            Exception: It is no such line.
        """
        return read_of(line) if line.strip() else None


class SseParser:
    """Takes one stream of server-sent events. Ours have one line of data each."""

    def __init__(self) -> None:
        self._cursor: str | None = None
        self._data = ""

    def line(self, line: str) -> Read | None:
        """Return the event that ends with this line."""
        if line.startswith("id:"):
            self._cursor = line[3:].strip()
        elif line.startswith("data:"):
            self._data = line[5:].strip()
        elif not line.strip() and self._data:
            read, self._data = Read(self._cursor, self._data), ""
            return read
        return None
