"""Bills of materials: valid, complete, and the same each time."""

import json
import re
from pathlib import Path

import pytest

from tools.supply.locked import ROOT, Package
from tools.supply.sbom import WEB_ADAPTER, checked, document, write

_PACKAGES = [
    Package("pypi", "server", "2", ("loop",), "MIT"),
    Package("pypi", "loop", "3", (), "Apache-2.0 OR MIT"),
    Package("npm", "@scope/part", "1.0.0", ("not-listed",)),
]


def test_it_has_each_package_with_version_licence_and_needs() -> None:
    bill = json.loads(document("whole", "0.1.0", _PACKAGES))
    assert {
        (part["purl"], *(one["expression"] for one in part.get("licenses", ()))) for part in bill["components"]
    } == {
        ("pkg:pypi/server@2", "MIT"),
        ("pkg:pypi/loop@3", "Apache-2.0 OR MIT"),
        ("pkg:npm/%40scope/part@1.0.0",),
    }
    needs = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    assert needs["pkg:pypi/server@2"] == ["pkg:pypi/loop@3"]
    assert len(needs["whole"]) == 3


def test_it_is_the_same_for_the_same_and_another_for_others() -> None:
    first = document("whole", "0.1.0", _PACKAGES)
    assert document("whole", "0.1.0", reversed(_PACKAGES)) == first
    assert "timestamp" not in first
    other = document("whole", "0.1.0", _PACKAGES[:2])
    assert json.loads(other)["serialNumber"] != json.loads(first)["serialNumber"]


def test_what_the_schema_refuses_is_not_handed_out() -> None:
    bill = document("whole", "0.1.0", _PACKAGES)
    for wrong in (bill.replace('"library"', '"novel"'), bill.replace('"CycloneDX"', '"Other"'), "{}"):
        with pytest.raises(ValueError, match="no valid bill"):
            checked(wrong)


def test_bills_are_written_by_name(tmp_path: Path) -> None:
    write({"whole": "{}"}, tmp_path / "deep")
    assert (tmp_path / "deep" / "whole.cdx.json").read_text() == "{}"


def test_the_adapter_s_layer_is_the_one_that_is_deployed() -> None:
    deployed = (ROOT / "infra" / "constructs" / "http_stream.py").read_text()
    told = re.search(r"(\d+) is version ([\d.]+\d)", deployed)
    assert told and f':{told[1]}"' in deployed
    assert WEB_ADAPTER.version == f"v{told[2]}"
