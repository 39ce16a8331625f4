"""Frames to messages: none over the limit, none lost, none out of order."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.protocol.encode import encode_frames, to_json

LIMIT = 32_000

# Of few sizes, so that sums near the limit are common.
sizes = st.lists(st.sampled_from([0, 1, 5, 300, 7_990, 10_660, 15_990, 31_980]) | st.integers(0, 31_980), max_size=150)


def frames_of(sizes: list[int]) -> list[dict[str, Any]]:
    return [{"n": n, "x": "x" * size} for n, size in enumerate(sizes)]


def unpacked(messages: list[bytes]) -> list[Any]:
    return [frame for message in messages for frame in as_list(json.loads(message))]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@given(sizes=sizes)
def test_every_frame_is_sent_once_and_in_order(sizes: list[int]) -> None:
    frames = frames_of(sizes)
    assert unpacked(encode_frames(frames)) == frames


@given(sizes=sizes)
def test_no_message_is_over_the_limit_or_has_more_than_100_frames(sizes: list[int]) -> None:
    for message in encode_frames(frames_of(sizes)):
        assert len(message) <= LIMIT
        assert 0 < len(as_list(json.loads(message))) <= 100


@given(sizes=sizes)
def test_a_frame_goes_along_with_those_before_it_if_it_fits(sizes: list[int]) -> None:
    """Each message costs a call and is billed."""
    batches = [as_list(json.loads(message)) for message in encode_frames(frames_of(sizes))]
    for batch, following in pairwise(batches):
        longer = [*batch, following[0]]
        assert len(longer) > 100 or len(to_json(longer)) > LIMIT


def test_one_frame_is_an_object_and_several_are_an_array() -> None:
    assert encode_frames([{"a": 1}]) == [b'{"a":1}']
    assert encode_frames([{"a": 1}, {"b": 2}]) == [b'[{"a":1},{"b":2}]']
    assert encode_frames([]) == []


def test_a_batch_may_fill_the_limit_to_the_last_byte() -> None:
    one, two = {"x": "x" * 15_990}, {"x": ""}
    left = LIMIT - len(to_json([one, two]))
    two["x"] = "x" * left
    assert [len(message) for message in encode_frames([one, two])] == [LIMIT]
    two["x"] += "x"
    assert len(encode_frames([one, two])) == 2


def test_a_batch_has_100_frames_at_most() -> None:
    messages = encode_frames([{"n": n} for n in range(250)])
    assert [len(json.loads(message)) for message in messages] == [100, 100, 50]


def test_a_frame_over_the_limit_is_sent_alone() -> None:
    messages = encode_frames([{"a": 1}, {"x": "x" * LIMIT}, {"b": 2}])
    assert [len(as_list(json.loads(message))) for message in messages] == [1, 1, 1]


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_json_reads_back_as_what_was_written(value: Any) -> None:
    assert json.loads(to_json(value)) == value


def test_json_is_compact_and_utf8() -> None:
    assert to_json({"a": [1, "ü"]}) == '{"a":[1,"ü"]}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"x": [-float("inf")]}, "\ud800"])
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"not JSON compliant|surrogates not allowed"):
        to_json(value)
