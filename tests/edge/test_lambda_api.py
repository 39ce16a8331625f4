"""The invoker at work: whatever the Lambda API answers is a result or an InvocationError, after one attempt."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from localstack.edge.invoker import InvocationError, LambdaInvoker


class LambdaApi(ThreadingHTTPServer):
    """Answers every call with what the test has put here."""

    status = 200
    headers: dict[str, str] = {}  # noqa: RUF012  # replaced, never changed
    body = b"null"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: list[tuple[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: LambdaApi

    def do_POST(self) -> None:
        payload = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((self.path, json.loads(payload)))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_arguments: object) -> None:
        """Stay silent."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[LambdaApi]:
    with LambdaApi() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def invoker(api: LambdaApi) -> Iterator[LambdaInvoker]:
    invoker = LambdaInvoker(timeout_s=5)
    yield invoker
    invoker.close()


async def test_it_hands_the_event_over_and_the_result_back(api: LambdaApi, invoker: LambdaInvoker) -> None:
    api.body = b'{"statusCode": 200, "body": "\xc3\xa9"}'
    assert await invoker.invoke("ws_message", {"body": "é"}) == {"statusCode": 200, "body": "é"}
    assert api.calls == [("/2015-03-31/functions/ws_message/invocations", {"body": "é"})]


@pytest.mark.parametrize("body", [b"", b"null"])
async def test_a_function_that_returns_nothing_has_none(api: LambdaApi, invoker: LambdaInvoker, body: bytes) -> None:
    api.body = body
    assert await invoker.invoke("f", {}) is None


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {"X-Amz-Function-Error": "Unhandled"}, b'{"errorMessage": "secret detail"}'),
        (200, {}, b"no json"),
        (200, {}, b"[" * 100_000),
        (404, {"x-amzn-ErrorType": "ResourceNotFoundException"}, b"{}"),
        (429, {"x-amzn-ErrorType": "TooManyRequestsException"}, b"{}"),
        (500, {"x-amzn-ErrorType": "ServiceException"}, b"{}"),
    ],
    ids=["raised", "no json", "too deep", "unknown", "throttled", "broken"],
)
async def test_all_else_is_an_error_that_tells_nothing_and_is_not_tried_again(
    api: LambdaApi, invoker: LambdaInvoker, status: int, headers: dict[str, str], body: bytes
) -> None:
    api.status, api.headers, api.body = status, headers, body
    with pytest.raises(InvocationError) as failed:
        await invoker.invoke("f", {})
    assert "secret" not in str(failed.value)
    assert len(api.calls) == 1


async def test_an_api_that_is_gone_is_an_error_too(monkeypatch: pytest.MonkeyPatch, api: LambdaApi) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    invoker = LambdaInvoker(timeout_s=5)
    with pytest.raises(InvocationError):
        await invoker.invoke("f", {})
    invoker.close()
