"""The way in where the stage has CloudFront: by HTTP under both hosts, and at ``$connect``."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import Request

from functions.http_api.app import create_app
from functions.ws_connect.handler import lambda_handler
from shared.bootstrap import Services
from shared.contract import HEADER_FRONT_SECRET, HEADER_VIEWER_ADDRESS
from shared.errors import UnavailableError
from shared.services.front_door import FrontDoor
from tests.unit.functions.conftest import Context, services_of
from tests.unit.functions.test_http_handler import event
from tests.unit.stack import MemoryStack

_SHOWN = {HEADER_FRONT_SECRET: "secret", HEADER_VIEWER_ADDRESS: "198.51.100.7"}


class _Secret:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def is_known(self, value: str) -> bool:
        if self.error is not None:
            raise self.error
        return value == "secret"


def _behind_cloudfront(services: Services, error: Exception | None = None) -> Services:
    services.front_door = FrontDoor(_Secret(error))
    return services


@pytest.fixture
async def http(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """The app behind CloudFront, with a route that tells who asks; the parameter is what befalls the secret."""
    app = create_app(_behind_cloudfront(services_of(MemoryStack()), getattr(request, "param", None)))

    @app.get("/who")
    def who(request: Request) -> str:
        assert request.client is not None
        return request.client.host

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tidewire") as client:
        yield client


class TestHttp:
    async def test_who_comes_by_cloudfront_is_served_and_told_apart(self, http: httpx.AsyncClient) -> None:
        assert (await http.get("/who", headers=_SHOWN)).json() == "198.51.100.7"

    @pytest.mark.parametrize("secret", [None, "", "secre", "secrets", "SECRET"])
    @pytest.mark.parametrize("path", ["/v1/config", "/v1/stream/events?channel=a:b", "/openapi.json", "/nothing"])
    async def test_who_comes_around_it_is_refused(self, http: httpx.AsyncClient, secret: str | None, path: str) -> None:
        headers = {HEADER_VIEWER_ADDRESS: "198.51.100.7"} | ({} if secret is None else {HEADER_FRONT_SECRET: secret})
        answer = await http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["name"]) == (403, "forbidden")
        assert "HttpUrl" in answer.json()["detail"]  # /v1/config is refused here as well
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"

    async def test_the_adapter_finds_the_process_alive(self, http: httpx.AsyncClient) -> None:
        assert (await http.get("/healthz")).status_code == 200

    @pytest.mark.parametrize("http", [UnavailableError("away", retry_after_ms=1000)], indirect=True)
    async def test_nobody_is_let_in_while_the_secret_cannot_be_read(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/who", headers=_SHOWN)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")

    @pytest.mark.parametrize("http", [RuntimeError("what the secret is")], indirect=True)
    async def test_a_failure_is_told_as_no_more(self, http: httpx.AsyncClient) -> None:
        answer = await http.get("/who", headers=_SHOWN)
        assert (answer.status_code, answer.json()["name"]) == (500, "internal")
        assert "what the secret is" not in answer.text

    async def test_without_cloudfront_its_headers_say_nothing(self) -> None:
        app = create_app(services_of(MemoryStack()))

        @app.get("/who")
        def who(request: Request) -> str:
            assert request.client is not None
            return request.client.host

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tidewire") as client:
            assert (await client.get("/who", headers=_SHOWN)).json() == "127.0.0.1"


class TestLambda:
    """The same behind the HTTP API."""

    def test_the_bare_url_serves_nobody(self, services: Services, http_function: Callable[[Any], Any]) -> None:
        _behind_cloudfront(services)
        assert http_function(event("GET", "/v1/config", None, None))["statusCode"] == 403
        assert http_function(event("GET", "/v1/config", None, _SHOWN))["statusCode"] == 200

    def test_who_has_signed_comes_by_it(self, services: Services, http_function: Callable[[Any], Any]) -> None:
        _behind_cloudfront(services)
        signed = event("GET", "/v1/config", None, None)
        signed["requestContext"]["authorizer"] = {"iam": {"userArn": "arn:aws:sts::000000000000:assumed-role/a/b"}}
        assert http_function(signed)["statusCode"] == 200

    @pytest.mark.parametrize("authorizer", [None, {}, {"iam": None}, {"jwt": {"claims": {"iam": "x"}}}])
    def test_no_other_authorizer_will_do(
        self, services: Services, http_function: Callable[[Any], Any], authorizer: dict[str, Any] | None
    ) -> None:
        _behind_cloudfront(services)
        other = event("GET", "/v1/config", None, None)
        other["requestContext"]["authorizer"] = authorizer
        assert http_function(other)["statusCode"] == 403


class TestWebSocket:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            (_SHOWN, 200),
            ({name.title(): value for name, value in _SHOWN.items()}, 200),
            ({HEADER_FRONT_SECRET: "secret "}, 403),
            ({}, 403),
            (None, 403),
        ],
    )
    def test_a_handshake_is_let_in_by_cloudfront_alone(
        self, services: Services, stack: MemoryStack, headers: dict[str, str] | None, status: int
    ) -> None:
        _behind_cloudfront(services)
        assert _connect(headers) == status
        assert (stack.connections.get("c1") is not None) == (status == 200)

    def test_nobody_is_let_in_while_the_secret_cannot_be_read(self, services: Services) -> None:
        _behind_cloudfront(services, UnavailableError("away"))
        assert _connect(_SHOWN) == 503

    def test_without_cloudfront_everybody_is(self, services: Services) -> None:
        assert services.front_door is None
        assert _connect({}) == 200


def _connect(headers: dict[str, str] | None) -> int:
    context = {"connectionId": "c1", "identity": {"sourceIp": "192.0.2.1"}}
    return int(lambda_handler({"requestContext": context, "headers": headers}, Context())["statusCode"])
