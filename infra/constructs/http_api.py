"""The HTTP API: FastAPI under Mangum behind every path."""

import json

from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as apigw
from aws_cdk import aws_iam as iam
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration
from constructs import Construct

from infra.constructs.functions import Functions, table_environment
from infra.constructs.message_store import MessageStore
from infra.stage import StageConfig
from shared import contract

_TIMEOUT_S = 29  # HTTP APIs wait 30 s: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html


class HttpApi(Construct):
    """Sessions, polling, tickets, publishing, history, configuration, health, the pages."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        store: MessageStore,
        functions: Functions,
        stream_url: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self.function = functions.make(
            "http_api",
            timeout_s=_TIMEOUT_S,
            layer="http",
            verifies_tokens=True,
            environment={
                **table_environment(
                    store,
                    contract.ENV_CONNECTIONS_TABLE,
                    contract.ENV_STREAMS_TABLE,
                    contract.ENV_STATE_TABLE,
                    contract.ENV_LIMITS_TABLE,
                ),
                contract.ENV_STREAM_URL: stream_url,
                contract.ENV_HELD_STREAMS: str(stage.held_streams),
                contract.ENV_DEMO: "1" if stage.demo else "0",
                **({} if stage.anonymous is None else {contract.ENV_ANONYMOUS: json.dumps(stage.anonymous)}),
            },
        )
        store.connections.grant_read_write_data(self.function)
        store.streams.grant_read_write_data(self.function)
        store.state.grant_read_write_data(self.function)
        store.limits.grant_read_write_data(self.function)
        # CloudWatch has no resources to name here:
        # docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/permissions-reference-cw.html
        self.function.add_to_role_policy(iam.PolicyStatement(actions=["cloudwatch:GetMetricData"], resources=["*"]))
        self.api = apigw.HttpApi(
            self,
            "Api",
            default_integration=HttpLambdaIntegration("Integration", self.function),
            # Cross-origin rules live here alone: API Gateway answers preflights and drops the app's own headers.
            cors_preflight=apigw.CorsPreflightOptions(
                allow_origins=list(stage.allowed_origins),
                allow_methods=[apigw.CorsHttpMethod.ANY],
                allow_headers=["Authorization", "Content-Type", "If-Match", "Last-Event-ID", "X-API-Key"],
                expose_headers=["ETag", "Retry-After"],
                max_age=Duration.hours(1),
            ),
        )
        self.url = stage.edge_url or self.api.api_endpoint
        self.function.add_environment(contract.ENV_HTTP_URL, self.url)
