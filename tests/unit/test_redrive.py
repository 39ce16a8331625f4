"""What is put back from the dead letters: as it was, marked as a repeat."""

import json

import pytest

from tools.redrive import again


def test_a_record_is_put_back_as_a_repeat() -> None:
    record = {"channel": "room:a", "publication": {"i": "m"}}
    assert json.loads(again(json.dumps(record)) or "") == {**record, "retry": True}


def test_so_is_an_event() -> None:
    event = {"id": "e", "source": "billing", "detail": {"channel": "room:a", "name": "n", "data": 1}}
    assert json.loads(again(json.dumps(event)) or "") == {**event, "detail": {**event["detail"], "retry": True}}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "body", ["", "no json", "5", "[]", '"detail"', '{"detail": 5}', "{}", '{"channel": "a", "publication": 5}']
)
def test_what_is_neither_is_left_where_it_is(body: str) -> None:
    assert again(body) is None
