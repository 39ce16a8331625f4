"""tests/golden: every example is what the models, the decoder and the published schema say it is."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter

from shared.errors import TidewireError
from shared.protocol import server
from shared.protocol.decode import parse, validate
from shared.protocol.encode import to_json
from shared.protocol.requests import REQUEST_TYPES
from tests.unit.protocol.golden import BAD_FRAMES, FRAMES, REQUESTS

ROOT = Path(__file__).resolve().parents[3]
DEFINITIONS = json.loads((ROOT / "docs" / "schemas" / "frames.json").read_text())["$defs"]
SCHEMAS = {
    kind: Draft202012Validator({"$ref": f"#/$defs/{kind.capitalize()}", "$defs": DEFINITIONS})
    for kind in ("request", "reply", "push")
}
ADAPTERS: dict[str, TypeAdapter[Any]] = {"reply": TypeAdapter(server.Reply), "push": TypeAdapter(server.Push)}


def names(examples: list[dict[str, Any]]) -> list[str]:
    return [example["name"] for example in examples]


def read(example: dict[str, Any]) -> BaseModel:
    """Return what the example is to the code that reads frames of its kind."""
    if example["kind"] == "request":
        (frame,) = parse(to_json(example["frame"]), max_bytes=32_000)
        return validate(frame)
    read: BaseModel = ADAPTERS[example["kind"]].validate_json(to_json(example["frame"]))
    return read


@pytest.mark.parametrize("example", FRAMES, ids=names(FRAMES))
def test_a_good_frame_is_read_whole(example: dict[str, Any]) -> None:
    frame = {key: value for key, value in example["frame"].items() if key != "later"}
    assert read(example).model_dump(exclude_unset=True) == frame


@pytest.mark.parametrize("example", FRAMES, ids=names(FRAMES))
def test_a_good_frame_is_good_by_the_published_schema(example: dict[str, Any]) -> None:
    SCHEMAS[example["kind"]].validate(example["frame"])


@pytest.mark.parametrize("example", BAD_FRAMES, ids=names(BAD_FRAMES))
def test_a_bad_frame_gets_its_error(example: dict[str, Any]) -> None:
    with pytest.raises(TidewireError) as caught:
        for frame in parse(example["text"], max_bytes=32_000):
            validate(frame)
    assert caught.value.name == example["error"]
    assert not caught.value.temporary


def test_there_is_an_example_of_everything() -> None:
    assert {frame["type"] for frame in REQUESTS} == REQUEST_TYPES
    pushes = {example["frame"]["type"] for example in FRAMES if example["kind"] == "push"}
    assert pushes == {get_args(model.model_fields["type"].annotation)[0] for model in server.PUSHES}
    results = {type(read(example).result) for example in FRAMES if example["kind"] == "reply"}  # type: ignore[attr-defined]
    assert results == {*get_args(server.Result), type(None)}
    assert len({*names(FRAMES), *names(BAD_FRAMES)}) == len(FRAMES) + len(BAD_FRAMES)
