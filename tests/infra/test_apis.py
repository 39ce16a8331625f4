"""The WebSocket API and the HTTP API: routes, who answers them, who may call whom."""

import json

from shared.protocol.server import Pong
from tests.infra.template import CANARY, Properties, Synthesised, ref, text

_WEBSOCKET, _HTTP = "WebsocketApiD2C932E4", "HttpApi4E1D4184"
_CALL = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:"


def _of_api(stage: Synthesised, resource_type: str, api: str) -> dict[str, Properties]:
    found = stage.of_type(f"AWS::ApiGatewayV2::{resource_type}")
    return {logical_id: properties for logical_id, properties in found.items() if properties["ApiId"] == ref(api)}


def _routes(stage: Synthesised, api: str) -> dict[str, tuple[Properties, Properties]]:
    """Return each route with its integration, by route key."""
    integrations = _of_api(stage, "Integration", api)
    routes = _of_api(stage, "Route", api).values()
    return {
        route["RouteKey"]: (route, integrations[text(route["Target"]).removeprefix("integrations/")[2:-1]])
        for route in routes
    }


def _function_of(stage: Synthesised, integration: Properties) -> str:
    """Return the name of the function that a proxy integration calls; an empty one for what is no proxy."""
    if integration["IntegrationType"] != "AWS_PROXY":
        return ""
    uri = text(integration["IntegrationUri"])
    return next(name for name, logical_id in stage.function_ids.items() if f"${{{logical_id}.Arn}}" in uri)


def test_there_are_two_apis(stage: Synthesised) -> None:
    protocols = {name: api["ProtocolType"] for name, api in stage.of_type("AWS::ApiGatewayV2::Api").items()}
    assert protocols == {_WEBSOCKET: "WEBSOCKET", _HTTP: "HTTP"}


def test_websocket_routes_go_to_their_functions_and_ping_to_none(stage: Synthesised) -> None:
    routes = _routes(stage, _WEBSOCKET)
    assert {key: _function_of(stage, integration) for key, (_route, integration) in routes.items()} == {
        "$connect": "ws_connect",
        "$disconnect": "ws_disconnect",
        "$default": "ws_message",
        "request/ping": "",
    }


def test_no_type_that_a_client_sends_means_connect_or_disconnect(stage: Synthesised) -> None:
    api = stage.of_type("AWS::ApiGatewayV2::Api")[_WEBSOCKET]
    assert api["RouteSelectionExpression"] == "request/${request.body.type}"


def test_default_and_ping_answer_their_sender(dev: Synthesised) -> None:
    routes = _of_api(dev, "Route", _WEBSOCKET)
    answering = {
        route["RouteKey"]: logical_id
        for logical_id, route in routes.items()
        if route.get("RouteResponseSelectionExpression") == "$default"
    }
    assert sorted(answering) == ["$default", "request/ping"]
    responses = _of_api(dev, "RouteResponse", _WEBSOCKET).values()
    assert sorted(text(response["RouteId"]) for response in responses) == sorted(
        f"${{{logical_id}}}" for logical_id in answering.values()
    )
    assert {response["RouteResponseKey"] for response in responses} == {"$default"}


def test_ping_is_answered_by_the_gateway_with_a_pong(dev: Synthesised) -> None:
    route, integration = _routes(dev, _WEBSOCKET)["request/ping"]
    assert integration["IntegrationType"] == "MOCK"
    selected = integration["TemplateSelectionExpression"].removeprefix("\\")
    assert json.loads(integration["RequestTemplates"][selected]) == {"statusCode": 200}
    (response,) = _of_api(dev, "IntegrationResponse", _WEBSOCKET).values()
    assert text(route["Target"]) == f"integrations/{text(response['IntegrationId'])}"
    assert response["IntegrationResponseKey"] == "$default"
    answer = response["ResponseTemplates"][response["TemplateSelectionExpression"].removeprefix("\\")]
    assert Pong.model_validate_json(answer) == Pong(type="pong")


def test_both_apis_deploy_themselves(stage: Synthesised) -> None:
    stages = stage.of_type("AWS::ApiGatewayV2::Stage").values()
    assert {api["ApiId"]["Ref"]: (api["StageName"], api["AutoDeploy"]) for api in stages} == {
        _WEBSOCKET: ("v1", True),
        _HTTP: ("$default", True),
    }


def test_every_http_request_goes_to_the_app(stage: Synthesised) -> None:
    routes = _routes(stage, _HTTP)
    assert sorted(routes) == ["$default", "ANY /iam/{proxy+}"]
    for _route, integration in routes.values():
        assert _function_of(stage, integration) == "http_api"
        assert integration["PayloadFormatVersion"] == "2.0"  # what Mangum is told apart by


def test_below_iam_the_gateway_asks_iam_and_nowhere_else(stage: Synthesised) -> None:
    """Whom IAM lets in is read from what an IAM route adds to the event: functions/http_api/iam.py."""
    kinds = {key: route["AuthorizationType"] for key, (route, _integration) in _routes(stage, _HTTP).items()}
    assert kinds == {"$default": "NONE", "ANY /iam/{proxy+}": "AWS_IAM"}


def test_browsers_of_every_origin_may_use_the_http_api(stage: Synthesised) -> None:
    assert stage.of_type("AWS::ApiGatewayV2::Api")[_HTTP]["CorsConfiguration"] == {
        "AllowOrigins": ["*"],  # without credentials: clients send a token in a header, never a cookie
        "AllowMethods": ["*"],
        "AllowHeaders": ["Authorization", "Content-Type", "If-Match", "Last-Event-ID", "X-API-Key"],
        "ExposeHeaders": ["ETag", "Retry-After"],
        "MaxAge": 3600,
    }


def test_who_calls_the_http_api_is_logged_and_nothing_that_they_choose(stage: Synthesised) -> None:
    (settings,) = [api["AccessLogSettings"] for api in _of_api(stage, "Stage", _HTTP).values()]
    assert set(json.loads(settings["Format"]).values()) == {
        "$context.requestTime",
        "$context.identity.sourceIp",
        "$context.httpMethod",
        "$context.status",
        "$context.responseLength",
        "$context.requestId",
        "$context.integration.requestId",
    }
    group = stage.of_type("AWS::Logs::LogGroup")[settings["DestinationArn"]["Fn::GetAtt"][0]]
    assert group["RetentionInDays"] == {"dev": 7, "prod": 30, "local": 7}[stage.name]


def test_functions_give_up_before_their_api_does(stage: Synthesised) -> None:
    # docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
    # docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
    for api, limit_s in ((_WEBSOCKET, 29), (_HTTP, 30)):
        for _route, integration in _routes(stage, api).values():
            if name := _function_of(stage, integration):
                waits_s = integration.get("TimeoutInMillis", limit_s * 1000) / 1000
                assert stage.function(name)["Timeout"] < waits_s <= limit_s


def test_only_the_route_or_rule_in_front_of_a_function_may_invoke_it(stage: Synthesised) -> None:
    rules = {
        target["Arn"]["Fn::GetAtt"][0]: f"${{{logical_id}.Arn}}"
        for logical_id, rule in stage.of_type("AWS::Events::Rule").items()
        for target in rule["Targets"]
    }
    names = {logical_id: name for name, logical_id in stage.function_ids.items()}
    permissions = [
        (names[permission["FunctionName"]["Fn::GetAtt"][0]], permission["Principal"], text(permission["SourceArn"]))
        for permission in stage.of_type("AWS::Lambda::Permission").values()
        if "SourceArn" in permission  # else it is the function URL's: test_stream.py
    ]
    expected = {
        "ws_connect": ("apigateway.amazonaws.com", f"{_CALL}${{{_WEBSOCKET}}}/*$connect"),
        "ws_disconnect": ("apigateway.amazonaws.com", f"{_CALL}${{{_WEBSOCKET}}}/*$disconnect"),
        "ws_message": ("apigateway.amazonaws.com", f"{_CALL}${{{_WEBSOCKET}}}/*$default"),
        "http_api": ("apigateway.amazonaws.com", f"{_CALL}${{{_HTTP}}}/*/*"),
        "fan_out": ("events.amazonaws.com", rules[stage.function_ids["fan_out"]]),
        "janitor": ("events.amazonaws.com", rules[stage.function_ids["janitor"]]),
    }
    if CANARY in stage.functions:
        expected[CANARY] = ("events.amazonaws.com", rules[stage.function_ids[CANARY]])
    by_iam = ("http_api", "apigateway.amazonaws.com", f"{_CALL}${{{_HTTP}}}/*/*/iam/{{proxy+}}")
    assert sorted(permissions) == sorted([by_iam, *((name, *by) for name, by in expected.items())])
    stage.template.resource_count_is("AWS::Lambda::Permission", len(permissions) + 2)
