"""The canary where nothing is served: it says so, whatever answers. Where all is: tests/integration/test_canary.py."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from functions.canary.handler import lambda_handler
from shared.bootstrap import Services
from tests.unit.conftest import Log
from tests.unit.functions.conftest import Context


class Nonsense(BaseHTTPRequestHandler):
    """Answers whatever is asked, with an object that says nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def nonsense() -> Iterator[int]:
    """The port of a server that makes no sense."""
    with HTTPServer(("127.0.0.1", 0), Nonsense) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def nobody() -> int:
    """A port where nobody is."""
    with HTTPServer(("127.0.0.1", 0), Nonsense) as server:
        return server.server_port


@pytest.mark.parametrize(("who", "why"), [("nobody", "UnreachableError"), ("nonsense", "KeyError")])
def test_who_is_not_served_says_which_way_and_at_which_step(
    who: str, why: str, services: Services, log: Log, request: pytest.FixtureRequest
) -> None:
    port = request.getfixturevalue(who)
    services.settings = replace(
        services.settings, websocket_url=f"ws://127.0.0.1:{port}/v1/ws", http_url=f"http://127.0.0.1:{port}"
    )
    lambda_handler({}, Context())
    failed = {line["way"]: (line["step"], line["error"], line.get("code")) for line in log.lines()}
    unreachable = ("hello", "UnreachableError", "timeout")
    assert failed == {
        "websocket": unreachable,
        "http": ("hello", why, "timeout" if why == "UnreachableError" else None),
    }
    [line] = log.metrics()
    assert line["CanarySuccess"] == [0]
    assert "CanaryLatency" not in line


@pytest.mark.parametrize("name", ["websockets.client", "httpcore.http11"])
def test_what_it_sends_is_not_logged_at_any_level(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)
