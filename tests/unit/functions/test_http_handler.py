"""The HTTP function: API Gateway's events in, its answers out, the same app in between."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shared.bootstrap import Services
from shared.domain.channel import personal_channel
from shared.domain.stage_limits import DEFAULT_LIMITS
from tests.unit.stack import MemoryStack

Call = Callable[..., Any]
PUBLISH = {"channel": "room:a", "name": "said", "data": "ü"}


@pytest.fixture
def call(http_function: Callable[[Any], Any]) -> Call:
    """Invoke the function; return status, headers and body, read."""

    def invoke(method: str, path: str, body: str | None = None, headers: Any = None, **changes: Any) -> Any:
        answer = http_function(event(method, path, body, headers) | changes)
        text = base64.b64decode(answer["body"]).decode() if answer["isBase64Encoded"] else answer["body"]
        return answer["statusCode"], answer["headers"], json.loads(text)

    return invoke


def event(method: str, path: str, body: str | None, headers: Any) -> dict[str, Any]:
    """Return payload format 2.0, whose path is decoded.

    Sources: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html;
    github.com/aws/aws-lambda-dotnet, Tools/LambdaTestTool-v2, Extensions/HttpContextExtensions.cs.
    """
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test"}
    result = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "example.org", "content-type": "application/json"} | (headers or {}),
        "requestContext": {"http": http, "stage": "$default", "requestId": "r"},
        "isBase64Encoded": False,
    }
    return result if body is None else result | {"body": body}


def test_a_call_is_answered(call: Call) -> None:
    status, headers, body = call("GET", "/v1/config")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert body["websocket_url"] == "wss://example.org/v1/ws"


@pytest.mark.parametrize("encoded", [False, True])
def test_a_body_comes_plain_or_as_base64(call: Call, stack: MemoryStack, encoded: bool) -> None:
    headers = {"authorization": f"Bearer {stack.token('ann')}"}
    body = json.dumps(PUBLISH, ensure_ascii=False)
    if encoded:
        body = base64.b64encode(body.encode()).decode()
    status, _, _ = call("POST", "/v1/publish", body, headers, isBase64Encoded=encoded)
    assert status == 200
    assert [message.publication.data for _, message in stack.lanes.sent] == ["ü"]


def test_the_query_is_read(call: Call, stack: MemoryStack) -> None:
    headers = {"authorization": f"Bearer {stack.token('ann')}"}
    status, _, _ = call("GET", "/v1/channels/room:a/history", None, headers, rawQueryString="limit=301")
    assert status == 422


@pytest.mark.parametrize("channel", ["room:a", "user:ann%40example.org", "user:50%25", "room:%"])
def test_a_channel_is_read_as_it_is_though_it_has_a_percent_sign(call: Call, stack: MemoryStack, channel: str) -> None:
    caps = {channel: ["history"]}
    headers = {"authorization": f"Bearer {stack.token('ann', caps)}"}
    assert call("GET", f"/v1/channels/{channel}/history", None, headers)[0] == 200
    assert call("GET", f"/v1/channels/{channel}x/history", None, headers)[0] == 403


@pytest.mark.parametrize("user_id", ["bob", "Ann Ö", "a/b", "a%2Fb", "a\nb"], ids=ascii)
def test_a_user_is_read_as_it_is_whatever_is_in_its_id(
    http_function: Callable[[Any], Any], stack: MemoryStack, user_id: str
) -> None:
    headers = {"authorization": f"Bearer {stack.token('root', {'*': ['admin']})}"}
    assert http_function(event("DELETE", f"/v1/users/{user_id}/data", None, headers))["statusCode"] == 204
    assert [broadcast.channel for broadcast in stack.bus.broadcasts] == [personal_channel(user_id)]


def test_an_error_is_a_problem(call: Call) -> None:
    status, headers, body = call("POST", "/v1/publish", json.dumps(PUBLISH))
    assert (status, headers["content-type"], body["name"]) == (401, "application/problem+json", "unauthenticated")
    assert headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header", ["x-forwarded-for", "cloudfront-viewer-address", "forwarded", "x-amzn-request-context"]
)
def test_the_address_that_counts_is_the_events(call: Call, services: Services, stack: MemoryStack, header: str) -> None:
    services.limits = replace(stack.limits, stage=replace(DEFAULT_LIMITS, failure_rate_per_s=1, failure_burst=2))

    def refused_from(address: str, said: str) -> int:
        http = event("GET", "/v1/commands", None, None)["requestContext"]["http"] | {"sourceIp": address}
        context = {"http": http, "stage": "$default", "requestId": "r"}
        return int(call("GET", "/v1/commands", None, {header: said}, requestContext=context)[0])

    assert [refused_from("192.0.2.1", f"198.51.100.{number}:1") for number in range(4)] == [401, 401, 401, 429]
    assert refused_from("192.0.2.2", "192.0.2.1:1") == 401
