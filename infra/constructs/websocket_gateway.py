"""The WebSocket API: its routes, and the functions behind them."""

from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as apigw
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_apigatewayv2_integrations import WebSocketLambdaIntegration
from constructs import Construct

from infra.constructs.fan_out_bus import FanOutBus
from infra.constructs.functions import Functions, table_environment
from infra.constructs.message_store import MessageStore, grant_append, grant_count, grant_read_write
from infra.constructs.publish_pipeline import PublishPipeline
from infra.stage import StageConfig
from shared import contract

# The prefix keeps a client's `"type": "$disconnect"` from meaning the route of that name. Selection expressions take
# static text: docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-develop-routes.html
_ROUTE_SELECTION = "request/${request.body.type}"
_PING_ROUTE = "request/ping"
# API Gateway waits 29 s for an integration, fixed; a function that would answer later had better stop:
# docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
_MESSAGE_TIMEOUT_S = 28
_CONNECT_TIMEOUT_S = 10
_STAGE_NAME = "v1"


class WebsocketGateway(Construct):
    """``$connect``, ``$disconnect``, ``$default``; and ``ping``, which costs no invocation."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        store: MessageStore,
        functions: Functions,
        pipeline: PublishPipeline,
        fan_out: FanOutBus,
    ) -> None:
        super().__init__(scope, construct_id)
        self.connect = functions.make(
            "ws_connect",
            timeout_s=_CONNECT_TIMEOUT_S,
            environment={
                **table_environment(store, contract.ENV_CONNECTIONS_TABLE, contract.ENV_LIMITS_TABLE),
                contract.ENV_ALLOWED_ORIGINS: ",".join(stage.allowed_origins),
            },
        )
        self.disconnect = functions.make(
            "ws_disconnect",
            timeout_s=_CONNECT_TIMEOUT_S,
            environment=table_environment(store, contract.ENV_CONNECTIONS_TABLE),
            memory_mb=512,
        )
        self.message = functions.make(
            "ws_message",
            timeout_s=_MESSAGE_TIMEOUT_S,
            layer="publish",
            verifies_tokens=True,
            environment={
                **table_environment(
                    store,
                    contract.ENV_CONNECTIONS_TABLE,
                    contract.ENV_STREAMS_TABLE,
                    contract.ENV_STATE_TABLE,
                    contract.ENV_LIMITS_TABLE,
                ),
            },
        )
        for function in (self.connect, self.disconnect, self.message):
            grant_read_write(store.connections, function)
        grant_append(store.streams, self.message)
        grant_read_write(store.state, self.message)
        for function in (self.connect, self.message):
            grant_count(store.limits, function)
            fan_out.grant_set_deadlines(function)
        fan_out.grant_deliver_later(self.message)
        pipeline.grant_publish(self.message)
        self.api = apigw.WebSocketApi(
            self,
            "Api",
            route_selection_expression=_ROUTE_SELECTION,
            connect_route_options=self._route(functions, self.connect),
            disconnect_route_options=self._route(functions, self.disconnect),
        )
        self.api.add_route(
            "$default",
            integration=WebSocketLambdaIntegration(
                "Message", functions.entry(self.message), timeout=Duration.seconds(29)
            ),
            return_response=True,
        )
        self._add_ping()
        self.stage = apigw.WebSocketStage(
            self,
            "Stage",
            web_socket_api=self.api,
            stage_name=_STAGE_NAME,
            auto_deploy=True,  # without a deployment every call is refused with 403
        )
        self.url = f"{stage.edge_url.replace('http', 'ws', 1)}/v1/ws" if stage.edge_url else self.stage.url
        self.connections_endpoint = stage.edge_url or self.stage.callback_url

    def grant_push(self, function: lambda_.Function) -> None:
        """Let a function push to connections and close them, and tell it where they are."""
        self.stage.grant_management_api_access(function)
        function.add_environment(contract.ENV_CONNECTIONS_ENDPOINT, self.connections_endpoint)

    def _route(self, functions: Functions, function: lambda_.Function) -> apigw.WebSocketRouteOptions:
        integration = WebSocketLambdaIntegration(f"{function.node.id}Integration", functions.entry(function))
        return apigw.WebSocketRouteOptions(integration=integration)

    def _add_ping(self) -> None:
        """Answer ``ping`` from the gateway. The body can't be echoed there, so the pong has no id.

        Source: docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-data-mapping.html
        """
        api_id = self.api.api_id
        integration = apigw.CfnIntegration(
            self,
            "PingIntegration",
            api_id=api_id,
            integration_type="MOCK",
            template_selection_expression="\\$default",
            request_templates={"$default": '{"statusCode": 200}'},
        )
        route = apigw.CfnRoute(
            self,
            "PingRoute",
            api_id=api_id,
            route_key=_PING_ROUTE,
            route_response_selection_expression="$default",
            target=f"integrations/{integration.ref}",
        )
        apigw.CfnRouteResponse(
            self, "PingRouteResponse", api_id=api_id, route_id=route.ref, route_response_key="$default"
        )
        apigw.CfnIntegrationResponse(
            self,
            "PingIntegrationResponse",
            api_id=api_id,
            integration_id=integration.ref,
            integration_response_key="$default",
            template_selection_expression="\\$default",
            response_templates={"$default": '{"type": "pong"}'},
        )
