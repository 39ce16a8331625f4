"""How documents are kept: golden scenarios that every client is held to."""

import json
from pathlib import Path
from typing import Any

import pytest

from tidewire.replica import Replica

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "replica.json").read_text())


def step(replica: Replica, call: dict[str, Any]) -> dict[str, Any] | None:
    match call["call"]:
        case "read":
            return replica.read(call["result"])
        case "changed":
            replica.changed(call["key"], call["result"]["changes"])
            return None
        case "pushed":
            return replica.pushed({"type": "state", "channel": "room:a", "key": call["key"], **call["push"]})
        case "wrote":
            return replica.wrote(call["key"], call["result"])
        case "fetched":
            return replica.fetched(call["key"], call.get("document"))
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize("scenario", GOLDEN, ids=[scenario["name"] for scenario in GOLDEN])
def test_golden(scenario: dict[str, Any]) -> None:
    replica = Replica("room:a")
    for index, call in enumerate(scenario["steps"]):
        asked = step(replica, call)
        seen = {
            "ask": asked,
            "versions": replica.versions,
            "values": replica.values,
            "missing": sorted(replica.missing),
        }
        expected = {"ask": None} | {name: call[name] for name in seen if name in call}
        assert {name: seen[name] for name in expected} == expected, f"step {index}: {call['call']}"


@pytest.mark.parametrize("version", [None, "1", "x", {}, [], 0.5, -1, float("nan"), True])
def test_versions_that_make_no_sense_change_nothing(version: Any) -> None:
    replica = Replica("room:a")
    said = {"version": version, "value": 1}
    replica.pushed({"type": "state", "channel": "room:a", "key": "a", **said})
    replica.wrote("a", said)
    replica.changed("a", [said])
    replica.read({"documents": {"a": said}})
    replica.missing.add("a")
    replica.fetched("a", said)
    assert (replica.versions, replica.values) == ({}, {})


@pytest.mark.parametrize("junk", [None, 1, "x", [], [1], {"changes": {}}, {"version": 1, "patch": 1}])
def test_documents_that_make_no_sense_change_nothing(junk: Any) -> None:
    replica = Replica("room:a")
    assert replica.read({"documents": {"a": junk, "b": {"version": 1, "value": 2}}}) is None
    replica.changed("b", [junk])
    assert (replica.versions, replica.values) == ({"b": 1}, {"b": 2})


def test_what_is_asked_for_does_not_change_with_what_comes_later() -> None:
    replica = Replica("room:a")
    asked = replica.read({"documents": {"a": {"version": 1, "value": 1}}, "more": True})
    replica.pushed({"type": "state", "channel": "room:a", "key": "b", "version": 1, "value": 2})
    assert asked == {"type": "state.get", "channel": "room:a", "known": {"a": 1}, "after": "a"}
