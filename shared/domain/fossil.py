"""Deltas of texts in Fossil's format: fossil-scm.org/home/doc/trunk/www/delta_format.wiki.

Both texts are UTF-8, and so is every delta: it is sent as a string of JSON. Pure; it compares by hashed blocks, some
milliseconds for the largest data that there is.
"""

from collections.abc import Iterator
from typing import Final

_DIGITS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
# What is alike is found by blocks of so many bytes of the source; a copy shorter than that gains little.
_BLOCK: Final = 16


def create(source: bytes, target: bytes) -> bytes:
    """Return what makes ``target`` of ``source``."""
    delta, place = [_number(len(target)), b"\n"], 0
    for start, at, length in _copies(source, target):
        if place < at:
            delta += [_number(at - place), b":", target[place:at]]
        delta += [_number(length), b"@", _number(start), b","]
        place = at + length
    if place < len(target):
        delta += [_number(len(target) - place), b":", target[place:]]
    return b"".join([*delta, _number(_checksum(target)), b";"])


def _copies(source: bytes, target: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield what the target has of the source, in its order: where it is in the one and in the other, and how long."""
    head = _alike(source, 0, target, 0)
    if head >= _BLOCK:
        yield from _whole(0, 0, head, target)
    place = head if head >= _BLOCK else 0
    blocks = {source[at : at + _BLOCK]: at for at in range(0, len(source) - _BLOCK + 1, _BLOCK)}
    done = place  # what is before it is copied, or to be inserted as it is
    while place + _BLOCK <= len(target):
        start = blocks.get(target[place : place + _BLOCK])
        if start is None:
            place += 1
            continue
        back = 0
        while place - back > done and start - back > 0 and source[start - back - 1] == target[place - back - 1]:
            back += 1
        length = back + _alike(source, start, target, place)
        yield from _whole(start - back, place - back, length, target)
        place = done = place - back + length


def _alike(source: bytes, start: int, target: bytes, at: int) -> int:
    """Return how many bytes from there on are the same."""
    low, high = 0, min(len(source) - start, len(target) - at)
    while low < high:
        middle = (low + high + 1) // 2
        if source[start + low : start + middle] == target[at + low : at + middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _whole(start: int, at: int, length: int, target: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield a copy that begins and ends where a character does, if anything is left of it."""
    while length and _inside(target, at):
        start, at, length = start + 1, at + 1, length - 1
    while length and _inside(target, at + length):
        length -= 1
    if length:
        yield start, at, length


def _inside(text: bytes, place: int) -> bool:
    return place < len(text) and text[place] & 0xC0 == 0x80


def _number(value: int) -> bytes:
    digits = b""
    while True:
        value, digit = divmod(value, 64)
        digits = _DIGITS[digit : digit + 1] + digits
        if not value:
            return digits


def _checksum(text: bytes) -> int:
    """Return the sum of the text's 32-bit numbers, the last one filled up with zeros."""
    padded = text + bytes(-len(text) % 4)
    return sum(int.from_bytes(padded[at : at + 4]) for at in range(0, len(padded), 4)) & 0xFFFFFFFF
