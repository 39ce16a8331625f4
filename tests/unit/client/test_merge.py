"""JSON values: when two are the same, copies, patches."""

import json
from typing import Any

import pytest

from tidewire.merge import copied, patched, same

VALUES: list[Any] = [None, True, False, 0, 1, 2, "", "1", [], [1], [True], [1, 2], {}, {"a": 1}, {"a": [1]}, {"b": 1}]


@pytest.mark.parametrize("one", VALUES, ids=repr)
def test_two_are_the_same_if_they_are_the_same_json(one: Any) -> None:
    for other in VALUES:
        assert same(one, other) == (json.dumps(one) == json.dumps(other)), other
    assert same({"a": one, "b": 1}, {"b": 1.0, "a": one})


def test_what_is_nested_deeply_is_compared_all_the_same() -> None:
    one: list[Any] = []
    other: list[Any] = []
    for _ in range(100_000):
        one, other = [one], [other]
    assert same(one, other)
    assert not same([one], other)


def test_a_copy_is_nobody_elses() -> None:
    value = {"list": [{"n": 1}]}
    copy = copied(value)
    copy["list"][0]["n"] = 2
    assert value == {"list": [{"n": 1}]}


def test_a_patch_changes_nothing_that_it_is_given() -> None:
    value, patch = {"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": None, "e": {"f": None}}, "d": None}
    assert patched(value, patch) == {"a": {"c": 2, "e": {}}}
    assert (value["d"], patch["d"]) == (3, None)
