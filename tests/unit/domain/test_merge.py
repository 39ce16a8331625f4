"""Merge patches, what lies between two values, and three-way merges."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.merge import conflicts, merged, patch_between, patched, same

SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x"])
KEYS = st.sampled_from(["a", "b", "c/d", "~"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3))
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
DOCUMENTS = OBJECTS | st.none()

# RFC 7396, appendix A; those whose patch is an object, as all of ours are.
RFC_7396 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    (["a", "b"], {"a": "b"}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("value", "patch", "expected"), RFC_7396)
def test_patches_do_what_the_rfc_says(value: Any, patch: dict[str, Any], expected: Any) -> None:
    before = json.dumps(value)
    assert patched(value, patch) == expected
    assert json.dumps(value) == before, "what was there is left alone"


@given(before=OBJECTS, after=OBJECTS)
def test_what_lies_between_two_values_leads_from_one_to_the_other(before: Any, after: Any) -> None:
    patch = patch_between(before, after)
    if patch is not None:
        assert same(patched(before, patch), after)
        assert (patch == {}) is same(before, after)
    else:
        assert "null" in json.dumps(after), "only a null that is new can't be said"


def test_a_null_that_was_there_before_is_no_hindrance() -> None:
    assert patch_between({"a": None, "b": 1}, {"a": None, "b": 2}) == {"b": 2}
    assert patch_between({"b": 1}, {"a": {"c": None}}) is None
    assert patch_between([1], {"a": 1}) is None


@given(base=DOCUMENTS, mine=DOCUMENTS, theirs=DOCUMENTS)
def test_a_merge_keeps_what_only_one_has_changed(base: Any, mine: Any, theirs: Any) -> None:
    assert same(merged(base, mine, base), mine)
    assert same(merged(base, base, theirs), theirs)
    assert same(merged(base, mine, mine), mine)
    if not conflicts(base, mine, theirs):
        assert same(merged(base, mine, theirs), merged(base, theirs, mine))


@given(base=OBJECTS, mine=OBJECTS, theirs=OBJECTS)
def test_each_member_is_settled_by_itself(base: Any, mine: Any, theirs: Any) -> None:
    result = merged(base, mine, theirs)
    for key in base.keys() | mine.keys() | theirs.keys():
        one = [{"": value[key]} if key in value else {} for value in (base, mine, theirs)]
        settled = merged(*one)
        assert same({"": result[key]} if key in result else {}, settled)


def test_where_both_have_changed_the_same_mine_stands() -> None:
    base = {"a": 1, "b": {"c": 1, "d": 1}, "l": [1]}
    mine = {"a": 2, "b": {"c": 2, "d": 1}, "l": [1, 2]}
    theirs = {"a": 3, "b": {"c": 1, "d": 3}, "l": [0, 1], "n": None}
    assert merged(base, mine, theirs) == {"a": 2, "b": {"c": 2, "d": 3}, "l": [1, 2], "n": None}
    assert conflicts(base, mine, theirs) == ["/a", "/l"]


def test_places_of_conflicts_are_json_pointers() -> None:
    assert conflicts({"x": {"a/b": 1, "~": 1}}, {"x": {"a/b": 2, "~": 2}}, {"x": {"a/b": 3, "~": 3}}) == [
        "/x/a~1b",
        "/x/~0",
    ]
    assert conflicts({"a": 1}, None, {"a": 2}) == [""]


@pytest.mark.parametrize(("one", "other"), [(True, 1), (False, 0), ([1], [True]), ({"a": 0}, {"a": False}), (None, 0)])
def test_json_knows_true_from_one(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert same(1, 1.0)
