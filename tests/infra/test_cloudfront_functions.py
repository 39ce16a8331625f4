"""CloudFront's functions, run by Node with events as CloudFront's.

Source: docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/functions-event-structure.html
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from functions.http_api.pages import PAGES
from shared import contract
from tests.infra.one_origin import OneOrigin
from tests.infra.template import ROOT


class TestFunctions:
    @pytest.mark.parametrize(
        ("method", "asked", "query", "there", "selected"),
        [
            ("GET", "/v1/ws", {}, "/v1", []),
            ("GET", "/v1/ws/", {}, "/v1/ws/", []),
            ("GET", "/v1/config", {}, "/v1/config", []),
            ("GET", "/v1/sessions/s-1/frames", {"wait_s": "25"}, "/v1/sessions/s-1/frames", ["stream"]),
            ("GET", "/v1/sessions/s-1/frames", {"wait_s": "0"}, "/v1/sessions/s-1/frames", []),
            ("GET", "/v1/sessions/s-1/frames", {}, "/v1/sessions/s-1/frames", []),
            ("POST", "/v1/sessions/s-1/frames", {"wait_s": "25"}, "/v1/sessions/s-1/frames", []),
            ("GET", "/v1/sessions/s-1/x/frames", {"wait_s": "25"}, "/v1/sessions/s-1/x/frames", []),
            ("GET", "/v1/publish", {"wait_s": "25"}, "/v1/publish", []),
        ],
    )
    def test_a_call_goes_where_it_is_answered(
        self, tmp_path: Path, method: str, asked: str, query: dict[str, str], there: str, selected: list[str]
    ) -> None:
        request, origins = _run(tmp_path, "api", method, asked, query)
        assert (request["uri"], origins) == (there, selected)
        assert request["querystring"] == {name: {"value": value} for name, value in query.items()}

    def test_a_call_says_whose_it_is_and_keeps_its_other_headers(self, tmp_path: Path) -> None:
        forged = {
            contract.HEADER_VIEWER_ADDRESS: "203.0.113.9",
            "sec-websocket-key": "k",
            "origin": "https://a.example",
        }
        request, _ = _run(tmp_path, "api", "GET", "/v1/ws", {}, forged)
        assert request["headers"] == {
            contract.HEADER_VIEWER_ADDRESS: {"value": "198.51.100.7"},
            "sec-websocket-key": {"value": "k"},
            "origin": {"value": "https://a.example"},
        }

    def test_the_app_polls_where_the_function_looks(self) -> None:
        paths = json.loads((ROOT / "docs" / "schemas" / "openapi.json").read_text())["paths"]
        poll = paths["/v1/sessions/{session_id}/frames"]["get"]
        assert "wait_s" in [parameter["name"] for parameter in poll["parameters"]]

    @pytest.mark.parametrize(
        ("asked", "there"),
        [
            ("/", "/demo/index.html"),
            ("/console", "/console/index.html"),
            ("/demo/main.js", "/demo/main.js"),
            ("/nothing", "/nothing"),
            ("/constructor", "/constructor"),
        ],
    )
    def test_a_page_is_a_file(self, tmp_path: Path, asked: str, there: str) -> None:
        request, _ = _run(tmp_path, "pages", "GET", asked, {})
        assert request["uri"] == there
        assert there == asked or (PAGES / there[1:]).is_file()

    @pytest.mark.parametrize("name", ["api", "pages"])
    def test_it_is_what_is_deployed(self, one: OneOrigin, name: str) -> None:
        functions = one.main.of_type("AWS::CloudFront::Function")
        [deployed] = [function for logical_id, function in functions.items() if name.capitalize() in logical_id]
        source = (ROOT / "infra" / "cloudfront" / f"{name}.js").read_text()
        assert deployed["FunctionCode"] == source
        assert deployed["FunctionConfig"]["Runtime"] == "cloudfront-js-2.0"
        assert len(source.encode()) < 10_240  # docs: cloudfront-limits.html
        behaviours = one.behaviours.values() if name == "api" else [one.distribution["DefaultCacheBehavior"]]
        for behaviour in behaviours:
            [association] = behaviour["FunctionAssociations"]
            assert association["EventType"] == "viewer-request"
            assert functions[association["FunctionARN"]["Fn::GetAtt"][0]] == deployed


def _run(
    folder: Path, name: str, method: str, uri: str, query: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Return the request that a function makes of one, and the origins that it selects."""
    module = folder / "node_modules" / "cloudfront"
    module.mkdir(parents=True)
    (module / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
    (module / "index.js").write_text(
        "export const selected = []; export default { selectRequestOriginById: (id) => selected.push(id) };"
    )
    source = (ROOT / "infra" / "cloudfront" / f"{name}.js").read_text()
    event = {
        "version": "1.0",
        "context": {"eventType": "viewer-request"},
        "viewer": {"ip": "198.51.100.7"},
        "request": {
            "method": method,
            "uri": uri,
            "querystring": {name: {"value": value} for name, value in query.items()},
            "headers": {name: {"value": value} for name, value in (headers or {}).items()},
            "cookies": {},
        },
    }
    program = (
        f'{source}\nimport {{ selected }} from "cloudfront";\n'
        f"console.log(JSON.stringify([handler({json.dumps(event)}), selected]));"
    )
    (folder / "run.mjs").write_text(program)
    done = subprocess.run(["node", "run.mjs"], cwd=folder, capture_output=True, text=True, check=True)
    request, origins = json.loads(done.stdout)
    return request, origins
