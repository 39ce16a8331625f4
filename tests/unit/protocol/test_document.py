"""docs/protocol.md lists every request and push with each of its fields, as the models have them."""

import re
from typing import Final, get_args

import pytest
from pydantic import BaseModel

from localstack.deploy import ROOT
from shared.protocol import requests, server

_TEXT: Final = (ROOT / "docs" / "protocol.md").read_text()
_FRAMED: Final = {"type", "id"}


def _rows(section: str) -> dict[str, str]:
    text = _TEXT.partition(f"### {section}\n")[2].partition("\n##")[0]
    return dict(re.findall(r"^\| `([\w.]+)` \| (.+) \|$", text, re.MULTILINE))


def _named(models: tuple[type[BaseModel], ...]) -> dict[str, type[BaseModel]]:
    return {str(get_args(model.model_fields["type"].annotation)[0]): model for model in models}


_REQUESTS: Final = _named(requests.REQUESTS)
_PUSHES: Final = _named(server.PUSHES)


def test_it_lists_every_request() -> None:
    assert _rows("2.1 Requests").keys() == _REQUESTS.keys()


def test_it_lists_every_push() -> None:
    assert _rows("2.2 Pushes").keys() == _PUSHES.keys()


@pytest.mark.parametrize("name", _REQUESTS)
def test_a_requests_fields_are_listed(name: str) -> None:
    fields, _, _ = _rows("2.1 Requests")[name].partition(" | ")
    said = set(re.findall(r"\w+", _rows("2.1 Requests")["publish"] if fields.startswith("as") else fields))
    assert _REQUESTS[name].model_fields.keys() - _FRAMED <= said


@pytest.mark.parametrize("name", _PUSHES)
def test_a_pushs_fields_are_listed(name: str) -> None:
    said = set(re.findall(r"\w+", _rows("2.2 Pushes")[name]))
    assert _PUSHES[name].model_fields.keys() - _FRAMED <= said


def test_the_events_of_a_connection_are_listed() -> None:
    listed = re.findall(r"`(\w+)(?: \{[^}]*\})?`", _rows("2.2 Pushes")["system"])
    assert set(listed) - {"event"} == set(get_args(server.System.model_fields["event"].annotation))
