"""The deployed WebSocket API as its control plane tells it: routes, integrations, and what is answered."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from localstack.errors import StartError

# Only these of API Gateway's selection expressions and templates are known here; others are refused at start.
_VARIABLE = re.compile(r"\$\{request\.body\.([A-Za-z0-9_]+)\}")
_STATIC_TEMPLATE_KEY: Final = "$default"
DEFAULT_ROUTE: Final = "$default"
_NEEDED_ROUTES: Final = ("$connect", "$disconnect", DEFAULT_ROUTE)
_FUNCTION_ARN = re.compile(r"arn:[^/]*:function:([^/:]+)")


class UnsupportedApiError(StartError):
    """The API uses something of API Gateway that this edge does not imitate."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route with its integration.

    Attributes:
        function: Name of the Lambda function, or ``None`` for a MOCK.
        mock_body: What a MOCK answers.
        responds: Whether it has a route response: without one, API Gateway drops what the integration returns.
    """

    key: str
    function: str | None
    mock_body: str | None
    responds: bool


@dataclass(frozen=True, slots=True)
class WebSocketApi:
    """A WebSocket API."""

    api_id: str
    stage: str
    selection: str
    routes: Mapping[str, Route]

    def select(self, body: str) -> Route:
        """Return the route of a message: that whose key the selection expression gives, else ``$default``.

        What is not JSON, and a path where there is no plain value, lead to ``$default``:
        docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html
        """
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return self.routes[DEFAULT_ROUTE]

        def value(match: re.Match[str]) -> str:
            found = document.get(match.group(1), "") if isinstance(document, dict) else ""
            if isinstance(found, str):
                return found
            return "" if isinstance(found, list | dict) else json.dumps(found)

        return self.routes.get(_VARIABLE.sub(value, self.selection), self.routes[DEFAULT_ROUTE])


def read_api(client: Any, api_id: str) -> WebSocketApi:
    """Read the API from its control plane (boto3's ``apigatewayv2`` client).

    Raises:
        UnsupportedApiError: It uses what this edge does not imitate.
    """
    selection = client.get_api(ApiId=api_id)["RouteSelectionExpression"]
    if "$" in _VARIABLE.sub("", selection):
        raise UnsupportedApiError(f"route selection expression {selection}")
    stages = client.get_stages(ApiId=api_id)["Items"]
    if len(stages) != 1:
        raise UnsupportedApiError(f"{len(stages)} stages: there must be one")
    integrations = {item["IntegrationId"]: item for item in client.get_integrations(ApiId=api_id)["Items"]}
    routes = {}
    for item in client.get_routes(ApiId=api_id)["Items"]:
        integration = integrations.get((item.get("Target") or "").removeprefix("integrations/"))
        if integration is None:
            raise UnsupportedApiError(f"route {item['RouteKey']} has no integration")
        responses = client.get_route_responses(ApiId=api_id, RouteId=item["RouteId"])["Items"]
        routes[item["RouteKey"]] = _route(client, api_id, item["RouteKey"], integration, bool(responses))
    if missing := [key for key in _NEEDED_ROUTES if key not in routes]:
        raise UnsupportedApiError(f"no route {', '.join(missing)}")
    return WebSocketApi(api_id, stages[0]["StageName"], selection, routes)


def _route(client: Any, api_id: str, key: str, integration: Mapping[str, Any], responds: bool) -> Route:
    if integration["IntegrationType"] == "AWS_PROXY":
        match = _FUNCTION_ARN.search(integration["IntegrationUri"])
        if match is None:
            raise UnsupportedApiError(f"integration of route {key}: {integration['IntegrationUri']}")
        return Route(key, match.group(1), None, responds)
    if integration["IntegrationType"] != "MOCK":
        raise UnsupportedApiError(f"integration type {integration['IntegrationType']} of route {key}")
    identifier = integration["IntegrationId"]
    answers = client.get_integration_responses(ApiId=api_id, IntegrationId=identifier)["Items"]
    template = answers[0]["ResponseTemplates"].get(_STATIC_TEMPLATE_KEY) if answers else None
    if template is None or "$" in template or "#" in template:
        raise UnsupportedApiError(f"response template of route {key}: only static text under $default")
    return Route(key, None, template, responds)
