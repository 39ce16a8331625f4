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
