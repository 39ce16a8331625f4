"""Fossil's deltas, against a reader made after the format's description."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import fossil

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"


def applied(source: bytes, delta: bytes) -> bytes:
    """Read a delta: fossil-scm.org/home/doc/trunk/www/delta_format.wiki."""
    place, made = 0, b""

    def number() -> int:
        nonlocal place
        value = 0
        while (digit := _DIGITS.find(chr(delta[place]))) >= 0:
            value, place = value * 64 + digit, place + 1
        return value

    def sign() -> str:
        nonlocal place
        place += 1
        return chr(delta[place - 1])

    length = number()
    assert sign() == "\n"
    while True:
        count = number()
        match sign():
            case "@":
                start = number()
                assert sign() == ","
                assert start + count <= len(source)
                made += source[start : start + count]
            case ":":
                made += delta[place : place + count]
                place += count
            case ";":
                words = made + bytes(-len(made) % 4)
                total = sum(int.from_bytes(words[at : at + 4]) for at in range(0, len(words), 4))
                assert (count, length, place) == (total % 2**32, len(made), len(delta))
                return made


# Texts that have much in common, with characters of one to four bytes.
_PIECES = st.sampled_from(["a", "0123456789abcdef" * 2, "élan", "été" * 9, "🙂", "語" * 17, '{"price":', ",", "x" * 40])
_TEXTS = st.lists(_PIECES, max_size=12).map("".join)


@given(source=_TEXTS, target=_TEXTS)
def test_a_delta_makes_the_one_of_the_other_and_is_a_text(source: str, target: str) -> None:
    delta = fossil.create(source.encode(), target.encode())
    delta.decode()
    assert applied(source.encode(), delta) == target.encode()


@given(source=st.text(max_size=80), target=st.text(max_size=80))
def test_so_it_does_of_any_texts(source: str, target: str) -> None:
    delta = fossil.create(source.encode(), target.encode())
    delta.decode()
    assert applied(source.encode(), delta) == target.encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0123456789abcdef" + "é", "0123456789abcdef" + "è"),
        ("a" * 14 + "é" + "0123456789abcdef", "-ũ" + "0123456789abcdef"),
    ],
    ids=["they begin alike", "they end alike"],
)
def test_a_character_is_copied_whole_or_not_at_all(before: str, after: str) -> None:
    delta = fossil.create(before.encode(), after.encode())
    delta.decode()
    assert applied(before.encode(), delta) == after.encode()
    assert b"@" in delta


def table(changed: int) -> bytes:
    rows: list[Any] = [{"id": n, "name": f"row {n}", "price": n * 7 % 1_000} for n in range(500)]
    rows[changed]["price"] = -1
    return json.dumps(rows).encode()


def test_a_small_change_is_a_small_delta() -> None:
    delta = fossil.create(table(3), table(400))
    assert applied(table(3), delta) == table(400)
    assert len(delta) < 100


def test_nothing_alike_takes_milliseconds_all_the_same() -> None:
    source, target = b"".join(b"%06d" % n for n in range(4_000)), b"".join(b"%x-" % n for n in range(5_500))
    begun_s = time.process_time()
    delta = fossil.create(source, target)
    assert time.process_time() - begun_s < 1
    assert applied(source, delta) == target
