"""DynamoDB's units, by items whose sizes were added up by hand, and by the examples of AWS's pages."""

from typing import Any

import pytest

from bench.ledger.capacity import item_bytes, read_units, write_units


@pytest.mark.parametrize(
    ("item", "size_bytes"),
    [
        ({}, 0),
        ({"pk": {"S": "room:a"}}, 2 + 6),
        ({"naïve": {"S": "ü€😀"}}, 6 + 2 + 3 + 4),
        ({"n": {"N": "0"}}, 1 + 1),
        ({"n": {"N": "7"}}, 1 + 1 + 1),
        ({"n": {"N": "27"}}, 1 + 1 + 1),
        ({"n": {"N": "127"}}, 1 + 2 + 1),
        ({"n": {"N": "-127"}}, 1 + 2 + 1),
        ({"n": {"N": "1800000000000"}}, 1 + 1 + 1),  # zeros behind take nothing
        ({"n": {"N": "1800000123457"}}, 1 + 7 + 1),
        ({"n": {"N": "0.0025"}}, 1 + 1 + 1),
        ({"ring": {"B": b"\0" * 640}}, 4 + 640),
        ({"yes": {"BOOL": True}}, 3 + 1),
        ({"no": {"NULL": True}}, 2 + 1),
        ({"l": {"L": []}}, 1 + 3),
        ({"l": {"L": [{"S": "ab"}, {"N": "1"}]}}, 1 + 3 + (1 + 2) + (1 + 2)),
        ({"m": {"M": {"key": {"S": "ab"}}}}, 1 + 3 + (1 + 3 + 2)),
        ({"pk": {"S": "a"}, "sk": {"S": "bc"}, "expires_at_s": {"N": "1800000123"}}, 3 + 4 + 12 + 6),
    ],
)
def test_an_item_has_the_size_of_its_names_and_values(item: Any, size_bytes: int) -> None:
    assert item_bytes(item) == size_bytes


def test_what_no_item_here_has_is_not_taken_for_nothing() -> None:
    with pytest.raises(ValueError, match="SS"):
        item_bytes({"s": {"SS": ["a"]}})


def of(size_bytes: int) -> Any:
    return {"x": {"S": "x" * (size_bytes - 1)}}


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (None, of(1), 1),
        (None, of(1024), 1),
        (None, of(1025), 2),
        (of(3000), of(10), 3),  # the larger of both
        (of(10), of(3000), 3),
        (of(2048), None, 2),
        (None, None, 1),  # what is not there is deleted
    ],
)
def test_a_write_goes_by_the_larger_item_and_whole_kilobytes(before: Any, after: Any, units: int) -> None:
    assert write_units(after, before) == units


@pytest.mark.parametrize(
    ("sizes", "units"), [([], 1), ([4096], 1), ([4097], 2), ([1500] * 5, 2), ([65] * 63, 1), ([65] * 64, 2)]
)
def test_a_read_goes_by_the_sum_and_4_kilobytes_and_half_of_that_if_it_may_be_stale(
    sizes: list[int], units: int
) -> None:
    items = [of(size_bytes) for size_bytes in sizes]
    assert read_units(items, consistent=True) == units
    assert read_units(items, consistent=False) == units / 2
