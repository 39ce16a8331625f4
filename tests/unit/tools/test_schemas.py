"""docs/schemas, held to what their own projects say that such documents are."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from localstack.deploy import ROOT

_SCHEMAS: Final = ROOT / "docs" / "schemas"
_SITE: Final = ROOT / "tools" / "site"


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _asyncapi_problems(document: Any) -> list[str]:
    schema = _read(_SITE / "node_modules" / "@asyncapi" / "specs" / "schemas" / f"{document['asyncapi']}.json")
    return [error.message for error in Draft7Validator(schema).iter_errors(document)]


def _openapi(path: Path) -> subprocess.CompletedProcess[str]:
    program = _SITE / ".venv" / "bin" / "openapi-spec-validator"
    return subprocess.run([program, path], capture_output=True, text=True, check=False)


def _targets(document: Any) -> list[str]:
    """Return every ``$ref`` of a document."""
    if isinstance(document, list):
        return [target for one in document for target in _targets(one)]
    if not isinstance(document, dict):
        return []
    own = [document["$ref"]] if isinstance(document.get("$ref"), str) else []
    return own + [target for one in document.values() for target in _targets(one)]


def test_frames_are_a_json_schema() -> None:
    Draft202012Validator.check_schema(_read(_SCHEMAS / "frames.json"))


def test_asyncapi_is_what_asyncapi_says() -> None:
    assert _asyncapi_problems(_read(_SCHEMAS / "asyncapi.json")) == []


def test_openapi_is_what_openapi_says() -> None:
    checked = _openapi(_SCHEMAS / "openapi.json")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", ["asyncapi.json", "frames.json", "openapi.json"])
def test_every_reference_leads_somewhere(name: str) -> None:
    document = _read(_SCHEMAS / name)
    for target in set(_targets(document)):
        place = document
        for step in target.removeprefix("#/").split("/"):
            place = place[step.replace("~1", "/").replace("~0", "~")]


def test_what_is_none_is_noticed(tmp_path: Path) -> None:
    asyncapi = _read(_SCHEMAS / "asyncapi.json")
    asyncapi["operations"]["request"]["action"] = "shout"
    assert _asyncapi_problems(asyncapi)
    openapi = _read(_SCHEMAS / "openapi.json")
    del openapi["info"]["title"]
    (tmp_path / "openapi.json").write_text(json.dumps(openapi))
    assert _openapi(tmp_path / "openapi.json").returncode == 1
