"""The API as its control plane tells it: what is imitated is read right, the rest is refused at start."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localstack.edge.api import UnsupportedApiError, WebSocketApi, read_api
from tests.edge.running import API

LAMBDA = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{}/invocations"


class ControlPlane:
    """What boto3's ``apigatewayv2`` client answers; tests change it before it is read."""

    def __init__(self) -> None:
        self.selection = "request/${request.body.type}"
        self.stages = [{"StageName": "v1"}]
        self.integrations: dict[str, dict[str, Any]] = {
            name: {
                "IntegrationId": name,
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": LAMBDA.format(f"arn:aws:lambda:us-east-1:000000000000:function:{name}-1A2B"),
            }
            for name in ("connect", "disconnect", "message")
        }
        self.integrations["ping"] = {"IntegrationId": "ping", "IntegrationType": "MOCK"}
        self.routes = {
            "$connect": "integrations/connect",
            "$disconnect": "integrations/disconnect",
            "$default": "integrations/message",
            "request/ping": "integrations/ping",
        }
        self.responding = {"$default", "request/ping"}
        self.templates: list[dict[str, str]] = [{"$default": '{"type": "pong"}'}]

    def get_api(self, **_arguments: str) -> Any:
        return {"RouteSelectionExpression": self.selection}

    def get_stages(self, **_arguments: str) -> Any:
        return {"Items": self.stages}

    def get_integrations(self, **_arguments: str) -> Any:
        return {"Items": list(self.integrations.values())}

    def get_routes(self, **_arguments: str) -> Any:
        items = [{"RouteId": key, "RouteKey": key, "Target": target} for key, target in self.routes.items()]
        return {"Items": [item if item["Target"] else {**item, "Target": None} for item in items]}

    def get_route_responses(self, *, ApiId: str, RouteId: str) -> Any:
        return {"Items": [{"RouteResponseKey": "$default"}] if RouteId in self.responding else []}

    def get_integration_responses(self, **_arguments: str) -> Any:
        return {"Items": [{"ResponseTemplates": template} for template in self.templates]}


def test_what_is_deployed_is_read() -> None:
    api = read_api(ControlPlane(), "a1b2c3")
    assert (api.api_id, api.stage, api.selection) == ("a1b2c3", "v1", "request/${request.body.type}")
    routes = {key: (route.function, route.mock_body, route.responds) for key, route in api.routes.items()}
    assert routes == {
        "$connect": ("connect-1A2B", None, False),
        "$disconnect": ("disconnect-1A2B", None, False),
        "$default": ("message-1A2B", None, True),
        "request/ping": (None, '{"type": "pong"}', True),
    }


def without(key: str) -> Callable[[ControlPlane], Any]:
    return lambda plane: plane.routes.pop(key)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda plane: setattr(plane, "selection", "$request.body.action"), "selection expression \\$request"),
        (lambda plane: setattr(plane, "selection", "${request.body.a.b}"), "selection expression"),
        (lambda plane: setattr(plane, "selection", "${request.header.x}"), "selection expression"),
        (lambda plane: setattr(plane, "stages", []), "0 stages"),
        (lambda plane: plane.stages.append({"StageName": "v2"}), "2 stages"),
        (without("$connect"), "no route \\$connect"),
        (without("$disconnect"), "no route \\$disconnect"),
        (without("$default"), "no route \\$default"),
        (lambda plane: plane.routes.update({"request/x": None}), "route request/x has no integration"),
        (lambda plane: plane.routes.update({"request/x": "integrations/gone"}), "route request/x has no integration"),
        (
            lambda plane: plane.integrations["ping"].update(IntegrationType="HTTP_PROXY"),
            "HTTP_PROXY of route request/p",
        ),
        (lambda plane: plane.integrations["message"].update(IntegrationUri="arn:aws:sqs:x"), "of route \\$default"),
        (lambda plane: setattr(plane, "templates", []), "template of route request/ping"),
        (lambda plane: setattr(plane, "templates", [{"\\$x": "{}"}]), "template of route request/ping"),
        (lambda plane: setattr(plane, "templates", [{"$default": '"$context.requestId"'}]), "template of route"),
        (lambda plane: setattr(plane, "templates", [{"$default": "#set($x = 1)"}]), "template of route"),
    ],
)
def test_what_is_not_imitated_is_refused(change: Callable[[ControlPlane], Any], told: str) -> None:
    plane = ControlPlane()
    change(plane)
    with pytest.raises(UnsupportedApiError, match=told):
        read_api(plane, "a1b2c3")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


class TestSelection:
    @given(kind=json_values)
    def test_a_type_leads_to_the_route_of_its_name_or_to_default(self, kind: Any) -> None:
        expected = f"request/{kind}" if kind in ("ping", "quiet") else "$default"
        assert API.select(json.dumps({"type": kind, "id": 1})).key == expected

    @given(body=st.text() | json_values.map(json.dumps))
    def test_whatever_comes_is_routed_and_never_to_connect_or_disconnect(self, body: str) -> None:
        assert API.select(body).key not in ("$connect", "$disconnect")

    @pytest.mark.parametrize("kind", ["$connect", "$disconnect", "request/$connect", "../$connect"])
    def test_not_even_when_it_says_so(self, kind: str) -> None:
        assert API.select(json.dumps({"type": kind})).key == "$default"

    def test_nesting_of_whatever_depth_leads_to_default(self) -> None:
        """One depth between what Python's JSON module can read and what it can't is enough to fall into."""
        for depth in (*range(1_100), 100_000):
            deep = "[" * depth + "]" * depth
            assert API.select(deep).key == "$default"
            assert API.select(f'{{"type": {deep or 0}}}').key == "$default"

    def test_an_expression_may_join_several_values(self) -> None:
        routes = {key: replace(API.routes["request/quiet"], key=key) for key in ("chat-2", "chat-", "-")}
        api = WebSocketApi("a", "v1", "${request.body.type}-${request.body.version}", {**API.routes, **routes})
        assert api.select('{"type": "chat", "version": 2}') is routes["chat-2"]
        assert api.select('{"type": "chat"}') is routes["chat-"]
        assert api.select("{}") is routes["-"]
        assert api.select('{"type": "call", "version": 2}').key == "$default"
