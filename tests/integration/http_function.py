"""The deployed HTTP function behind an httpx client: requests go as API Gateway's events through the Lambda API."""

import base64
import json
import time
from typing import Any
from urllib.parse import unquote

import httpx


class FunctionTransport(httpx.BaseTransport):
    """Stands where the HTTP API stands; payload format 2.0.

    Source: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """

    def __init__(self, client: Any, function: str) -> None:
        self._client, self._function = client, function

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._client.invoke(FunctionName=self._function, Payload=json.dumps(_event(request)))
        assert "FunctionError" not in answer, answer["Payload"].read()
        result = json.loads(answer["Payload"].read())
        body = result.get("body") or ""
        content = base64.b64decode(body) if result["isBase64Encoded"] else body.encode()
        return httpx.Response(result["statusCode"], headers=result["headers"], content=content)


def _event(request: httpx.Request) -> dict[str, Any]:
    # HTTP APIs hand the path over decoded: github.com/aws/aws-lambda-dotnet, Tools/LambdaTestTool-v2.
    path = unquote(request.url.raw_path.decode().partition("?")[0])
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.url.query.decode(),
        "headers": dict(request.headers),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": request.url.host,
            "http": {
                "method": request.method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": request.headers.get("user-agent", ""),
            },
            "requestId": "request",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": time.time_ns() // 1_000_000,
        },
        "body": request.read().decode(),
        "isBase64Encoded": False,
    }
